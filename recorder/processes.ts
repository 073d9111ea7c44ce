// Whether anybody still writes to a ring: like strace -f, a recording lasts until the last recorded process is gone.

import { readFileSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { ops } from '../schema/event.ts';

const contains = (path: string, text: string): boolean => {
  try {
    return readFileSync(path, 'latin1').includes(text);
  } catch {
    return false;
  }
};

/** A zombie's stat is there still; its environment and its mappings are empty. */
function writes(pid: number, ring: string): boolean {
  return contains(`/proc/${pid}/environ`, ring) || contains(`/proc/${pid}/maps`, ring);
}

/** Processes that the trace knows, forked children that have not yet written anything included. */
export function writers(db: Database.Database, ring: string): number[] {
  const known = db.prepare('SELECT DISTINCT pid FROM process').pluck().all() as number[];
  const forks = db.prepare(`SELECT id FROM site WHERE op = ${ops.fork}`).pluck().all() as number[];
  const forked = forks.length
    ? (db.prepare(`SELECT ret FROM event WHERE site IN (${forks}) AND ret > 0`).pluck().all() as number[])
    : [];
  return [...new Set([...known, ...forked])].filter((pid) => writes(pid, ring));
}
