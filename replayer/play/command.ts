// `vfio-rr play`: the command's options, and its work from them to an exit code.

import { existsSync } from 'node:fs';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import type { CommandModule } from 'yargs';
import { exitCodes, TraceError } from '../../schema/errors.ts';
import { dmaModes, mmioModes } from '../../schema/event.ts';
import { inherit } from '../../traces/inherited.ts';
import type { Io } from '../../traces/io.ts';
import type { Remark } from './machine.ts';
import type { Plan } from './plan.ts';
import type { Matching } from './recorded.ts';
import { play } from './session.ts';

export interface PlayCommand {
  readonly trace: string | undefined;
  /** PROFILE or PROFILE:NAME each. */
  readonly emulate: readonly string[];
  readonly faults: readonly string[];
  readonly seed: number | undefined;
  readonly match: Matching | undefined;
  /** Where to record the run. */
  readonly record: string | undefined;
  readonly force: boolean;
  /** How the recording is to treat mapped regions. */
  readonly mmio: string | undefined;
  readonly dma: string | undefined;
  /** Bytes, or `none`. */
  readonly memlock: string;
  /** Program and arguments. */
  readonly command: readonly string[];
}

function memlockOf(text: string): bigint | null {
  if (text === 'none') return null;
  if (!/^\d+$/.test(text)) throw new TraceError('USAGE', `--memlock ${text}: give a number of bytes, or none`);
  return BigInt(text);
}

async function planOf(c: PlayCommand): Promise<Plan> {
  const memlock = memlockOf(c.memlock);
  if (c.record === undefined && (c.force || c.mmio !== undefined || c.dma !== undefined))
    throw new TraceError('USAGE', '--force, --mmio and --dma go with --record');
  if (c.trace !== undefined && c.emulate.length > 0)
    throw new TraceError('USAGE', 'either a trace or --emulate answers the program: leave one of them out');
  if (c.trace !== undefined) {
    if (c.faults.length > 0 || c.seed !== undefined)
      throw new TraceError('USAGE', '--fault and --seed go with --emulate: a trace answers as it was recorded');
    if (!existsSync(c.trace)) throw new TraceError('USAGE', `no file ${c.trace}`);
    return { kind: 'trace', path: c.trace, matching: c.match ?? 'strict', memlock };
  }
  if (c.match !== undefined) throw new TraceError('USAGE', '--match goes with a trace');
  if (c.emulate.length === 0)
    throw new TraceError('USAGE', 'what is to answer the program? Name a trace, or --emulate PROFILE');
  if (c.seed !== undefined && !Number.isSafeInteger(c.seed))
    throw new TraceError('USAGE', '--seed: give a whole number');
  const { specOf } = await import('./emulated.ts'); // the whole emulator: only when asked for
  for (const device of c.emulate) specOf(device); // what is wrong with it is said before anything starts
  return { kind: 'emulate', devices: c.emulate, faults: c.faults, seed: c.seed ?? 0, memlock };
}

/** The recorder runs the program then, and is itself what is played. */
function recording(c: PlayCommand): readonly string[] {
  if (c.record === undefined) return c.command;
  const source = import.meta.url.endsWith('.ts');
  const cli = fileURLToPath(new URL(source ? '../../cli.ts' : '../../cli.js', import.meta.url));
  const options = [
    ...(c.force ? ['--force'] : []),
    ...(c.mmio === undefined ? [] : ['--mmio', c.mmio]),
    ...(c.dma === undefined ? [] : ['--dma', c.dma]),
  ];
  return [
    execPath,
    ...(source ? ['--import', 'tsx'] : []),
    cli,
    'record',
    '-o',
    c.record,
    ...options,
    '--',
    ...c.command,
  ];
}

/** Plays, tells what is to be told, and sets the exit code. */
export async function playCommandWork(c: PlayCommand, io: Io): Promise<void> {
  if (c.command.length === 0)
    throw new TraceError('USAGE', 'name the program behind --: vfio-rr play --emulate edu -- PROGRAM …');
  const stdio = inherit();
  const plan = await planOf(c);
  const played = await play(plan, {
    ...{ stdio, command: recording(c), env: io.env, terminal: io.terminal },
    onSignal: (listener) => io.onSignal(listener),
    say: (text) => io.err(`vfio-rr: ${text}\n`),
  });
  const silent: Remark[] =
    played.counts.calls > 0
      ? []
      : [
          {
            text: `${c.command[0]} made no call on a VFIO device: it looked for another than ${played.devices.join(', ')}, or it is static or setuid and cannot be played`,
            failed: true,
          },
        ];
  const failed = tell([...silent, ...played.remarks], io);
  io.exit(played.status === 0 && failed ? exitCodes.divergence : played.status);
}

function tell(remarks: readonly Remark[], io: Io): boolean {
  for (const r of remarks) io.err(`vfio-rr: ${r.text}\n`);
  return remarks.some((r) => r.failed);
}

/** As yargs gives them. */
interface Options {
  readonly trace?: string;
  readonly emulate: readonly string[];
  readonly fault: readonly string[];
  readonly seed?: number;
  readonly match?: Matching;
  readonly record?: string;
  readonly force: boolean;
  readonly mmio?: string;
  readonly dma?: string;
  readonly memlock: string;
  readonly '--'?: readonly string[];
}

export function playCommand(io: Io): CommandModule {
  return {
    command: 'play [trace]',
    describe: 'Run a program with the emulator or a trace as its VFIO devices: no root, no VFIO in the kernel',
    builder: (y) =>
      y
        .positional('trace', { describe: 'A recording that answers', type: 'string' })
        .option('emulate', {
          describe: 'PROFILE[:NAME]: an emulated device, with its address or UUID',
          type: 'string',
          array: true,
          nargs: 1,
          default: [] as string[],
        })
        .option('fault', {
          describe: "What goes wrong, such as 'SET_STATE:STOP_COPY=EIO@2'",
          type: 'string',
          array: true,
          nargs: 1,
          default: [] as string[],
        })
        .option('seed', { describe: "Of the emulator's random numbers", type: 'number' })
        .option('match', {
          describe: 'How a trace answers: strict, each thread in the recorded order; register, by what is accessed',
          choices: ['strict', 'register'] as const,
        })
        .option('record', { describe: 'Record the run as a trace', type: 'string', nargs: 1 })
        .option('force', { describe: 'Overwrite the recording', type: 'boolean', default: false })
        .option('dma', {
          choices: Object.keys(dmaModes),
          describe: 'With --record: as for record',
          requiresArg: true,
        })
        .option('mmio', {
          describe: 'Of the recording: how it treats mapped regions; see `record --help`. DPDK and SPDK need trap',
          choices: Object.keys(mmioModes),
        })
        .option('memlock', {
          describe: 'Bytes that a process may lock for DMA, as RLIMIT_MEMLOCK; or none',
          type: 'string',
          default: 'none',
        })
        .example('$0 play --emulate edu -- ./driver 0000:00:04.0', 'an emulated device')
        .example('$0 play --emulate v2-full --record out.vrr -- qemu-system-x86_64 …', 'and its recording')
        .example('$0 play field.vrr --match register -- ./driver', 'a recording answers'),
    handler: async (argv) => {
      const a = argv as unknown as Options;
      await playCommandWork(
        {
          ...{ trace: a.trace, emulate: a.emulate, faults: a.fault, seed: a.seed, match: a.match },
          ...{ record: a.record, force: a.force, mmio: a.mmio, dma: a.dma, memlock: a.memlock, command: a['--'] ?? [] },
        },
        io,
      );
    },
  };
}
