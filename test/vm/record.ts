// Recording a program in the guest, and what a recording must satisfy whatever the program.
import { existsSync, readFileSync } from 'node:fs';

import { expectStatus, type Ran, type RunOptions, runProgram } from './run-program.ts';
import { difference, straceCalls, straceOptions } from './strace.ts';
import { traceCalls } from './trace-calls.ts';

export const VFIO_RR = 'bin/vfio-rr';

export function record(trace: string, argv: string[], options: RunOptions & { flags?: string[] } = {}): Ran {
  return runProgram([VFIO_RR, 'record', '-o', trace, '--force', ...(options.flags ?? []), '--', ...argv], options);
}

/** Recorded under strace, which sees what the kernel saw. */
export function recordUnderStrace(
  trace: string,
  log: string,
  argv: string[],
  options: RunOptions & { flags?: string[] } = {},
): Ran {
  return record(trace, ['strace', ...straceOptions(log), ...argv], options);
}

/** Call for call what strace saw. Gives how many calls that is. */
export function expectSameAsStrace(trace: string, log: string): number {
  const seen = straceCalls(readFileSync(log, 'utf8'));
  if (seen.length === 0) throw new Error('strace saw no VFIO call: nothing was compared');
  const found = difference(seen, traceCalls(trace));
  if (found) throw new Error(found);
  return seen.length;
}

/** The plain sqlite3 shell finds the file whole. */
export function expectWhole(trace: string): void {
  if (!existsSync(trace)) throw new Error('no trace was written');
  const shell = expectStatus('sqlite3', runProgram(['sqlite3', '-readonly', trace, 'pragma integrity_check']));
  if (shell.out.trim() !== 'ok') throw new Error(`integrity_check: ${shell.out.trim()}`);
}

/** The same output and exit status. */
export function expectSameOutcome(plain: Ran, recorded: Ran): void {
  if (recorded.status !== plain.status || recorded.signal !== plain.signal)
    throw new Error(
      `exit ${recorded.status ?? recorded.signal} where ${plain.status ?? plain.signal} was without the recorder: ${recorded.err.trim().slice(-400)}`,
    );
  const a = plain.out.split('\n');
  const b = recorded.out.split('\n');
  const at = a.findIndex((text, i) => text !== b[i]);
  if (at >= 0 || a.length !== b.length)
    throw new Error(`output line ${at + 1}: "${b[at]}" where "${a[at]}" was without the recorder`);
}
