// What the recorder's tests run: the counter, the stand-in for VFIO, the built command.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile as compileSources, make } from '../make.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const cli = join(root, 'dist/cli.js');
export const standin = join(root, 'test/interposer/build/standin.so');
const build = join(root, 'test/recorder/build');
export const flight = join(build, 'flight');
export const counter = join(build, 'counter');

export function prepare(): void {
  make('native', 'interposer', 'rings');
  make('test/interposer');
  if (!existsSync(cli)) execFileSync('npx', ['tsc'], { cwd: root, stdio: 'inherit', timeout: 120_000 });
  compile('counter.c', counter, ['-pthread']);
  compile('flight.c', flight);
}

/** Many threads with many descriptors; gives its path. */
export function buildCrowd(): string {
  const program = join(build, 'crowd');
  compile('crowd.c', program, ['-pthread']);
  return program;
}

/** A source of this folder. */
export function compile(source: string, output: string, flags: readonly string[] = []): void {
  compileSources(output, [`test/recorder/${source}`], flags);
}
