import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recordStates } from '../../schema/event.ts';
import { isDone } from './reader.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

test('a handler that records, whatever it interrupts: nothing lost, nothing doubled', () => {
  const { status, stderr, ring } = runRecorded(['handlers'], { segmentSize: 1 << 14, quota: 256 << 20 });
  assert.is(status, 0);
  const [mine, handled] = stderr.trim().split(' ').map(Number);
  const reads = ring.calls.filter((c) => c.op === 'pread');
  assert.is(reads.filter((c) => c.a === 0x800n).length, handled);
  assert.is(reads.filter((c) => c.a !== 0x800n).length, mine);
  assert.ok(reads.every(isDone));
  const long = reads.filter((c) => c.b === 5000n);
  assert.ok(long.length > 0 && long.every((c) => c.chunks[0]?.bytes.length === 5000));
  assert.ok(ring.lost.every((n) => n === 0));
});

test('a call left by longjmp is there as one that never returned', () => {
  const { status, ring } = runRecorded(['jumps']);
  assert.is(status, 0);
  const reads = ring.calls.filter((c) => c.op === 'read');
  assert.is(reads.length, 20);
  assert.ok(reads.every((c) => c.leave === 0n && (c.state === recordStates.DONE || c.state === recordStates.ENTERED)));
  assert.is(ring.calls.at(-1)?.op, 'pread');
});

for (const how of ['caught', 'default', 'sent', 'bus', 'blocked', 'ignored', 'once'])
  test(`bad pointers give EFAULT, and the program's SIGSEGV is its own: ${how}`, () => {
    const plain = runPlain(['segv', how]);
    const recorded = runRecorded(['segv', how]);
    assert.is(recorded.stdout, plain.stdout);
    assert.is(recorded.signal, plain.signal);
    assert.is(recorded.status, plain.status);
    assert.match(plain.stdout, '-1 14\n-1 14\n-1 14\n-1 14\n-1 14\n');
    assert.is(recorded.ring.calls.filter((c) => c.ret === -14).length, 5);
  });

test.run();
