// vfio-rr test DIR

import { existsSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { CommandModule } from 'yargs';
import { exitCodes, TraceError } from '../../schema/errors.ts';
import type { Io } from '../../traces/io.ts';
import { type Case as JunitCase, junit } from '../../traces/junit.ts';
import { annotations, caseText, reasons, summaryText, tap } from './report.ts';
import { type Case, type Mode, modes, parseShard, runSuite } from './suite.ts';

interface TestArguments {
  directory: string;
  mode: Mode;
  update: boolean;
  on: string;
  map: string[];
  agent: string | undefined;
  shard: string;
  junit: string | undefined;
  force: boolean;
  tap: boolean;
  github: boolean;
  bisect: boolean;
}

/** `git bisect run` skips a commit that exits so (git-bisect(1)). */
const BISECT_SKIP = 125;

export const testCommand = (io: Io): CommandModule<object, TestArguments> => ({
  command: 'test <directory>',
  describe: 'Replay every trace of a directory and compare with what is expected of each',
  builder: (y) =>
    y
      .positional('directory', {
        type: 'string',
        demandOption: true,
        describe: 'holds *.vrr, with *.expect.json beside them',
      })
      .option('mode', {
        choices: modes,
        default: 'once' as Mode,
        describe:
          'when expectations are written: for traces that have none (once), also what is new (new), never (none), always (all)',
      })
      .option('update', { type: 'boolean', default: false, describe: 'the same as --mode all' })
      .option('on', {
        type: 'string',
        default: 'emulator',
        describe: 'target of traces that have no expectations: device, emulator or emulator:PROFILE',
      })
      .option('map', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [],
        describe: 'RECORDED=OWN, for traces that have no expectations',
      })
      .option('agent', {
        type: 'string',
        describe: "command that runs the agent elsewhere, such as 'ssh HOST vfio-rr-agent'",
      })
      .option('shard', { type: 'string', default: '1/1', describe: 'I/N: only the I-th of N parts' })
      .option('junit', { type: 'string', requiresArg: true, describe: "write JUnit's XML to this file" })
      .option('force', { type: 'boolean', default: false, describe: "overwrite JUnit's file" })
      .option('tap', { type: 'boolean', default: false, describe: 'print TAP' })
      .option('github', {
        type: 'boolean',
        default: io.env.GITHUB_ACTIONS === 'true',
        describe: "print GitHub's annotations",
      })
      .option('bisect', {
        type: 'boolean',
        default: false,
        describe: 'exit as `git bisect run` wants it: 0 good, 1 bad, 125 cannot tell',
      })
      .example('$0 test traces', 'in CI: exit 0 when every trace does what is expected')
      .example('$0 test traces --mode new', 'take in what is new, then look at the change')
      .example('git bisect run vfio-rr test traces --mode none --bisect', 'find the commit that changed it'),
  handler: async (argv) => {
    if (argv.junit && !argv.force && existsSync(argv.junit))
      throw new TraceError('USAGE', `${argv.junit} exists; --force overwrites it`);
    const { replayTrace } = await import('../run.ts');
    const show = (c: Case, done: number, total: number): void => {
      if (io.terminal) io.err(`\r\x1b[K${done} of ${total}${done === total ? '\r\x1b[K' : ''}`);
      if (!argv.tap) io.out(caseText(c));
    };
    const cases = await runSuite({
      directory: argv.directory,
      mode: argv.update ? 'all' : argv.mode,
      on: argv.on,
      maps: argv.map,
      shard: parseShard(argv.shard),
      replay: (path, e) =>
        replayTrace({
          ...{ path, on: e.on, maps: e.maps, masks: e.masks, agent: e.on === 'device' ? argv.agent : undefined },
          ...{ output: undefined, force: false, until: undefined, speed: 'fast', raw: false, stop: false },
          ...{ patience: 10_000, settle: 250 },
        }),
      onCase: show,
    });
    if (argv.junit) writeJunit(argv.junit, cases);
    io.out(argv.tap ? tap(cases) : summaryText(cases));
    if (argv.github) io.out(annotations(cases));
    io.exit(exitOf(cases, argv.bisect));
  },
});

function exitOf(cases: readonly Case[], bisect: boolean): number {
  if (cases.some((c) => c.outcome === 'failed')) return exitCodes.divergence;
  if (cases.some((c) => c.outcome === 'broken')) return bisect ? BISECT_SKIP : exitCodes.broken;
  return exitCodes.same;
}

function writeJunit(path: string, cases: readonly Case[]): void {
  try {
    writeFileSync(path, junitOf(cases));
  } catch (error) {
    throw new TraceError('HOST', `cannot write ${path}: ${(error as Error).message}`);
  }
}

function junitOf(cases: readonly Case[]): string {
  const suite = cases.map((c): JunitCase => {
    const why = [...reasons(c)];
    const good = c.outcome === 'passed' || c.outcome === 'written';
    const result: JunitCase['result'] = good
      ? { kind: 'passed' }
      : { kind: 'failed', message: why[0] ?? '', detail: why.join('\n') };
    return { name: basename(c.trace), group: dirname(c.trace), seconds: c.seconds, result };
  });
  return junit([{ name: 'vfio-rr test', cases: suite }]);
}
