// The one command. Parses, calls one function that takes plain data, sets the exit code; the only file that touches
// `process` and prints.

import yargs from 'yargs';
import { recordCommands } from './recorder/commands.ts';
import { replayCommands } from './replayer/commands.ts';
import { errorCodes, exitCodes, TraceError } from './schema/errors.ts';
import { traceCommands } from './traces/commands.ts';
import type { Io } from './traces/io.ts';
import { composeHelpWhenAsked } from './traces/parser.ts';

const signals = ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP'] as const;
const io: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  exit: (code) => {
    process.exitCode = code;
  },
  die: (signal) => {
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  },
  onSignal: (listener) => {
    for (const name of signals) process.on(name, listener);
    return () => {
      for (const name of signals) process.off(name, listener);
    };
  },
  onDump: (listener) => {
    process.on('SIGUSR2', listener);
    return () => process.off('SIGUSR2', listener);
  },
  terminal: process.stderr.isTTY === true,
  columns: process.stdout.columns ?? 120,
  env: process.env,
};

// A reader that has seen enough (`vfio-rr show … | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  throw error;
});

/** What yargs says of a wrong command line, as one sentence. It wraps what an option's own check throws. */
function usageError(message: string): TraceError {
  const text = message
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^Not enough non-option arguments:/, 'an argument is missing, or an unknown option took it:');
  return new TraceError('USAGE', text.includes('--help') ? text : `${text}; see --help`);
}

/** As yargs hands them to a check. */
interface Kinds {
  readonly [kind: string]: readonly string[] | undefined;
}

/** yargs makes a list of an option's values; only some options mean one. */
function refuseRepeated(argv: Record<string, unknown>, kinds: Kinds): true {
  const lists = ['_', '--', ...(kinds.array ?? [])];
  // Of dump-on there is dumpOn too, which no list of kinds names.
  const named = (k: string): string => k.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
  const key = Object.keys(argv).find((k) => Array.isArray(argv[k]) && !lists.includes(named(k)));
  if (key !== undefined) throw new TraceError('USAGE', `--${key} is given more than once`);
  return true;
}

function report(error: unknown): void {
  if (error instanceof TraceError) {
    io.err(`vfio-rr: ${error.message}\n`);
    io.exit(errorCodes[error.code]);
  } else {
    io.err(`vfio-rr: internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    io.exit(exitCodes.broken);
  }
}

const parser = yargs(process.argv.slice(2))
  .scriptName('vfio-rr')
  .usage('$0 COMMAND …\n\nRecord what a program says to VFIO devices into one SQLite file, and replay it.')
  .parserConfiguration({ 'populate--': true, 'halt-at-non-option': false, 'camel-case-expansion': true })
  .command([...recordCommands(io), ...traceCommands(io), ...replayCommands(io)])
  .completion('completion', 'Print a shell completion script')
  .demandCommand(1, 'name a command; `vfio-rr --help` lists them')
  .strict()
  .check((argv, kinds) => refuseRepeated(argv, kinds as unknown as Kinds), true)
  .wrap(Math.min(io.columns, 120))
  .fail((message, error) => {
    throw error && error.name !== 'YError' ? error : usageError(message ?? error?.message);
  })
  .help()
  .version();

try {
  await composeHelpWhenAsked(parser).parseAsync();
} catch (error) {
  report(error);
}
