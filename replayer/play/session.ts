// One played run: the directory, the thread that answers, the program.

import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { constants as osConstants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, TraceError } from '../../schema/errors.ts';
import { environment } from '../../schema/event.ts';
import { play_request, playOps } from '../../schema/play.ts';
import { underCallersLimit } from '../../traces/caller.ts';
import type { Remark } from './machine.ts';
import type { Plan } from './plan.ts';
import type { PlayCounts } from './server.ts';

export interface WorkerData {
  readonly dir: string;
  readonly plan: Plan;
  readonly waiting: SharedArrayBuffer;
}
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'said'; readonly text: string }
  | ({ readonly kind: 'done' } & Answered)
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string };

interface Answered {
  readonly counts: PlayCounts;
  readonly remarks: readonly Remark[];
  /** Names of the devices that the program could find. */
  readonly devices: readonly string[];
}

export interface Played extends Answered {
  /** The program's exit status, 128 + signal when killed. */
  readonly status: number;
}

export interface Launch {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Takes what would end us, until the function that comes back is called. */
  readonly onSignal?: (listener: (signal: NodeJS.Signals) => void) => () => void;
  /** Signals of the keyboard reach the program by themselves. */
  readonly terminal?: boolean;
  /** What is said while the program runs. */
  readonly say?: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdio?: StdioOptions;
}

/** The library that the program is to preload. */
export function playLibrary(): string {
  const here = fileURLToPath(import.meta.url);
  const up = here.includes('/dist/') ? '../../../' : '../../';
  return fileURLToPath(new URL(`${up}native/build/libvfio-rr-play.so`, import.meta.url));
}

/** Removes what killed runs left: directories whose server reads no more. */
function sweep(base: string): void {
  for (const name of readdirSync(base)) {
    const dir = join(base, name);
    if (
      !name.startsWith(PREFIX) ||
      Date.now() - (statSync(dir, { throwIfNoEntry: false })?.mtimeMs ?? Infinity) < 60_000
    )
      continue;
    try {
      closeSync(openSync(join(dir, 'requests'), constants.O_WRONLY | constants.O_NONBLOCK));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENXIO' || code === 'ENOENT') rmSync(dir, { recursive: true, force: true }); // nobody reads
    }
  }
}
const PREFIX = 'vfio-rr-play-';

function makeDirectory(): string {
  let base = tmpdir();
  try {
    accessSync('/dev/shm', constants.W_OK);
    base = '/dev/shm';
  } catch {
    // no tmpfs there: device memory that is mapped lies on a disk then
  }
  sweep(base);
  const dir = mkdtempSync(join(base, PREFIX));
  for (const name of ['reply', 'fd', 'ram', 'root']) mkdirSync(join(dir, name), { mode: 0o700 });
  execFileSync('mkfifo', ['-m', '600', join(dir, 'requests')]);
  return dir;
}

/** A request of the server's own. */
function note(op: number): Buffer {
  const bytes = Buffer.alloc(play_request.size);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(op, 4);
  return bytes;
}

/** How often a quiet program lets virtual time go on, ms. */
const TICK = 5;

function startTicks(requests: number, flag: Int32Array): NodeJS.Timeout {
  let before = -1;
  const tick = note(playOps.tick);
  return setInterval(() => {
    const served = Atomics.load(flag, 1);
    if (Atomics.load(flag, 0) === 1 && served === before) writeSync(requests, tick);
    before = Atomics.load(flag, 1);
  }, TICK);
}

/** execvp(3) says EACCES for a name that it finds nowhere when a folder of PATH may not be searched. */
function notStarted(program: string, error: NodeJS.ErrnoException): TraceError {
  const sought = !program.includes('/');
  const missing = error.code === 'ENOENT' || (error.code === 'EACCES' && sought);
  const text = !missing
    ? `${program} does not start: ${error.message}`
    : sought
      ? `there is no program ${program} in PATH; give its path, or install it`
      : `there is no program ${program}; check its path`;
  return new TraceError('USAGE', text);
}

function ended(child: ChildProcess, program: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => reject(notStarted(program, error)));
    child.on('exit', (code, signal) => resolve(signal ? 128 + osConstants.signals[signal] : (code ?? 0)));
  });
}

/** Run from source, tsx does not reach into workers by itself. */
function startWorker(workerData: WorkerData): Worker {
  if (!import.meta.url.endsWith('.ts')) return new Worker(new URL('./worker.js', import.meta.url), { workerData });
  const source = new URL('./worker.ts', import.meta.url).href;
  return new Worker(`import('tsx/esm/api').then((tsx) => (tsx.register(), import('${source}')))`, {
    eval: true,
    workerData,
  });
}

class Answering {
  readonly ready: Promise<void>;
  readonly done: Promise<Answered>;
  constructor(data: WorkerData, say: (text: string) => void) {
    const worker = startWorker(data);
    let isReady: () => void = () => {};
    let broke: (e: Error) => void = () => {};
    this.ready = new Promise((resolve, reject) => {
      isReady = resolve;
      broke = reject;
    });
    this.done = new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        broke(error);
        reject(error);
      };
      worker.on('error', fail);
      worker.on('message', (m: FromWorker) => {
        if (m.kind === 'ready') isReady();
        else if (m.kind === 'said') say(m.text);
        else if (m.kind === 'done') resolve(m);
        else fail(new TraceError(m.code, m.message));
      });
    });
    this.done.catch(() => {}); // reported where it is awaited
  }
}

/** Runs the program with the plan's devices until it ends. */
export async function play(plan: Plan, launch: Launch): Promise<Played> {
  const library = playLibrary();
  if (!existsSync(library)) throw new TraceError('HOST', `${library} is missing; run \`npm run build:native\` first`);
  const dir = makeDirectory();
  const waiting = new SharedArrayBuffer(8);
  const requests = openSync(join(dir, 'requests'), 'r+');
  let ticks: NodeJS.Timeout | undefined;
  let ending = false;
  let release: (() => void) | undefined;
  try {
    const answering = new Answering({ dir, plan, waiting }, launch.say ?? (() => {}));
    await answering.ready;
    ticks = startTicks(requests, new Int32Array(waiting));
    const [program = '', ...args] = launch.command;
    // Where LD_PRELOAD ends a name; the directory has neither.
    const unnameable = /[ :]/.test(library);
    const named = unnameable ? join(dir, 'library.so') : library;
    if (unnameable) symlinkSync(library, named);
    const preload = launch.env.LD_PRELOAD;
    const env = { ...launch.env, [environment.play]: dir, LD_PRELOAD: preload ? `${preload}:${named}` : named };
    const child = underCallersLimit(() => spawn(program, args, { stdio: launch.stdio ?? 'inherit', env }));
    release = launch.onSignal?.((signal) => {
      const keyboard = signal === 'SIGINT' || signal === 'SIGQUIT';
      if (!(keyboard && launch.terminal)) child.kill(signal);
    });
    // A program that outlives a broken server gets EIO from it; a server that breaks ends the run.
    const status = await Promise.race([ended(child, program), answering.done.then(() => 0)]);
    writeSync(requests, note(playOps.end));
    ending = true;
    return { status, ...(await answering.done) };
  } finally {
    release?.();
    if (!ending) writeSync(requests, note(playOps.end)); // nothing else ends a thread that blocks
    clearInterval(ticks);
    closeSync(requests);
    rmSync(dir, { recursive: true, force: true });
  }
}
