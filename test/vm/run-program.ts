// A program run to its end, with what it said.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';

export interface Ran {
  status: number | null;
  signal: string | null;
  out: string;
  err: string;
}

export interface RunOptions {
  seconds?: number;
  env?: Record<string, string>;
  input?: string;
}

/** Runs argv; killed after `seconds` (60). */
export function runProgram(argv: string[], options: RunOptions = {}): Ran {
  const [command, ...args] = argv as [string, ...string[]];
  const run = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: (options.seconds ?? 60) * 1000,
    killSignal: 'SIGKILL',
    env: { ...process.env, ...options.env },
    maxBuffer: 64 << 20,
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  if (run.error && run.status === null && run.signal === null) throw run.error;
  return { status: run.status, signal: run.signal, out: run.stdout, err: run.stderr };
}

export const outcome = (r: Ran): string => (r.signal ? `killed by ${r.signal}` : `exit status ${r.status}`);

/** Throws with the program's own words when it did not end with `status`. */
export function expectStatus(what: string, run: Ran, status = 0): Ran {
  if (run.status !== status)
    throw new Error(
      `${what}: ${outcome(run)} (wanted ${status}): ${(run.err || run.out).trim().split('\n').slice(-6).join(' | ')}`,
    );
  return run;
}

/** A program in the background, for those that will be killed. */
export function startProgram(argv: string[], env: Record<string, string> = {}): ChildProcess {
  const [command, ...args] = argv as [string, ...string[]];
  return spawn(command, args, { stdio: 'ignore', env: { ...process.env, ...env } });
}

export const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((done) => child.once('exit', () => done()));

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
