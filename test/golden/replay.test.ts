// `vfio-rr test` over the golden traces: each does on the emulator what its expectations file says.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('every golden trace', () => {
  const ran = spawnSync('bin/vfio-rr', ['test', 'traces/golden', '--mode', 'none'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 110_000,
  });
  assert.is(ran.status, 0, ran.stdout + ran.stderr);
  assert.match(ran.stdout, /^\d{2,} passed, 0 failed, 0 skipped$/m);
});

test.run();
