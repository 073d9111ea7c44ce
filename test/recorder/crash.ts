// SIGKILLs a recorded program, its recorder, or both, at a moment, and counts what the finished trace has lost, doubled or
// out of order against what the program itself says it did.
//   npx tsx test/recorder/crash.ts [POINTS per victim] [SEED]

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { ops } from '../../schema/event.ts';
import { cli, counter, prepare, root, standin } from './build.ts';

export const victims = ['program', 'recorder', 'both', 'recovery'] as const;
export type Victim = (typeof victims)[number];
const THREADS = 3;

export interface Point {
  readonly victim: Victim;
  /** ms after the first call, ±1. */
  readonly delay: number;
  readonly events: number;
  /** Calls that the program made and the trace lacks, has twice, or has before an earlier one; in-flight calls unseen. */
  readonly lost: number;
  readonly doubled: number;
  readonly reordered: number;
  readonly unfinished: number;
  readonly integrity: string;
}

interface State {
  readonly pid: number;
  readonly threads: readonly { readonly begun: number; readonly returned: number }[];
}
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

function readState(path: string): State {
  if (!existsSync(path)) return { pid: 0, threads: [] };
  const bytes = readFileSync(path);
  if (bytes.length < 8 + 16 * THREADS) return { pid: 0, threads: [] };
  const threads = Array.from({ length: THREADS }, (_, i) => ({
    begun: Number(bytes.readBigUInt64LE(8 + 16 * i)),
    returned: Number(bytes.readBigUInt64LE(16 + 16 * i)),
  }));
  return { pid: Number(bytes.readBigUInt64LE(0)), threads };
}

function kill(pid: number | undefined): void {
  try {
    if (pid) process.kill(pid, 'SIGKILL');
  } catch {
    // gone already
  }
}
const alive = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
};
const ended = (child: ChildProcess): Promise<void> =>
  new Promise((done) => (child.exitCode !== null || child.signalCode ? done() : child.once('exit', () => done())));

function recover(trace: string): void {
  const r = spawnSync('node', [cli, 'recover', trace], { encoding: 'utf8', timeout: 60_000 });
  if (r.status !== 0 && !/finished trace already/.test(r.stderr)) throw new Error(`recover: ${r.status} ${r.stderr}`);
}

/** One kill at `delay` ms into the program's calls, then whatever brings the trace to its end. */
export async function crash(victim: Victim, delay: number, calls = 60_000): Promise<Point> {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-crash-'));
  const trace = join(folder, 'crash.vrr');
  const statePath = join(folder, 'state');
  try {
    const recorder = spawn(
      'node',
      [cli, 'record', '-o', trace, '--', counter, statePath, String(THREADS), String(calls)],
      { env: { ...process.env, LD_PRELOAD: standin }, stdio: 'ignore', cwd: root },
    );
    const deadline = Date.now() + 20_000;
    while (readState(statePath).pid === 0 && Date.now() < deadline) await sleep(1);
    await sleep(delay);
    const { pid } = readState(statePath);
    if (victim !== 'program') kill(recorder.pid);
    if (victim === 'program' || victim === 'both') kill(pid);
    await ended(recorder);
    if (victim === 'recovery') {
      // The recovery, which goes on recording while the program runs, is killed as well.
      const second = spawn('node', [cli, 'recover', trace], { stdio: 'ignore' });
      await sleep(150 + delay);
      kill(second.pid);
      await ended(second);
    }
    while (alive(pid) && Date.now() < deadline + 30_000) await sleep(5);
    recover(trace);
    return { victim, delay, ...judge(trace, readState(statePath), victim === 'program' || victim === 'both') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function judge(trace: string, state: State, killed: boolean): Omit<Point, 'victim' | 'delay'> {
  const db = new Database(trace, { readonly: true });
  const rows = db
    .prepare(
      `SELECT e.val AS val, e.dur IS NULL AS open FROM event e JOIN site s ON s.id = e.site
       WHERE s.op = ${ops.pwrite} ORDER BY e.id`,
    )
    .all() as { val: number; open: number }[];
  const integrity = db.pragma('integrity_check', { simple: true }) as string;
  const orderOff = db
    .prepare('SELECT count(*) FROM event a JOIN event b ON b.id = a.id + 1 WHERE b.t + b.dur < a.t + a.dur - 1')
    .pluck()
    .get() as number;
  db.close();
  const count = { lost: 0, doubled: 0, reordered: orderOff, unfinished: rows.filter((r) => r.open).length };
  state.threads.forEach(({ begun, returned }, me) => {
    const own = rows.filter((r) => Math.floor(r.val / 2 ** 32) === me);
    const numbers = own.map((r) => r.val % 2 ** 32);
    const returnedSeen = own.filter((r) => !r.open).length;
    const distinct = new Set(numbers);
    count.doubled += numbers.length - distinct.size;
    for (let i = 1; i < numbers.length; i++) if ((numbers[i] ?? 0) < (numbers[i - 1] ?? 0)) count.reordered++;
    for (let i = 0; i < returned; i++) if (!distinct.has(i)) count.lost++;
    // What was begun may be cut before its record; what is there must have been begun.
    if (distinct.size > begun || returnedSeen < returned) count.lost++;
    if (!killed && begun !== returned) count.lost++;
  });
  return { events: rows.length, integrity, ...count };
}

/** Random numbers that are the same for a seed (mulberry32). */
function generator(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export async function crashes(points: number, seed: number, seen: (p: Point) => void): Promise<Point[]> {
  prepare();
  const random = generator(seed);
  const all: Point[] = [];
  for (const victim of victims)
    for (let i = 0; i < points; i++) {
      const point = await crash(victim, Math.floor(random() * 120));
      seen(point);
      all.push(point);
    }
  return all;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const points = Number(process.argv[2] ?? 20);
  const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
  process.stdout.write(`seed ${seed}\n`);
  const all = await crashes(points, seed, (p) => process.stdout.write(`${JSON.stringify(p)}\n`));
  const bad = all.filter((p) => p.lost + p.doubled + p.reordered > 0 || p.integrity !== 'ok');
  process.stdout.write(`${all.length} points, ${bad.length} bad\n`);
  process.exitCode = bad.length ? 1 : 0;
}
