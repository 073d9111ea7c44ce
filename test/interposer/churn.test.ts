import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Call } from './reader.ts';
import { prepare, runRecorded } from './run.ts';

prepare();

const made = (c: Call): number => Number(c.value & 0xffffffffn);

test('sixteen threads that open, copy, replace and close: each call is told of the open file it was made on', () => {
  const { status, ring } = runRecorded(['churn'], { segmentSize: 1 << 14 });
  assert.is(status, 0);
  assert.ok(ring.lost.every((n) => n === 0));
  const rounds = 16 * 300;
  const of = (op: string): Call[] => ring.calls.filter((c) => c.op === op);
  assert.equal([of('open').length, of('pread').length, of('eventfd').length], [rounds, 4 * rounds, rounds]);
  const device = new Map<number, number>();
  const descriptors = new Map<number, number>();
  const count = (handle: number, by: number): void => {
    descriptors.set(handle, (descriptors.get(handle) ?? 0) + by);
  };
  for (const c of ring.calls) {
    if (c.op === 'open') device.set(c.tid, made(c));
    if (c.op === 'open' || c.op === 'eventfd') count(made(c), 1);
    if (c.op === 'pread') assert.is(c.handle, device.get(c.tid));
    if (c.op === 'dup') count(c.handle, 1);
    if (c.op === 'close') count(c.handle, -1);
  }
  // dup2 put the eventfd in the place of one copy of the device; all else was closed.
  assert.equal(
    [...device.values()].map((handle) => descriptors.get(handle)),
    Array.from({ length: 16 }, () => 1),
  );
  assert.is([...descriptors.values()].filter((n) => n === 1).length, rounds);
  assert.is([...descriptors.values()].filter((n) => n === 0).length, rounds);
});

test.run();
