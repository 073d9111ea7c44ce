// What judging a large trace costs. The trace is a recording whose middle is repeated as often as needed.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { exitCodes } from '../../schema/errors.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Copies the trace with at least `events` of them; returns how many there are. */
export function grow(from: string, to: string, events: number): number {
  copyFileSync(from, to);
  const db = new Database(to);
  const { first, last } = db
    .prepare(
      'SELECT min(id) + (max(id) - min(id)) / 4 AS first, min(id) + (max(id) - min(id)) * 3 / 4 AS last FROM event',
    )
    .get() as { first: number; last: number };
  const step = last - first;
  const times = Math.ceil(events / step);
  const shift = (times + 1) * step;
  db.exec('BEGIN');
  db.prepare('UPDATE event SET id = id + ? WHERE id > ?').run(shift, last);
  for (const side of ['memory', 'made'])
    db.prepare(`UPDATE ${side} SET event = event + ? WHERE event > ?`).run(shift, last);
  const copies = 'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?)';
  db.prepare(
    `${copies} INSERT INTO event SELECT e.id + c.i * ?, e.site, e.t, e.dur, e.a, e.ret, e.val, e.inp, e.outp
     FROM c, event e WHERE e.id > ? AND e.id <= ?`,
  ).run(times, step, first, last);
  db.prepare(
    `${copies} INSERT INTO memory SELECT e.event + c.i * ?, e.at, e.phase, e.payload, e.total
     FROM c, memory e WHERE e.event > ? AND e.event <= ?`,
  ).run(times, step, first, last);
  db.exec('COMMIT');
  const { n } = db.prepare('SELECT count(*) AS n FROM event').get() as { n: number };
  db.close();
  return n;
}

/** Processor seconds (other work on the machine does not count) and largest resident set (MiB) of `vfio-rr ARGUMENTS`. */
export function costOf(args: readonly string[]): { seconds: number; mebibytes: number; wall: number } {
  const program =
    'import resource,subprocess,sys,time;t=time.time();c=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL).returncode;t=time.time()-t;r=resource.getrusage(resource.RUSAGE_CHILDREN);print(r.ru_utime+r.ru_stime,r.ru_maxrss/1024,t);sys.exit(c)';
  const { stdout, stderr, status } = spawnSync(
    'python3',
    ['-c', program, process.execPath, join(root, 'dist/cli.js'), ...args],
    {
      encoding: 'utf8',
      timeout: 1_800_000,
    },
  );
  if (status !== exitCodes.same && status !== exitCodes.divergence) throw new Error(`${args.join(' ')}: ${stderr}`);
  const [seconds = Number.NaN, mebibytes = Number.NaN, wall = Number.NaN] = stdout.trim().split(' ').map(Number);
  return { seconds, mebibytes, wall };
}

export interface Judging {
  readonly command: 'check' | 'diff';
  readonly events: number;
  readonly seconds: number;
  readonly mebibytes: number;
  readonly wall: number;
}

/** What `check` and `diff` cost on traces of so many events. */
export function* judgingCosts(sizes: readonly number[]): Generator<Judging> {
  const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-bench-'));
  try {
    for (const size of sizes) {
      const trace = join(dir, `${size}.vrr`);
      const events = grow(join(root, 'traces/golden/v3/qemu-7.2-v1-source.vrr'), trace, size);
      yield { command: 'check', events, ...costOf(['check', trace]) };
      yield { command: 'diff', events, ...costOf(['diff', trace, trace]) };
      rmSync(trace);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export function* largeCosts(sizes: readonly number[]): Generator<string> {
  for (const { command, events, seconds, mebibytes, wall } of judgingCosts(sizes)) {
    const speed = `${Math.round(events / seconds / 1000)} 000 events/s`;
    yield `${command} of ${events} events: ${seconds.toFixed(1)} s CPU, ${wall.toFixed(1)} s, ${speed}, ${mebibytes.toFixed(0)} MiB`;
  }
}
