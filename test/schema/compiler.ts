// The C compiler as an independent judge of schema/.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const includes = ['-isystem', join(root, 'native/uapi'), '-I', join(root, 'native/generated')];

/** Compiles `source`; its messages, empty when it is right. `output`: an executable is made there. */
export function compile(dir: string, source: string, output?: string): string {
  const file = join(dir, 'source.c');
  writeFileSync(file, source);
  const how = output ? ['-o', output] : ['-fsyntax-only'];
  const gcc = spawnSync('gcc', ['-std=gnu11', ...includes, ...how, file], { encoding: 'utf8' });
  if (gcc.error) throw gcc.error;
  return gcc.status === 0 ? '' : gcc.stderr;
}
