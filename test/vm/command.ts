// vfio-rr's commands run inside this process, because starting Node costs seconds under software emulation.
import yargs from 'yargs';

import { recordCommands } from '../../recorder/commands.ts';
import { replayCommands } from '../../replayer/commands.ts';
import { TraceError } from '../../schema/errors.ts';
import type { Io } from '../../traces/io.ts';
import { composeHelpWhenAsked } from '../../traces/parser.ts';
import type { Ran } from './run-program.ts';

/** What `vfio-rr ARGV…` says and how it ends. The program that `record` runs inherits this process's output. */
export async function vfioRr(argv: string[], env: Record<string, string> = {}): Promise<Ran> {
  const ran: Ran = { status: 0, signal: null, out: '', err: '' };
  const io: Io = {
    out: (text) => {
      ran.out += text;
    },
    err: (text) => {
      ran.err += text;
    },
    exit: (code) => {
      ran.status = code;
    },
    die: (signal) => {
      ran.signal = signal;
      ran.status = null;
    },
    onSignal: () => () => {},
    onDump: () => () => {},
    terminal: false,
    columns: 120,
    env: { ...process.env, ...env },
  };
  const parser = yargs(argv)
    .parserConfiguration({ 'populate--': true, 'halt-at-non-option': false, 'camel-case-expansion': true })
    .command([...recordCommands(io), ...replayCommands(io)])
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new TraceError('USAGE', message);
    });
  try {
    await composeHelpWhenAsked(parser).parseAsync();
  } catch (error) {
    ran.status = 2;
    ran.err += error instanceof Error ? error.message : String(error);
  }
  return ran;
}
