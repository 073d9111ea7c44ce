// What Node changes in a process before our first line, and a program that we start must have as our caller gave it.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Most open files, by proc(5) limits; NaN: unknown. */
function softLimit(pid: number | 'self'): number {
  try {
    return Number(/^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))?.[1]);
  } catch {
    return Number.NaN;
  }
}

const setLimit = (soft: number): void => {
  spawnSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`], { stdio: 'ignore' });
};

/** Calls `start`, which spawns, under the caller's soft limit of open files: Node raises its own to the hard one. */
export function underCallersLimit<T>(start: () => T): T {
  const [ours, callers] = [softLimit('self'), softLimit(process.ppid)];
  if (!(callers < ours)) return start();
  setLimit(callers);
  try {
    return start();
  } finally {
    setLimit(ours);
  }
}
