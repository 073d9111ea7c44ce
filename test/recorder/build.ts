// What the recorder's tests run: the counter, the stand-in for VFIO, the built command.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const cli = join(root, 'dist/cli.js');
export const standin = join(root, 'test/interposer/build/standin.so');
const build = join(root, 'test/recorder/build');
export const flight = join(build, 'flight');
export const counter = join(build, 'counter');

export function prepare(): void {
  execFileSync('make', ['-s', '-C', join(root, 'native'), 'interposer', 'rings'], {
    stdio: 'inherit',
    timeout: 120_000,
  });
  execFileSync('make', ['-s', '-C', join(root, 'test/interposer')], { stdio: 'inherit', timeout: 120_000 });
  if (!existsSync(cli)) execFileSync('npx', ['tsc'], { cwd: root, stdio: 'inherit', timeout: 120_000 });
  mkdirSync(build, { recursive: true });
  compile('counter.c', counter, ['-pthread']);
  compile('flight.c', flight);
}

/** Many threads with many descriptors; gives its path. */
export function buildCrowd(): string {
  mkdirSync(build, { recursive: true });
  const program = join(build, 'crowd');
  compile('crowd.c', program, ['-pthread']);
  return program;
}

export function compile(source: string, output: string, flags: readonly string[] = []): void {
  const uapi = join(root, 'native/uapi');
  execFileSync('gcc', ['-O2', '-Wall', '-isystem', uapi, '-o', output, join(root, 'test/recorder', source), ...flags], {
    stdio: 'inherit',
    timeout: 60_000,
  });
}
