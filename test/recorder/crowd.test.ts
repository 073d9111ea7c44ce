// 64 threads that open, copy, pass and close devices as fast as they can, judged by what they counted themselves.
// Two seconds; VFIO_RR_CROWD_SECONDS=60 for longer.
// timeout: 400

import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { judgeCrowd, readCounted } from '../judge/crowd.ts';
import { buildCrowd, cli, prepare, standin } from './build.ts';

const test = suite('crowd');
const seconds = process.env.VFIO_RR_CROWD_SECONDS ?? '2';
const THREADS = '64';
let folder = '';
let program = '';

test.before(() => {
  prepare();
  program = buildCrowd();
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-crowd-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

function run(argv: readonly string[], env: NodeJS.ProcessEnv = {}): ReturnType<typeof readCounted> {
  const r = spawnSync(process.execPath, [cli, ...argv], {
    encoding: 'utf8',
    timeout: (300 + 20 * Number(seconds)) * 1000,
    env: { ...process.env, ...env },
  });
  assert.equal(r.status, 0, r.stderr);
  return readCounted(r.stdout);
}

test(`${THREADS} threads for ${seconds} s on the stand-in`, () => {
  const path = join(folder, 'standin.vrr');
  const argv = [program, THREADS, seconds, '/dev/vfio/devices/vfio0', '/dev/vfio/12'];
  const said = run(['record', '-o', path, '--', ...argv], { LD_PRELOAD: standin, STANDIN_LINKS: '1' });
  console.log(`  stand-in: ${JSON.stringify(said)}`);
  assert.ok((said.counts['open 0'] ?? 0) > 1000);
  judgeCrowd(path, said);
});

test(`${THREADS} threads for ${seconds} s on the emulator`, () => {
  const path = join(folder, 'emulator.vrr');
  const argv = [program, THREADS, seconds, '/dev/vfio/devices/vfio0', '/dev/vfio/1'];
  const said = run(['play', '--emulate', 'edu:0000:00:04.0', '--record', path, '--', ...argv]);
  console.log(`  emulator: ${JSON.stringify(said)}`);
  assert.ok((said.counts['open 16'] ?? 0) > 0, 'a group is one thread’s at a time');
  judgeCrowd(path, said);
});

test.run();
