// `--backend=ptrace` on a static program: what it passes to calls and gets from them, across fork and exec.

import * as assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { cli, compile, prepare } from './build.ts';
import { rows } from './running.ts';

const test = suite('ptrace');
let folder = '';
const trace = (): string => join(folder, 't.vrr');

test.before(() => {
  prepare();
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-ptrace-'));
  compile('traced.c', join(folder, 'traced'), ['-static']);
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** With a file at /dev/vfio/vfio that nobody else sees; null: that takes root. */
function recorded(...args: string[]): SpawnSyncReturns<string> | null {
  const command = [process.execPath, cli, 'record', '--force', '-o', trace(), '--', join(folder, 'traced'), ...args];
  const script = 'mkdir -p /dev/vfio && mount -t tmpfs t /dev/vfio && touch /dev/vfio/vfio || exit 99; exec "$@"';
  const run = spawnSync('unshare', ['-m', 'sh', '-c', script, 'sh', ...command], { encoding: 'utf8', timeout: 60_000 });
  return run.status === 1 && /unshare/.test(run.stderr) ? null : run;
}

test('data both ways and every request, in a child and in a new image too', () => {
  const run = recorded();
  if (!run) return console.log('SKIP a file at /dev/vfio/vfio takes root');
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stderr, /recorded by ptrace.*statically linked/);
  const calls = rows<{ name: string; result: number; bytes: number | null; input: string }>(
    trace(),
    `SELECT name, result, value AS bytes, hex(data) AS input FROM call LEFT JOIN payload ON payload.id = input
     WHERE kind = 'container' AND name <> 'fork'`,
  );
  const hello = Number(Buffer.from('hello\0\0\0').readBigUInt64LE());
  const once = [
    { name: 'open', result: 3, bytes: null, input: Buffer.from('/dev/vfio/vfio').toString('hex') },
    { name: 'pwrite', result: 5, bytes: hello, input: '' },
    { name: 'pread', result: 5, bytes: hello, input: '' },
    { name: 'ioctl 0x3b67', result: -25, bytes: null, input: '0800000000000000' },
    { name: 'ioctl 0x5401', result: -25, bytes: null, input: '' },
    { name: 'ioctl 0x541b', result: 0, bytes: null, input: '' },
    { name: 'close', result: 0, bytes: null, input: '' },
  ];
  assert.deepEqual(
    calls.map((c) => ({ ...c, input: c.input.toLowerCase() })),
    [...once, ...once, ...once],
  );
  assert.equal(rows(trace(), 'SELECT * FROM loss').length, 0);
});

test('every way to wait for a descriptor', () => {
  const run = recorded('waits');
  if (!run) return console.log('SKIP a file at /dev/vfio/vfio takes root');
  assert.equal(run.status, 0, run.stderr);
  const calls = rows<{ name: string; result: number }>(trace(), "SELECT name, result FROM call WHERE name = 'poll'");
  assert.deepEqual(calls, Array(4).fill({ name: 'poll', result: 1 }));
});

test('memory that it cannot reach is a loss with a name', () => {
  const run = recorded('vvar');
  if (!run || run.status === 77) return console.log('SKIP no such memory here, or no root');
  assert.equal(run.status, 0, run.stderr);
  assert.deepEqual(rows(trace(), 'SELECT what, count FROM loss'), [{ what: 'structures', count: 1 }]);
});

test.run();
