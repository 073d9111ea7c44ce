// SIGKILLs recorded programs, their recorder, both, and recoveries under way, at random points, and counts what the
// finished traces have lost, doubled, mixed up or spoilt against what the programs themselves say they did.
//   npm run test:crash -- [POINTS] [SEED]       POINTS in all, a quarter for each victim
//   npm run test:crash -- --group VICTIM SEED   one group again, as a line of the output names it
//
// A group is one recorder process with several recordings under way, killed together: by a timer in its kernel, which
// hits between any two instructions, or by its n-th change of a file, in the middle of transactions, index making and
// the trace's last rewrite. A seed fixes all that is chosen; what the machine's load does to it, it does not.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { recover } from '../../recorder/recover.ts';
import { TraceError } from '../../schema/errors.ts';
import { compile, prepare, root, standin } from './build.ts';
import { judge, type Notes, readNotes, type Verdict } from './judge.ts';

export const victims = ['program', 'recorder', 'both', 'recovery'] as const;
export type Victim = (typeof victims)[number];

export interface Point extends Verdict {
  readonly victim: Victim;
  /** Of the group, to have it again. */
  readonly seed: number;
  /** The kill; undefined: whatever it was to hit had ended before, so this was no kill. */
  readonly kill: string | undefined;
}

const build = join(root, 'test/recorder/build');
const speaker = join(build, 'speaker');
const fuse = join(build, 'fuse.so');
const THREADS = 3;
const VOICES = THREADS + 2;
/** Recordings of one recorder process. */
const GROUP: Readonly<Record<Victim, number>> = { program: 10, recorder: 4, both: 4, recovery: 4 };
/** About how often the recordings, or the recoveries, of a group change files, and their µs of processor time. */
const LIFE = { recording: [2800, 400_000], recovery: [700, 150_000] } as const;
/** ms after which a program that should have ended is a failure. */
const PATIENCE = 60_000;

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Random numbers below `n` that are the same for a seed (mulberry32). */
export function generator(seed: number): (n: number) => number {
  let a = seed;
  return (n) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/** Processes of the group that still run; field 5 of proc(5) stat is the group. */
function members(group: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [state, , pgrp] = readFileSync(`/proc/${name}/stat`, 'latin1')
          .replace(/^.*\) /s, '')
          .split(' ');
        return Number(pgrp) === group && state !== 'Z' && state !== 'X';
      } catch {
        return false;
      }
    })
    .map(Number);
}

async function until(what: () => boolean, seed: number): Promise<void> {
  const start = performance.now();
  while (!what()) {
    if (performance.now() - start > PATIENCE) throw new Error(`a program of the group ${seed} goes on`);
    await sleep(5);
  }
}

export function prepareCrash(): void {
  prepare();
  mkdirSync(build, { recursive: true });
  compile('speaker.c', speaker, ['-pthread']);
  compile('fuse.c', fuse, ['-shared', '-fPIC', '-ldl']);
}

interface Recorded {
  readonly trace: string;
  readonly notes: string;
  readonly job: readonly [number, object];
}

/** A recording with a small ring of small segments, so that all of it is reached within a short life. */
function recording(folder: string, i: number, victim: Victim, random: (n: number) => number): Recorded {
  const trace = join(folder, `${i}.vrr`);
  const notes = join(folder, `${i}.notes`);
  const calls = 50 + random(500);
  const pace = 500 + random(2000);
  const command = [speaker, notes, String(THREADS), String(calls), String(random(1e9)), String(pace)];
  if (victim === 'program') command.push(String(random((calls / 8) * pace * 1.5)));
  // Writers that outlive their recorder have what was given ahead, a quarter of the ring.
  const quota = victim === 'program' ? (128 << 10) << random(4) : 4 << 20;
  const runtime = join(folder, `${i}.run`);
  mkdirSync(runtime);
  const options = {
    command,
    output: trace,
    mmio: 'hide',
    backend: 'preload',
    raw: 'auto',
    payload: 'full',
    durable: false,
    force: false,
    ring: folder,
    quota,
    segmentSize: 4096 << random(3),
    dma: { mode: 'none', limit: 0, doorbells: [] },
    keep: null,
    dumpOn: { bits: 0, errnos: [] },
    dumps: 0,
    // Of each recording its own: the place of its control socket goes by the process.
    env: { LD_PRELOAD: standin, XDG_RUNTIME_DIR: runtime },
    cwd: folder,
    user: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  };
  return { trace, notes, job: [random(victim === 'program' ? 50 : 200), options] };
}

/** Only a program that comes to its end lets its waiting thread go. */
const unended = (notes: Notes): boolean => {
  const waiting = notes.voices.at(-1);
  return waiting === undefined || waiting.begun === 0 || waiting.begun > waiting.returned;
};

interface Ended {
  readonly killed: boolean;
  /** Of the recorders and their programs. */
  readonly group: number;
}

/** A process of recorders from start to end. A group of its own: its programs are in it. */
function host(folder: string, work: object, fuses: Readonly<Record<string, string>>): Promise<Ended> {
  const count = join(folder, 'writes');
  rmSync(count, { force: true });
  const child = spawn(process.execPath, [join(root, 'test/recorder/host.mjs'), JSON.stringify(work)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...fuses, FUSE_COUNT: count, LD_PRELOAD: fuse },
  });
  return new Promise<Ended>((done, failed) => {
    child.on('exit', (code, signal) => {
      if (code === 0 || signal === 'SIGKILL') done({ killed: signal === 'SIGKILL', group: child.pid ?? 0 });
      else failed(new Error(`the recorder ended with ${code ?? signal}`));
    });
  });
}

