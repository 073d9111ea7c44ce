import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { regionFlags } from '../../schema/device.ts';
import { losses, recordFlags } from '../../schema/event.ts';
import { bytesOf } from './reader.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

test('hide: the program sees a region without MMAP and sparse areas, the record keeps the answer', () => {
  const { stdout, ring } = runRecorded(['regions'], { mmio: 'hide' });
  assert.match(stdout, 'argsz 64 flags 11 cap 0\nargsz 64 flags 3 cap 0\n');
  const infos = ring.calls.filter((c) => c.flags & recordFlags.HIDDEN);
  assert.is(infos.length, 2);
  const answer = bytesOf(infos[1] as never, 'ARG', 1);
  assert.is(answer?.readUInt32LE(4), regionFlags.READ | regionFlags.WRITE | regionFlags.MMAP | regionFlags.CAPS);
  assert.is(answer?.readUInt32LE(12), 32);
});

test('pass: the program sees the answer, and what cannot be seen is counted', () => {
  const { stdout, ring } = runRecorded(['regions'], { mmio: 'pass' });
  assert.is(stdout, runPlain(['regions']).stdout);
  assert.not.ok(ring.calls.some((c) => c.flags & recordFlags.HIDDEN));
  assert.is(ring.lost[losses.MAPPED], 1);
  const map = ring.calls.find((c) => c.op === 'mmap');
  const device = ring.calls.find((c) => c.op === 'ioctl')?.value ?? 0n;
  assert.is(map?.handle, Number(device & 0xffffffffn));
  assert.is(bytesOf(map as never, 'ARRAY', 0)?.readBigUInt64LE(8), 4096n);
  for (const op of ['mprotect', 'munmap']) assert.is(ring.calls.find((c) => c.op === op)?.handle, map?.handle, op);
});

test('pass: a mapping that allows nothing at first is counted when it allows something', () => {
  const { stdout, ring } = runRecorded(['protecting'], { mmio: 'pass' });
  assert.is(stdout, runPlain(['protecting']).stdout);
  assert.is(ring.lost[losses.MAPPED], 2);
});

test.run();
