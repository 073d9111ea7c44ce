// A program of the tests' in one file, for a guest that reads hundreds of small ones slowly.
import { join } from 'node:path';

import { runProgram } from './run-program.ts';

const root = join(import.meta.dirname, '../..');

/** dist/vm/NAME.mjs, in dist/ because from there the native parts are found. Gives its path in the checkout. */
export function bundle(entry: string, name: string): string {
  const file = `dist/vm/${name}.mjs`;
  const options = ['--bundle', '--platform=node', '--format=esm', '--log-level=error', `--outfile=${join(root, file)}`];
  const external = ['better-sqlite3', 'lz4', 'cbor-extract'].map((p) => `--external:${p}`);
  const banner = `--banner:js=import { createRequire as make } from 'node:module'; const require = make(import.meta.url);`;
  const run = runProgram([join(root, 'node_modules/.bin/esbuild'), join(root, entry), ...options, ...external, banner]);
  if (run.status !== 0) throw new Error(run.err.trim());
  return file;
}
