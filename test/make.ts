// Programs of the tests, compiled when they are asked for. Test files run side by side and share some of them: none may
// find a half-written one, or take it from another that runs it.

import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const LIMIT = 300_000; // ms

function must(command: string, args: readonly string[]): void {
  const run = spawnSync(command, args, { cwd: root, encoding: 'utf8', timeout: LIMIT });
  if (run.error) throw run.error;
  if (run.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${run.stderr.trim()}`);
}

/** What the Makefile of a folder of the checkout builds; one process at a time makes there. */
export function make(folder: string, ...targets: string[]): void {
  must('flock', [folder, 'make', '-s', '-C', folder, ...targets]);
}

/** Paths of the sources from the checkout's root. */
export function compile(output: string, sources: readonly string[], flags: readonly string[] = []): void {
  mkdirSync(dirname(output), { recursive: true });
  const made = `${output}.${process.pid}`;
  must('gcc', ['-O2', '-Wall', '-isystem', join(root, 'native/uapi'), '-o', made, ...sources, ...flags]);
  renameSync(made, output);
}
