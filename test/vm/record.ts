// Recording a program in the guest, and what a recording must satisfy whatever the program.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

import { vfioRr } from './command.ts';
import { type KernelCall, kernelDisagrees, onVfio } from './kernel-side.ts';
import { expectStatus, type Ran, type RunOptions, runProgram } from './run-program.ts';
import { difference, straceCalls, straceOptions } from './strace.ts';
import { traceCalls } from './trace-calls.ts';

export const VFIO_RR = 'bin/vfio-rr';

export interface RecordOptions extends RunOptions {
  /** Of `record`, such as --mmio=pass. */
  flags?: string[];
  /** As a user would: by the installed command, in a process of its own. */
  own?: boolean;
}

/** Records argv into a trace; what comes back is the recorded program's outcome, `err` with the recorder's words. */
export async function record(trace: string, argv: string[], options: RecordOptions = {}): Promise<Ran> {
  const flags = ['record', '-o', trace, '--force', ...(options.flags ?? [])];
  if (options.own) return runProgram([VFIO_RR, ...flags, '--', ...argv], options);
  const [input, out, err] = ['in', 'out', 'err'].map((name) => `/tmp/recorded.${name}`) as [string, string, string];
  for (const path of [out, err]) rmSync(path, { force: true });
  writeFileSync(input, options.input ?? '');
  const limit = ['timeout', '-s', 'KILL', String(options.seconds ?? 60)];
  const shell = ['sh', '-c', `exec "$0" "$@" <${input} >${out} 2>${err}`, ...limit, ...argv];
  const run = await vfioRr([...flags, '--', ...shell], options.env);
  const said = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  return { ...run, out: said(out), err: said(err) + run.err };
}

/** Recorded under strace, which sees what the kernel saw. */
export function recordUnderStrace(
  trace: string,
  log: string,
  argv: string[],
  options: RecordOptions = {},
): Promise<Ran> {
  return record(trace, ['strace', ...straceOptions(log), ...argv], options);
}

export interface ReplayOn {
  /** Default: the device of this kernel. */
  on?: 'device' | 'emulator';
  /** As a user would, in a process of its own. */
  own?: boolean;
}

/** Replays; the report of a divergence is the error's message. */
export async function expectSameReplay(trace: string, result: string, options: ReplayOn = {}): Promise<void> {
  const argv = ['replay', trace, '--on', options.on ?? 'device', '-o', result, '--force'];
  const run = options.own ? runProgram([VFIO_RR, ...argv], { seconds: 120 }) : await vfioRr(argv);
  expectStatus('replay', { ...run, err: `${run.err}\n${run.out}` });
}

/** Call for call what strace saw. Gives how many calls that is. */
export function expectSameAsStrace(trace: string, log: string): number {
  const seen = straceCalls(readFileSync(log, 'utf8'));
  if (seen.length === 0) throw new Error('strace saw no VFIO call: nothing was compared');
  const found = difference(seen, traceCalls(trace));
  if (found) throw new Error(found);
  return seen.length;
}

/** Call for call what the kernel's own tracing saw. */
export function expectSameAsKernel(trace: string, kernel: readonly KernelCall[]): void {
  if (onVfio(kernel).length === 0) throw new Error('the kernel saw no VFIO call: nothing was compared');
  const found = kernelDisagrees(kernel, traceCalls(trace));
  if (found) throw new Error(found);
}

/** The plain sqlite3 shell finds the file whole. */
export function expectWhole(trace: string): void {
  if (!existsSync(trace)) throw new Error('no trace was written');
  const shell = expectStatus('sqlite3', runProgram(['sqlite3', '-readonly', trace, 'pragma integrity_check']));
  if (shell.out.trim() !== 'ok') throw new Error(`integrity_check: ${shell.out.trim()}`);
}

/** The same output and exit status. */
export function expectSameOutcome(plain: Ran, recorded: Ran): void {
  const how = (r: Ran): string => `${r.signal ?? r.status}`;
  if (how(recorded) !== how(plain))
    throw new Error(
      `exit ${how(recorded)} where ${how(plain)} was without the recorder: ${recorded.err.trim().slice(-400)}`,
    );
  const a = plain.out.split('\n');
  const b = recorded.out.split('\n');
  const at = a.findIndex((text, i) => text !== b[i]);
  if (at >= 0 || a.length !== b.length)
    throw new Error(`output line ${at + 1}: "${b[at]}" where "${a[at]}" was without the recorder`);
}
