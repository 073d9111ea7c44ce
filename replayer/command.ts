// `vfio-rr replay`, as yargs takes it, and its report.

import type { CommandModule } from 'yargs';
import { TraceError } from '../schema/errors.ts';
import type { Io } from '../traces/io.ts';
import { rangeHelp } from '../traces/range.ts';
import type { ReplayCommand } from './run.ts';

async function replayAndReport(c: ReplayCommand, json: boolean, io: Io): Promise<void> {
  const { replayTrace } = await import('./run.ts');
  const { exitOf, reportLines } = await import('./report.ts');
  const verdict = await replayTrace(c, io.terminal ? progressOn(io) : undefined);
  if (json) io.out(`${JSON.stringify(verdict)}\n`);
  else for (const line of reportLines(verdict)) io.out(`${line}\n`);
  io.exit(exitOf(verdict));
}

/** A bar, from a second on. */
function progressOn(io: Io): (done: number, total: number) => void {
  const started = performance.now();
  let shown = 0;
  return (done, total) => {
    const now = performance.now();
    if (now - started < 1000 || (now - shown < 100 && done < total)) return;
    shown = now;
    const width = 30;
    const full = Math.round((width * done) / Math.max(1, total));
    const bar = `${'#'.repeat(full)}${'.'.repeat(width - full)} ${done} of ${total} calls`;
    io.err(`\r${bar}${done >= total ? '\r\x1b[K' : ''}`);
  };
}

const number = (name: string) => (n: number) => {
  if (!Number.isFinite(n) || n < 0) throw new TraceError('USAGE', `--${name} takes a number of milliseconds`);
  return n;
};

/** As yargs gives them. */
type Options = Omit<ReplayCommand, 'path' | 'maps' | 'masks' | 'output'> & {
  readonly trace: string;
  readonly map: readonly string[];
  readonly mask: readonly string[];
  readonly o: string | undefined;
  readonly json: boolean;
};

export function replayCommand(io: Io): CommandModule {
  return {
    command: 'replay <trace>',
    describe: 'Make the calls of a trace again, on a device or the emulator, and compare what they answer',
    builder: (y) =>
      y
        .positional('trace', { describe: 'A recording', type: 'string', demandOption: true })
        .option('on', { describe: 'device, emulator or emulator:PROFILE', type: 'string', default: 'device' })
        .option('map', {
          describe: 'RECORDED=OWN: the device that stands for a recorded one',
          type: 'string',
          array: true,
          nargs: 1,
          default: [] as string[],
        })
        .option('agent', {
          describe: "Command that runs an agent elsewhere, such as 'ssh HOST vfio-rr-agent'",
          type: 'string',
        })
        .option('o', { alias: 'output', describe: "Write the replay's own answers as a trace", type: 'string' })
        .option('force', { describe: 'Overwrite the output', type: 'boolean', default: false })
        .option('until', { describe: `End with the first event of a range. ${rangeHelp}`, type: 'string' })
        .option('speed', {
          describe: 'fast, or with the pauses that the program made',
          choices: ['fast', 'recorded'] as const,
          default: 'fast' as const,
        })
        .option('mask', {
          describe: 'CALL:FIELD not to compare, * as a wildcard',
          type: 'string',
          array: true,
          nargs: 1,
          default: [] as string[],
        })
        .option('stop', { describe: 'End at the first divergence', type: 'boolean', default: false })
        .option('raw', { describe: 'Make calls that are not understood too (unsafe)', type: 'boolean', default: false })
        .option('patience', {
          describe: 'ms to wait for an interrupt or readiness',
          type: 'number',
          default: 10_000,
          coerce: number('patience'),
        })
        .option('settle', {
          describe: 'ms in which a register may come to its recorded value',
          type: 'number',
          default: 250,
          coerce: number('settle'),
        })
        .option('json', { describe: 'One JSON object', type: 'boolean', default: false })
        .example('$0 replay run.vrr', 'on the same device')
        .example('$0 replay run.vrr --map 0000:00:04.0=0000:00:05.0 -o now.vrr', 'on another one, answers kept')
        .example("$0 replay run.vrr --agent 'ssh host vfio-rr-agent'", 'on another host, which needs no Node')
        .example("$0 replay run.vrr --until '@name:VFIO_DEVICE_RESET'", 'up to the first reset'),
    handler: async (argv) => {
      const a = argv as unknown as Options;
      await replayAndReport(
        {
          ...{ path: a.trace, on: a.on, agent: a.agent, maps: a.map, output: a.o, force: a.force, until: a.until },
          ...{ speed: a.speed, masks: a.mask, raw: a.raw, patience: a.patience, settle: a.settle },
          stop: a.stop,
        },
        a.json,
        io,
      );
    },
  };
}
