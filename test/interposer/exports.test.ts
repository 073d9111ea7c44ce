import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { interposer, prepare } from './run.ts';

prepare();

const symbols = (...options: string[]): string[] =>
  execFileSync('nm', ['-D', ...options, interposer], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(' ').at(-1) ?? '');

test('only the names of exports.map are global, and all of them', () => {
  const map = fileURLToPath(new URL('../../native/interposer/exports.map', import.meta.url));
  const listed = /global:([\s\S]*)local:/.exec(readFileSync(map, 'utf8'))?.[1]?.match(/\w+/g) ?? [];
  assert.ok(listed.length > 70);
  assert.equal(symbols('--defined-only').sort(), listed.sort());
});

test('nothing that allocates, prints or ends the program is used', () => {
  const used = symbols('--undefined-only').map((name) => name.replace(/@.*/, ''));
  assert.ok(used.includes('dlsym'));
  for (const name of ['malloc', 'calloc', 'realloc', 'free', 'printf', 'fprintf', 'puts', 'abort', 'exit', '_exit'])
    assert.not.ok(used.includes(name), name);
});

test.run();
