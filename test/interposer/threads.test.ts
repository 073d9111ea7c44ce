import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isDone } from './reader.ts';
import { prepare, runRecorded } from './run.ts';

prepare();

test('threads that read at the same time: each call once, in each thread in order', () => {
  const { status, ring } = runRecorded(['threads'], { segmentSize: 1 << 14 });
  assert.is(status, 0);
  const reads = ring.calls.filter((c) => c.op === 'pread');
  assert.is(reads.length, 80_000);
  assert.ok(reads.every(isDone));
  const tids = new Set(reads.map((c) => c.tid));
  assert.is(tids.size, 4);
  for (const tid of tids) {
    const mine = reads.filter((c) => c.tid === tid);
    assert.ok(mine.every((c, i) => c.a === BigInt(4 * (i % 1000))));
    assert.ok(mine.every((c, i) => i === 0 || c.enter >= (mine[i - 1]?.leave ?? 0n)));
  }
  assert.ok(ring.lost.every((n) => n === 0));
});

test.run();
