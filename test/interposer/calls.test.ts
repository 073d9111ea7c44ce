import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recordFlags } from '../../schema/event.ts';
import { fdKinds } from '../../schema/kinds.ts';
import { bytesOf, isDone } from './reader.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

const plain = runPlain(['basic']);
const recorded = runRecorded(['basic']);
const { calls } = recorded.ring;

test('the program does the same with and without', () => {
  assert.is(plain.status, 0);
  assert.is(recorded.status, plain.status);
  assert.is(recorded.stdout, plain.stdout);
  assert.is(recorded.stderr, plain.stderr);
});

test('every call is there, in order, and over', () => {
  assert.is(
    calls.map((c) => c.op).join(' '),
    'process open ioctl ioctl open ioctl pwrite pread open pwrite pread pread pwrite dup pread close close close',
  );
  assert.ok(calls.every(isDone));
  assert.ok(calls.every((c) => c.leave >= c.enter));
  assert.ok(recorded.ring.lost.every((n) => n === 0));
});

test('small reads and writes hold their bytes in the record', () => {
  const [write] = calls.filter((c) => c.op === 'pwrite' && c.b === 4n);
  const reads = calls.filter((c) => c.op === 'pread' && c.b === 4n);
  for (const c of [write, ...reads]) {
    assert.is(c?.value, 0xdeadbeefn);
    assert.is(c?.a, 0x40n);
    assert.is(c?.ret, 4);
    assert.ok((c?.flags ?? 0) & recordFlags.INLINE);
    assert.equal(c?.chunks, []);
  }
  assert.is(reads.length, 2);
});

test('longer ones hold them in a chunk, vectors in order', () => {
  const [long] = calls.filter((c) => c.op === 'pwrite' && c.b === 300n);
  assert.equal(bytesOf(long as never, 'ARG', 0), Buffer.alloc(300, 'x'));
  const [vector] = calls.filter((c) => c.op === 'pwrite' && c.b === 30n);
  assert.ok((vector?.flags ?? 0) & recordFlags.VECTORED);
  assert.is(bytesOf(vector as never, 'ARG', 0)?.length, 30);
});

test('handles follow descriptors: made, copied, closed', () => {
  const made = calls.filter((c) => c.op === 'open' || (c.op === 'ioctl' && c.value));
  assert.equal(
    made.map((c) => [Number(c.value >> 32n), Number(c.value & 0xffffffffn)]),
    [
      [fdKinds.container, 1],
      [fdKinds.group, 2],
      [fdKinds.device, 3],
      [0, 0],
    ],
  );
  const [dup] = calls.filter((c) => c.op === 'dup');
  assert.is(dup?.handle, 3);
  assert.equal(
    calls.filter((c) => c.op === 'close').map((c) => c.handle),
    [3, 3, 1],
  );
  assert.is(
    calls.filter((c) => c.op === 'pread').every((c) => c.handle === 3),
    true,
  );
});

test('a failed open keeps its path and errno', () => {
  const failed = calls.find((c) => c.ret < 0);
  assert.is(failed?.ret, -2);
  assert.is(bytesOf(failed as never, 'PATH', 0)?.toString(), '/dev/vfio/missing');
});

test('system calls made through syscall() are seen too', () => {
  const { ring } = runRecorded(['raw']);
  assert.equal(
    ring.calls.map((c) => c.op),
    ['process', 'open', 'ioctl', 'pwrite', 'pread', 'ioctl', 'close'],
  );
});

test.run();
