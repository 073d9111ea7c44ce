// The tools that vfio-rr is compared with: how each is put before a program, and how many of its calls it kept.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';

export interface Tool {
  readonly name: string;
  /** The program's command behind the tool's; what it keeps goes into `folder`. */
  readonly wrap: (argv: readonly string[], folder: string) => readonly string[];
  /** Why it cannot be used here, or null. real: on a device of the kernel's. */
  readonly missing: (real: boolean) => string | null;
  /** How many of the work's calls are in what it kept; null: it keeps nothing. */
  readonly kept: (folder: string) => number | null;
  /** What it wrote. */
  readonly files: readonly string[];
  /** Share of the work's rounds that it is given, so that a slow tool ends too. */
  readonly share: number;
}

/** A command exists and answers. */
function needs(...probe: [string, ...string[]]): () => string | null {
  return () => {
    const { error, status } = spawnSync(probe[0], probe.slice(1), { stdio: 'ignore', timeout: 20_000 });
    return error || status !== 0 ? `${probe.join(' ')} does not work here` : null;
  };
}

function lines(path: string, pattern: RegExp): number {
  if (!existsSync(path)) return 0;
  let found = 0;
  for (const line of readFileSync(path, 'utf8').split('\n')) if (pattern.test(line)) found++;
  return found;
}

const isCall = /\b(pread(64)?|pwrite(64)?|ioctl)\(/;
const inFile = (folder: string): number => lines(join(folder, 'out'), isCall);

const strace = (name: string, ...flags: string[]): Tool => ({
  name,
  wrap: (argv, folder) => [
    ...['strace', '-f', ...flags, '-e', 'trace=pread64,pwrite64,ioctl', '-o', join(folder, 'out')],
    ...argv,
  ],
  missing: needs('strace', '-V'),
  kept: inFile,
  files: ['out'],
  share: 0.05,
});

/** What the trace has of the loop's calls. */
function inTrace(folder: string): number {
  const db = new Database(join(folder, 'out.vrr'), { readonly: true });
  try {
    const sql = `SELECT count(*) AS n FROM call WHERE kind = 'device' AND name IN ('pread', 'pwrite', 'VFIO_DEVICE_GET_IRQ_INFO')`;
    return (db.prepare(sql).get() as { n: number }).n;
  } finally {
    db.close();
  }
}

const recorder = (name: string, command: readonly string[], share: number, ...flags: string[]): Tool => ({
  name,
  wrap: (argv, folder) => [...command, 'record', '--force', ...flags, '-o', join(folder, 'out.vrr'), '--', ...argv],
  missing: (real) =>
    real || !flags.includes('--backend=ptrace') ? null : 'watches the kernel, which has no such device',
  kept: inTrace,
  files: ['out.vrr'],
  share,
});

/** `command`: how vfio-rr is started. */
export const tools = (command: readonly string[]): readonly Tool[] => [
  { name: 'nothing', wrap: (argv) => argv, missing: () => null, kept: () => null, files: [], share: 1 },
  recorder('vfio-rr', command, 1),
  recorder('vfio-rr --backend=ptrace', command, 0.05, '--backend=ptrace'),
  strace('strace -f'),
  strace('strace -f --seccomp-bpf', '--seccomp-bpf'),
  {
    name: 'perf trace',
    wrap: (argv, folder) => [
      ...['perf', 'trace', '-e', 'pread64,pwrite64,ioctl', '-o', join(folder, 'out'), '--'],
      ...argv,
    ],
    missing: needs('perf', 'trace', '-e', 'pread64', '-o', '/dev/null', '--', 'true'),
    kept: inFile,
    files: ['out'],
    share: 0.02,
  },
  {
    name: 'ltrace -f',
    wrap: (argv, folder) => [...['ltrace', '-f', '-e', 'pread+pwrite+ioctl', '-o', join(folder, 'out')], ...argv],
    missing: needs('ltrace', '-V'),
    kept: inFile,
    files: ['out'],
    share: 0.02,
  },
  {
    name: 'umockdev-record',
    wrap: (argv, folder) => [
      ...[
        'umockdev-record',
        '-i',
        `/dev/vfio/vfio=${join(folder, 'out')}`,
        '-s',
        `/dev/vfio/vfio=${join(folder, 'rw')}`,
      ],
      ...['--', ...argv],
    ],
    missing: (real) => (real ? needs('umockdev-record', '--version')() : 'takes a device of the kernel only'),
    // a line a call, after its header
    kept: (folder) => lines(join(folder, 'out'), /^[A-Z_]+ |^ +[A-Z]/) + lines(join(folder, 'rw'), /^[rw] /),
    files: ['out', 'rw'],
    share: 1,
  },
];

export function bytesOf(tool: Tool, folder: string): number {
  return tool.files.reduce((sum, f) => sum + (statSync(join(folder, f), { throwIfNoEntry: false })?.size ?? 0), 0);
}

export function clear(tool: Tool, folder: string): void {
  for (const file of tool.files) rmSync(join(folder, file), { force: true });
}

export interface Spent {
  /** Seconds, of the program and of all that was started for it. */
  readonly wall: number;
  readonly cpu: number;
  /** What the command wrote to standard error. */
  readonly err: string;
}

/** Runs a command to its end by bash, whose `time` counts children that were waited for. */
export function spend(argv: readonly string[], env: Record<string, string>, seconds = 300): Spent {
  const script = 'TIMEFORMAT="time: %R %U %S"; time "$@"';
  const r = spawnSync('timeout', ['-k', '5', String(seconds), 'bash', '-c', script, 'bash', ...argv], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    maxBuffer: 64 << 20,
  });
  const [, wall, user, system] = /^time: ([\d.]+) ([\d.]+) ([\d.]+)$/m.exec(r.stderr) ?? [];
  if (r.status !== 0 || wall === undefined)
    throw new Error(`${argv.slice(0, 6).join(' ')} … ended with ${r.status ?? r.signal}: ${r.stderr.slice(-300)}`);
  return { wall: Number(wall), cpu: Number(user) + Number(system), err: r.stderr };
}

/** Its version, without what a distribution or a host adds. */
export const kernel = (): string =>
  /^\d+\.\d+/.exec(execFileSync('uname', ['-r'], { encoding: 'utf8' }))?.[0] ?? 'unknown';
