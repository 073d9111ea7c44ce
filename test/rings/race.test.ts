// The interposer's writer and the extension's reader in one program under ThreadSanitizer.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const here = fileURLToPath(new URL('.', import.meta.url));

const built = spawnSync('make', ['-s', '-C', here], { encoding: 'utf8', timeout: 110_000 });
if (/cannot find -ltsan|libtsan/.test(built.stderr)) {
  console.log('SKIP this compiler has no ThreadSanitizer; on Debian: apt-get install libgcc-12-dev');
  process.exit(77);
}
if (built.status !== 0) throw new Error(built.stderr);

for (const [what, nest] of [
  ['calls one after the other', '0'],
  ['calls inside others', '1'],
] as const)
  test(`six writers and a reader, ${what}: no race; each call once, in order, with its bytes`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-race-'));
    try {
      // Without randomized addresses: where they have more random bits than it knows, TSan does not start.
      const argv = ['-R', join(here, 'build/race'), join(folder, 'ring'), '1500', nest];
      const run = spawnSync('setarch', argv, {
        encoding: 'utf8',
        timeout: 100_000,
        env: { ...process.env, TSAN_OPTIONS: 'exitcode=66' },
      });
      const output = run.stdout + run.stderr;
      assert.is(/ThreadSanitizer/.test(output), false, output);
      assert.is(run.status, 0, output);
      assert.match(run.stdout, / 0 wrong, /);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

test.run();
