// Whether anybody still writes to a ring: like strace -f, a recording lasts until the last recorded process is gone.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import type Database from 'better-sqlite3';
import { environment, ops } from '../schema/event.ts';

const contains = (path: string, text: string): boolean => {
  try {
    return readFileSync(path).includes(text); // bytes: a ring's path may have any
  } catch {
    return false;
  }
};

/** A zombie's stat is there still; its environment and its mappings are empty. */
function writes(pid: number, ring: string): boolean {
  return contains(`/proc/${pid}/environ`, `${environment.ring}=${ring}\0`) || contains(`/proc/${pid}/maps`, ring);
}

/** Puts how the program ended where its process stands: the status as a shell has it, 128 and the signal if it was one. */
export function setExit(db: Database.Database, pid: number, ended: { exit?: unknown; signal?: unknown }): void {
  const signal = constants.signals[String(ended.signal) as NodeJS.Signals];
  const status = typeof ended.exit === 'number' ? ended.exit : signal === undefined ? null : 128 + signal;
  // The last program that ran in that process; under ptrace it is the child of the process that we started.
  db.prepare(
    `UPDATE process SET exit = ? WHERE id = (SELECT coalesce((SELECT max(id) FROM process WHERE pid = $pid),
     (SELECT max(p.id) FROM process p WHERE p.pid = (SELECT pid FROM process WHERE parent = $pid ORDER BY id LIMIT 1))))`,
  ).run(status, { pid });
}

/** Every process here that has the ring mapped, or was started with it. */
function everywhere(ring: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const self = Number(readlinkSync('/proc/self'));
  return pids.map(Number).filter((pid) => pid !== self && writes(pid, ring));
}

/** Processes that the trace knows, forked children that have not yet written anything included. forgetful: the trace
 * may lack forks, or the first process, so look everywhere. */
export function writers(db: Database.Database, ring: string, forgetful: boolean): number[] {
  if (forgetful) return everywhere(ring);
  const known = db.prepare('SELECT DISTINCT pid FROM process').pluck().all() as number[];
  const forks = db.prepare(`SELECT id FROM site WHERE op = ${ops.fork}`).pluck().all() as number[];
  const forked = forks.length
    ? (db.prepare(`SELECT ret FROM event WHERE site IN (${forks}) AND ret > 0`).pluck().all() as number[])
    : [];
  return [...new Set([...known, ...forked])].filter((pid) => writes(pid, ring));
}
