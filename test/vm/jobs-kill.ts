// SIGKILL at random points: nothing lost, doubled or reordered, and the calls that were under way are in the trace.
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';

import Database from 'better-sqlite3';

import { bindAll, EDU } from './clients.ts';
import { vfioRr } from './command.ts';
import type { Job } from './job.ts';
import { expectWhole } from './record.ts';
import { ended, expectStatus, sleep, startProgram } from './run-program.ts';

/** The command in one file: sixty recorders start, and a start costs seconds here. */
const RECORDER = ['node', 'dist/vm/vfio-rr.mjs'];
const STEADY = 'test/clients/build/steady';
const THREADS = 3;
/** Registers of steady.c's threads, as offsets in BAR 0 (edu.h). */
const REGISTERS = [0x80, 0x88, 0x90];
/** A start of the recorder costs seconds in the guest; test/recorder/crash.ts takes any number, where it costs less. */
const POINTS = 6;

type Victim = 'program' | 'recorder' | 'both';

/** Numbers that a seed fixes, so that a failure can be had again (mulberry32). */
function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The file is there, and empty, a moment before the program has given it its size: no calls yet. */
function notes(path: string): { begun: number; returned: number }[] {
  const bytes = Buffer.concat([readFileSync(path), Buffer.alloc(THREADS * 16)]);
  return Array.from({ length: THREADS }, (_, k) => ({
    begun: Number(bytes.readBigUInt64LE(k * 16)),
    returned: Number(bytes.readBigUInt64LE(k * 16 + 8)),
  }));
}

/** The process whose executable is steady, found by /proc. */
function steadyPid(): number | null {
  for (const pid of readdirSync('/proc').filter((p) => /^\d+$/.test(p))) {
    try {
      const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (argv[0] === STEADY) return Number(pid);
    } catch {
      // it ended while we looked
    }
  }
  return null;
}

/** One thread of the program is in read(2), as its waiter is for good: number 0 in asm/unistd_64.h, proc(5). */
function waits(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((tid) =>
      readFileSync(`/proc/${pid}/task/${tid}/syscall`, 'utf8').startsWith('0 '),
    );
  } catch {
    return false; // a thread ended while we looked
  }
}

async function untilCalling(path: string, recorder: ChildProcess): Promise<number> {
  for (let i = 0; i < 12_000; i++) {
    const pid = steadyPid();
    if (pid && existsSync(path) && notes(path).every((n) => n.returned > 0) && waits(pid)) return pid;
    if (recorder.exitCode !== null)
      throw new Error(`the recorder ended with ${recorder.exitCode} before the program made calls`);
    await sleep(5);
  }
  throw new Error('the program made no call in 60 s');
}

interface Row {
  id: number;
  offset: number;
  write: number;
  val: number | null;
  ret: number | null;
}

/** Every numbered call once, in order, up to what the program itself noted; the one under way at least entered. */
function expectComplete(trace: string, noted: { begun: number; returned: number }[]): void {
  const db = new Database(trace, { readonly: true });
  try {
    const rows = db
      .prepare(
        `SELECT e.id, e.a AS offset, o.name = 'pwrite' AS "write", e.val, e.ret FROM event e JOIN site s ON s.id = e.site
         JOIN op_name o ON o.op = s.op WHERE s.region = 0 AND s.length = 4 AND o.name IN ('pread', 'pwrite')
         AND e.a IN (${REGISTERS.join(',')}) ORDER BY e.dur IS NULL, e.id`,
      )
      .all() as Row[];
    noted.forEach(({ begun, returned }, k) => {
      const mine = rows.filter((r) => r.offset === REGISTERS[k]);
      mine.forEach((row, i) => {
        const number = i + 1;
        const value = number % 2 ? number : number - 1;
        const answered = row.ret !== null;
        if (row.write !== number % 2 || ((answered || row.write) && row.val !== value))
          throw new Error(
            `thread ${k}: call ${number} is event ${row.id}, ${row.write ? 'pwrite' : 'pread'} of ${row.val}: lost, doubled or out of order`,
          );
        if (!answered && i < mine.length - 1)
          throw new Error(`thread ${k}: event ${row.id} did not return but others follow it`);
      });
      if (mine.length < returned)
        throw new Error(`thread ${k}: ${returned} calls returned and the trace has ${mine.length}`);
      if (mine.length > begun)
        throw new Error(`thread ${k}: ${begun} calls were begun and the trace has ${mine.length}`);
    });
    const waiting = db
      .prepare(
        `SELECT count(*) AS n FROM event e JOIN site s ON s.id = e.site JOIN op_name o ON o.op = s.op WHERE o.name = 'read' AND e.ret IS NULL`,
      )
      .get() as { n: number };
    if (waiting.n !== 1)
      throw new Error(`${waiting.n} calls in flight in the trace where one thread waits for its interrupt`);
  } finally {
    db.close();
  }
}

async function point(victim: Victim, seed: number): Promise<void> {
  const next = random(seed);
  const trace = `/tmp/killed-${victim}.vrr`;
  const noted = '/tmp/steady.notes';
  for (const path of [trace, noted]) rmSync(path, { force: true });
  const recorder = startProgram([...RECORDER, 'record', '-o', trace, '--', STEADY, noted, EDU]);
  const program = await untilCalling(noted, recorder);
  // mostly early, where a few segments are judged quickly; some late, after many
  await sleep(next() * (seed % 5 ? 50 : 400));
  const kill = (pid: number): void => void process.kill(pid, 'SIGKILL');
  if (victim === 'recorder') {
    kill(recorder.pid as number);
    await ended(recorder);
    await sleep(next() * 20); // the program goes on alone
    kill(program);
  } else if (victim === 'both') {
    const first = next() < 0.5 ? program : (recorder.pid as number);
    kill(first);
    kill(first === program ? (recorder.pid as number) : program);
  } else kill(program);
  await ended(recorder);
  for (let i = 0; i < 100 && steadyPid() !== null; i++) await sleep(20);
  if (victim !== 'program') expectStatus('recover', await vfioRr(['recover', trace]));
  expectWhole(trace);
  expectComplete(trace, notes(noted));
  spawnSync('sh', ['-c', 'rm -f /dev/shm/*vfio-rr* /tmp/killed-*']);
}

async function points(victim: Victim): Promise<void> {
  bindAll();
  const failures: string[] = [];
  for (let i = 0; i < POINTS; i++) {
    try {
      await point(victim, i + 1);
    } catch (error) {
      const left = steadyPid();
      if (left) process.kill(left, 'SIGKILL');
      failures.push(`point ${i + 1}: ${error instanceof Error ? error.message : error}`);
      if (failures.length === 3) break;
    }
  }
  if (failures.length) throw new Error(failures.join('; '));
}

export const killJobs = (): Job[] =>
  (['program', 'recorder', 'both'] as const).map((victim) => ({
    name: `SIGKILL of ${victim === 'both' ? 'program and recorder' : `the ${victim}`} at ${POINTS} points`,
    run: () => points(victim),
  }));
