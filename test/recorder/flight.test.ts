// timeout: 240
// The flight recorder: each trigger's dump has the call that it is about, nothing is in two dumps or in none, and what it
// takes stays within its bounds.

import * as assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import { flight, prepare } from './build.ts';
import { metaOf, rows, start } from './running.ts';

const test = suite('flight recorder');
let folder = '';

test.before(prepare);
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-flight-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const make = (name: string): void => writeFileSync(at(name), '');

interface Call {
  readonly id: number;
  readonly name: string;
  readonly error: string | null;
  readonly value: number | null;
}
const calls = (trace: string, where = '1'): Call[] =>
  rows(at(trace), `SELECT id, name, error, value FROM call WHERE ${where} ORDER BY id`);
const cause = (trace: string): Call | undefined => calls(trace, `id = ${Number(metaOf(at(trace)).dump_event)}`)[0];

test('each trigger', async () => {
  const program = [
    'reads',
    '300',
    'fail',
    'wait',
    'go1',
    'reads',
    '10',
    'reset',
    'wait',
    'go2',
    'error',
    'wait',
    'go3',
  ];
  const r = start(folder, [
    ...[
      'record',
      '-o',
      't.vrr',
      '--ring',
      folder,
      '--keep',
      '60s',
      '--dump-on',
      'errno:EINVAL,reset',
      '--dump-on',
      'error',
    ],
    ...['--', flight, ...program, 'error1', 'wait', 'go4', 'reads', '7', 'crash'],
  ]);
  for (const n of [1, 2, 3, 4]) {
    await r.until(new RegExp(`t-${n}\\.vrr: \\d+ calls`));
    make(`go${n}`);
  }
  assert.equal((await r.ended).signal, 'SIGABRT', r.said());
  const causes = [1, 2, 3, 4].map((n) => cause(`t-${n}.vrr`));
  assert.deepEqual(
    causes.map((c) => [c?.name, c?.error, c?.value]),
    [
      ['pread', 'EINVAL', null],
      ['VFIO_DEVICE_RESET', null, null],
      ['VFIO_DEVICE_FEATURE MIG_DEVICE_STATE', null, null],
      ['pread', null, 6],
    ],
  );
  assert.deepEqual(
    [1, 2, 3, 4].map((n) => metaOf(at(`t-${n}.vrr`)).dump_reason),
    ['errno EINVAL', 'reset', 'migration ERROR', 'migration ERROR'],
  );
  const reads = ['t-1.vrr', 't-2.vrr', 't-3.vrr', 't-4.vrr', 't.vrr'].map(
    (trace) => calls(trace, "name = 'pread' AND error IS NULL AND region IS NULL").length,
  );
  assert.deepEqual(reads, [300, 10, 0, 0, 7]);
  assert.equal(calls('t.vrr', "name = 'VFIO_GROUP_GET_DEVICE_FD'").length, 0, 'in the first dump only');
  // What the last trace says of the device comes from calls that are in another.
  assert.deepEqual(rows(at('t.vrr'), 'SELECT DISTINCT device FROM call'), [{ device: '0000:00:04.0' }]);
  assert.deepEqual(rows(at('t.vrr'), 'SELECT exit FROM process'), [{ exit: 134 }]);
});

test('SIGUSR2, and the end of a program that leaves a child', async () => {
  const r = start(folder, [
    ...['record', '-o', 't.vrr', '--ring', folder, '--keep', '60s'],
    ...['--', flight, 'reads', '20', 'mark', 'ready', 'wait', 'go', 'leave', 'stop', 'crash'],
  ]);
  while (!readdirSync(folder).includes('ready')) await setTimeout(5);
  process.kill(r.child.pid ?? 0, 'SIGUSR2');
  await r.until(/SIGUSR2: .*t-1\.vrr: \d+ calls/);
  make('go');
  await r.until(/signal SIGABRT: .*t-2\.vrr: \d+ calls/);
  make('stop');
  assert.equal((await r.ended).signal, 'SIGABRT');
  assert.equal(calls('t-1.vrr', "name = 'pread'").length, 20);
  assert.equal(calls('t-2.vrr', "name = 'fork'").length, 1);
});

test('only so many dumps', async () => {
  const r = start(folder, [
    ...['record', '-o', 't.vrr', '--ring', folder, '--keep', '60s', '--dump-on', 'reset', '--dumps', '1'],
    ...['--', flight, 'reset', 'wait', 'go1', 'reset', 'wait', 'go2'],
  ]);
  await r.until(/t-1\.vrr: \d+ calls/);
  make('go1');
  await r.until(/no dump, 1 were made/);
  make('go2');
  assert.equal((await r.ended).code, 0);
  assert.ok(!readdirSync(folder).includes('t-2.vrr'));
  assert.equal(calls('t.vrr', "name = 'VFIO_DEVICE_RESET'").length, 1);
});

test('bounds at full rate', async () => {
  const r = start(folder, [
    ...['record', '-o', 't.vrr', '--ring', folder, '--keep', '4M', '--quota', '16M', '--dump-on', 'reset'],
    ...['--', flight, 'reads', '400000', 'reset', 'reads', '300000', 'fail'],
  ]);
  let over = false;
  void r.ended.then(() => {
    over = true;
  });
  let [ring, trace] = [0, 0];
  while (!over) {
    for (const file of readdirSync(folder)) {
      const { blocks, size } = statSync(at(file), { throwIfNoEntry: false }) ?? { blocks: 0, size: 0 };
      if (file.endsWith('.ring')) ring = Math.max(ring, blocks * 512);
      if (file === 't.vrr' && readdirSync(folder).some((f) => f.endsWith('.ring'))) trace = Math.max(trace, size);
    }
    await setTimeout(5);
  }
  assert.equal((await r.ended).code, 0, r.said());
  assert.ok(ring > 0 && ring <= (16 << 20) + (1 << 20), `ring ${ring}`);
  const { n: let_go } = rows<{ n: number }>(
    at('t-1.vrr'),
    "SELECT sum(count) AS n FROM loss WHERE what = 'calls'",
  )[0] ?? {
    n: 0,
  };
  assert.ok(let_go > 0, 'more was done than is held');
  // 64 bytes of ring a call, 31 on disk; the rest of the quota is what may come in while a dump is made.
  for (const dump of ['t-1.vrr', 't.vrr']) assert.ok(statSync(at(dump)).size <= 16 << 20, dump);
  assert.equal(cause('t-1.vrr')?.name, 'VFIO_DEVICE_RESET');
  // Without a gap, and each once: the value read is the number of the round that wrote it.
  const values = calls('t-1.vrr', "name = 'pwrite'").map((c) => Number(c.value));
  assert.ok(values.every((v, i) => i === 0 || v === (values[i - 1] ?? 0) + 16));
  assert.ok(trace < 16 << 20, `trace ${trace}`);
});

test.run();
