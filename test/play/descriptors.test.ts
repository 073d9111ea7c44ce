// A program that uses every number a descriptor can have leaves those of the player alone.
// timeout: 120

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compile } from '../make.ts';
import { vfioRr } from './run.ts';

const test = suite('play: descriptors');
const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-descriptors-'));
const program = join(dir, 'descriptors');
test.before(() => {
  compile(program, ['test/play/descriptors.c'], ['-Werror', '-pthread']);
});
test.after(() => rmSync(dir, { recursive: true, force: true }));

/** Where requests go, and where each of the two threads gets its answers. */
const KEPT = 3;

for (const limit of [1024, 1_048_576])
  for (const record of [[], ['--record', join(dir, 'run.vrr'), '--force']])
    test(`limit of ${limit}${record.length ? ', recorded' : ''}`, async () => {
      const limited = ['sh', '-c', `ulimit -n ${limit} 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec ${program}`];
      const ran = await vfioRr(['play', '--emulate', 'edu:0000:00:04.0', ...record, '--', ...limited], 30);
      assert.is(ran.code, 0, ran.err);
      assert.equal(ran.out.trim().split('\n'), [
        'main: version 0',
        'thread: version 0',
        'thread: version 0',
        'main: version 0',
        `kept ${KEPT}`,
      ]);
    });

test('the limit is the caller’s, which Node raises for itself', () => {
  const command = ['bin/vfio-rr', 'play', '--emulate', 'edu:0000:00:04.0', '--', 'sh', '-c', 'ulimit -Sn'];
  const said = spawnSync('sh', ['-c', 'ulimit -Sn 1000; "$@"; :', 'sh', ...command], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  assert.is(said.stdout, '1000\n', said.stderr);
});

test.run();
