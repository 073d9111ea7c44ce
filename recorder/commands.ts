// The commands of this stage, as yargs takes them.

import type { CommandModule } from 'yargs';
import { TraceError } from '../schema/errors.ts';
import { type MmioMode, mmioModes, RING_QUOTA } from '../schema/event.ts';
import { inherit } from '../traces/inherited.ts';
import type { Io } from '../traces/io.ts';
import { type Backend, backends, type Raw, raws } from './backend.ts';
import { ctlCommand } from './ctl.ts';
import { dmaArguments, dmaOptions } from './dma.ts';
import { examineHost, examineProgram, findingsText } from './doctor.ts';
import { type PayloadMode, payloadModes } from './drain.ts';
import { parseDumpOn, parseKeep } from './keep.ts';
import { record } from './record.ts';
import { recover } from './recover.ts';
import { parseBytes } from './size.ts';
import { summary } from './summary.ts';

const ids = (): { uid: number; gid: number; pid: number; cwd: string } => ({
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  pid: process.pid,
  cwd: process.cwd(),
});

function recordCommand(io: Io): CommandModule {
  return {
    command: 'record [command..]',
    describe: 'Run a program and record what it says to VFIO',
    builder: (y) =>
      dmaArguments(y)
        .usage('$0 record [-o FILE] [OPTIONS] -- PROGRAM [ARGUMENTS]')
        .option('output', {
          alias: 'o',
          type: 'string',
          describe: 'Trace to write [default: PROGRAM.vrr]',
          requiresArg: true,
        })
        .option('mmio', {
          choices: Object.keys(mmioModes) as MmioMode[],
          default: 'hide' as MmioMode,
          describe:
            'Mapped regions: hide that they can be mapped (VMMs), trap each access (DPDK), or pass them unrecorded',
        })
        .option('backend', {
          choices: backends,
          default: 'auto' as Backend,
          describe: 'How calls are caught: by preloading (cheap), or by ptrace (static programs; 10 µs a call)',
        })
        .option('raw', {
          choices: raws,
          default: 'auto' as Raw,
          describe: 'System calls that the program makes past libc: dispatched to the preloaded library, or left alone',
        })
        .option('payload', {
          choices: payloadModes,
          default: 'full' as PayloadMode,
          describe: 'Data read, written and pointed to: all of it, its hash, or its length',
        })
        .option('durable', { type: 'boolean', default: false, describe: 'Survive the loss of power (slower)' })
        .option('force', { type: 'boolean', default: false, describe: 'Overwrite; run what cannot be recorded' })
        .option('ring', { type: 'string', default: '/dev/shm', describe: 'Folder of the ring file', requiresArg: true })
        .option('quota', {
          type: 'string',
          describe: `Most that the ring may take [default: ${RING_QUOTA >> 20}M; with --keep SIZE half as much again]`,
          requiresArg: true,
        })
        .option('keep', {
          type: 'string',
          describe: 'Flight recorder: hold only the last 60s, 10m or 256M, and dump them when asked',
          requiresArg: true,
        })
        .option('dump-on', {
          type: 'string',
          array: true,
          nargs: 1,
          describe: 'With --keep, dump at: errno:EIO (a call that fails so), error (migration state), reset',
          implies: 'keep',
        })
        .option('dumps', { type: 'number', default: 16, describe: 'With --keep: most dumps, OUT-1.vrr, OUT-2.vrr, …' })
        .example('$0 record -o boot.vrr -- qemu-system-x86_64 …', 'every access of a guest to its device')
        .example('$0 record --dma=pages --doorbell BAR0+0x3818:8 -- PROGRAM', 'and what devices read and write by DMA')
        .example('$0 record --keep 60s --dump-on errno:EIO,error -- …', 'flight recorder: see also ctl, SIGUSR2')
        .example('$0 record --mmio=pass -- dpdk-testpmd …', 'all calls; mapped registers are not recorded'),
    handler: async (argv) => {
      const command = [
        ...((argv.command as string[] | undefined) ?? []),
        ...((argv['--'] as string[] | undefined) ?? []),
      ].map(String);
      const [program, ...rest] = command;
      if (program === undefined)
        throw new TraceError('USAGE', 'name the program to record: vfio-rr record -- PROGRAM …');
      const { uid, gid, pid, cwd } = ids();
      const recording = await record(
        {
          command: [program, ...rest],
          ...(argv.output === undefined ? {} : { output: String(argv.output) }),
          mmio: argv.mmio as MmioMode,
          dma: dmaOptions(argv),
          backend: argv.backend as Backend,
          raw: argv.raw as Raw,
          payload: argv.payload as PayloadMode,
          durable: argv.durable === true,
          force: argv.force === true,
          ring: String(argv.ring),
          quota: argv.quota === undefined ? undefined : parseBytes(String(argv.quota)),
          keep: argv.keep === undefined ? null : parseKeep(String(argv.keep)),
          dumpOn: parseDumpOn((argv.dumpOn as string[] | undefined) ?? []),
          dumps: Number(argv.dumps),
          env: io.env,
          user: { uid, gid },
          stdio: inherit(),
          pid,
          cwd,
        },
        io,
      );
      if (recording.trace) io.err(summary(recording.trace.path, recording.trace.outcome));
      if (recording.signal) io.die(recording.signal);
      else io.exit(recording.code ?? 0);
    },
  };
}

function recoverCommand(io: Io): CommandModule {
  return {
    command: 'recover <file>',
    describe: 'Finish the trace of a recorder that was killed',
    builder: (y) =>
      y
        .positional('file', { type: 'string', describe: 'The unfinished trace, or its ring file', demandOption: true })
        .option('output', {
          alias: 'o',
          type: 'string',
          describe: 'Trace to write, if FILE is a ring file',
          requiresArg: true,
        })
        .option('ring', {
          type: 'string',
          describe: 'Ring file of the trace FILE, if it is not where it was (copied from another machine)',
          requiresArg: true,
        })
        .example('$0 recover boot.vrr', 'the trace names its ring')
        .example('$0 recover /dev/shm/vfio-rr-1234-x.ring -o boot.vrr', 'the trace itself is gone'),
    handler: async (argv) => {
      const { path, outcome } = await recover(
        {
          from: String(argv.file),
          ...(argv.output === undefined ? {} : { output: String(argv.output) }),
          ...(argv.ring === undefined ? {} : { ring: String(argv.ring) }),
          cwd: ids().cwd,
        },
        io,
      );
      io.err(summary(path, outcome));
      io.exit(0);
    },
  };
}

function doctorCommand(io: Io): CommandModule {
  return {
    command: 'doctor [program]',
    describe: 'Say what of a program can be recorded, or what this host can do',
    builder: (y) =>
      y
        .positional('program', { type: 'string', describe: 'Program, as record would be given it' })
        .option('json', { type: 'boolean', default: false, describe: 'As JSON' })
        .option('ring', { type: 'string', default: '/dev/shm', describe: 'Folder of the ring file', requiresArg: true })
        .example('$0 doctor qemu-system-x86_64', 'before recording it'),
    handler: (argv) => {
      const program = argv.program as string | undefined;
      const findings =
        program === undefined
          ? examineHost(String(argv.ring))
          : examineProgram(program, io.env.PATH ?? '/usr/bin:/bin', ids());
      io.out(argv.json ? `${JSON.stringify(findings)}\n` : findingsText(findings));
      io.exit(findings.some((f) => f.grade === 'bad') ? 1 : 0);
    },
  };
}

export function recordCommands(io: Io): CommandModule[] {
  return [recordCommand(io), ctlCommand(io, ids().uid), recoverCommand(io), doctorCommand(io)];
}