function fuses(random: (n: number) => number, of: keyof typeof LIFE): Record<string, string> {
  const [writes, microseconds] = LIFE[of];
  return random(3) > 0 ? { FUSE_WRITES: String(1 + random(writes)) } : { FUSE_US: String(1 + random(microseconds)) };
}

/** Whether there is a trace to judge; without, the program must not have begun. */
async function finish(trace: string, unbegun: () => boolean): Promise<boolean> {
  try {
    if (existsSync(trace)) await recover({ from: trace, cwd: '/' }, { err: () => {}, onSignal: () => () => {} });
    return existsSync(trace);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    if (/finished trace already/.test(error.message)) return true;
    if (unbegun()) return false;
    throw error;
  }
}

const nothing: Verdict = {
  events: 0,
  lost: 0,
  doubled: 0,
  reordered: 0,
  spoilt: 0,
  unfinished: 0,
  named: 0,
  integrity: 'ok',
};

/** One group of recordings, killed once and brought to their end: a point for each. */
export async function group(victim: Victim, seed: number): Promise<Point[]> {
  const random = generator(seed);
  const folder = mkdtempSync(join('/dev/shm', 'vfio-rr-crash-'));
  const recordings = Array.from({ length: GROUP[victim] }, (_, i) => recording(folder, i, victim, random));
  let kept = false;
  const notesOf = (r: Recorded): Notes => readNotes(r.notes, VOICES);
  try {
    const first: Record<string, string> = victim === 'program' ? {} : fuses(random, 'recording');
    if (victim === 'both') first.FUSE_GROUP = '1';
    let { killed, group } = await host(folder, { record: recordings.map((r) => r.job) }, first);
    // A program that has not yet begun is unknown to the trace and to a recovery.
    await until(() => members(group).every((pid) => recordings.some((r) => notesOf(r).pid === pid)), seed);
    let kill = JSON.stringify(first);
    if (victim === 'recovery') {
      const second = fuses(random, 'recovery');
      ({ killed } = await host(folder, { recover: recordings.map((r) => r.trace) }, second));
      kill += ` ${JSON.stringify(second)}`;
    }
    // Half of the last recoveries go on recording while the program runs.
    if (random(2)) await until(() => members(group).length === 0, seed);
    const dead = (r: Recorded): boolean => (victim === 'program' ? unended(notesOf(r)) : killed);
    const points: Point[] = [];
    for (const r of recordings) {
      const there = await finish(r.trace, () => notesOf(r).pid === 0);
      await until(() => members(group).length === 0, seed);
      const notes = notesOf(r);
      const begun = notes.voices.reduce((n, v) => n + v.begun, 0);
      const verdict = there
        ? judge(r.trace, notes, victim === 'program' || victim === 'both')
        : { ...nothing, lost: begun };
      points.push({ victim, seed, kill: dead(r) ? kill : undefined, ...verdict });
    }
    const left = readdirSync(folder).filter((f) => f.endsWith('.ring'));
    if (left.length > recordings.length) throw new Error(`ring files are left: ${left}`);
    kept = points.some((p) => !isGood(p));
    if (kept) process.stderr.write(`kept for a look: ${folder}\n`);
    return points;
  } finally {
    if (!kept) rmSync(folder, { recursive: true, force: true });
  }
}

export const isGood = (p: Point): boolean =>
  p.lost + p.doubled + p.reordered + p.spoilt + p.named === 0 && p.integrity === 'ok';

/** At least `points` kills of each victim, some groups at once. */
export async function crashes(victim: Victim, points: number, seed: number): Promise<Point[]> {
  const random = generator(seed + victims.indexOf(victim));
  const all: Point[] = [];
  const worker = async (): Promise<void> => {
    while (all.filter((p) => p.kill !== undefined).length < points) all.push(...(await group(victim, random(2 ** 31))));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return all;
}

function line(p: Point): string {
  return `${p.victim} ${p.seed} ${p.kill ?? '(not killed)'} ${JSON.stringify({ ...p, victim: undefined, seed: undefined, kill: undefined })}\n`;
}

async function main(argv: readonly string[]): Promise<void> {
  prepareCrash();
  if (argv[0] === '--group') {
    for (const p of await group(argv[1] as Victim, Number(argv[2]))) process.stdout.write(line(p));
    return;
  }
  const points = Number(argv[0] ?? 1000);
  const seed = Number(argv[1] ?? Date.now() % 2 ** 31);
  process.stdout.write(`seed ${seed}\n`);
  let bad = 0;
  for (const victim of victims) {
    const all = await crashes(victim, Math.ceil(points / victims.length), seed);
    const killed = all.filter((p) => p.kill !== undefined);
    const wrong = all.filter((p) => !isGood(p));
    bad += wrong.length;
    for (const p of wrong) process.stdout.write(line(p));
    const sum = (of: (p: Point) => number): number => all.reduce((n, p) => n + of(p), 0);
    process.stdout.write(
      `${victim}: ${killed.length} kills, ${all.length - killed.length} too late; ${sum((p) => p.events)} calls, ` +
        `${sum((p) => p.unfinished)} unfinished; lost ${sum((p) => p.lost)}, doubled ${sum((p) => p.doubled)}, ` +
        `reordered ${sum((p) => p.reordered)}, spoilt ${sum((p) => p.spoilt)}\n`,
    );
  }
  process.exitCode = bad > 0 ? 1 : 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));
