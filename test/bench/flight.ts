// What a flight recorder takes while a program makes calls without a pause: the most memory, ring and disk seen.
//   npm run bench -- --flight SECONDS [--keep 64M]

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { cli, flight, prepare, standin } from '../recorder/build.ts';

/** ms between two looks. */
const LOOK = 100;
/** Dumps that are asked for, spread over the time. */
const DUMPS = 4;

export interface Flown {
  readonly seconds: number;
  readonly calls: number;
  readonly lost: number;
  readonly waitedSeconds: number;
  /** Largest, in bytes: the recorder's own memory; the ring, which is memory too; the trace; a dump. */
  readonly memory: number;
  readonly ring: number;
  readonly ringBound: number;
  readonly trace: number;
  readonly dump: number;
  readonly dumps: number;
}

function anonymous(pid: number): number {
  try {
    return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

const allocated = (path: string): number => (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;

function totals(path: string): { calls: number; lost: number; waited: number } {
  const db = new Database(path, { readonly: true });
  try {
    const meta = (key: string): number => Number(db.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key));
    const before = db.prepare("SELECT coalesce(sum(count), 0) FROM loss WHERE what = 'calls'").pluck().get() as number;
    return { calls: meta('calls') + before, lost: meta('lost'), waited: meta('wait_ns') || 0 };
  } finally {
    db.close();
  }
}

export async function fly(seconds: number, keep: string): Promise<Flown> {
  prepare();
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-flight-'));
  const child = spawn('node', [cli, 'record', '-o', 't.vrr', '--keep', keep, '--', flight, 'full', String(seconds)], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, LD_PRELOAD: standin },
  });
  const pid = child.pid ?? 0;
  let over = false;
  child.once('exit', () => {
    over = true;
  });
  const most = { memory: 0, ring: 0, ringBound: 0, trace: 0, dump: 0 };
  const start = performance.now();
  let asked = 0;
  try {
    while (!over) {
      await setTimeout(LOOK);
      const ring = readdirSync('/dev/shm').find((f) => f.startsWith(`vfio-rr-${pid}-`));
      most.memory = Math.max(most.memory, anonymous(pid));
      if (ring) {
        most.ring = Math.max(most.ring, allocated(join('/dev/shm', ring)));
        most.ringBound = Math.max(
          most.ringBound,
          statSync(join('/dev/shm', ring), { throwIfNoEntry: false })?.size ?? 0,
        );
        // At the end it takes the last window; until then only what the calls made.
        most.trace = Math.max(most.trace, allocated(join(folder, 't.vrr')));
      }
      if (asked < DUMPS && performance.now() - start > ((asked + 1) * seconds * 1000) / (DUMPS + 1)) {
        asked++;
        process.kill(pid, 'SIGUSR2');
      }
    }
    const dumps = readdirSync(folder).filter((f) => /^t-\d+\.vrr$/.test(f));
    for (const file of dumps) most.dump = Math.max(most.dump, allocated(join(folder, file)));
    const all = ['t.vrr', ...dumps].map((file) => totals(join(folder, file)));
    const sum = (of: (t: (typeof all)[number]) => number): number => all.reduce((n, t) => n + of(t), 0);
    return {
      seconds: (performance.now() - start) / 1000,
      calls: sum((t) => t.calls),
      lost: sum((t) => t.lost),
      waitedSeconds: (all[0]?.waited ?? 0) / 1e9,
      ...most,
      dumps: dumps.length,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function flownText(f: Flown): string {
  const mib = (n: number): string => `${(n / 2 ** 20).toFixed(1)} MiB`;
  return [
    `${f.seconds.toFixed(0)} s, ${(f.calls / 1e6).toFixed(1)} million calls (${(f.calls / f.seconds / 1e3).toFixed(0)} thousand a second), ${f.lost} lost, ${f.waitedSeconds.toFixed(1)} s waited for the recorder\n`,
    `largest: ring ${mib(f.ring)} (bound ${mib(f.ringBound)}), recorder's memory ${mib(f.memory)}, trace ${mib(f.trace)}, `,
    `one of ${f.dumps} dumps ${mib(f.dump)}\n`,
  ].join('');
}
