// Records of several streams become events in the order in which the calls returned.

import * as assert from 'node:assert/strict';
import { test } from 'uvu';
import { recordFlags, wheres } from '../../schema/event.ts';
import { withDrained } from './drained.ts';
import { inline, type Record, SEGMENT } from './ring-file.ts';

const at = (enter: number, leave: number, value: number): Record => ({
  ...inline('pread', enter, 0n, BigInt(value)),
  leave,
});

test('two threads that take turns', () => {
  withDrained(
    [
      { pid: 1, tid: 1, records: [at(10, 20, 1), at(50, 60, 3), at(90, 100, 5)] },
      { pid: 1, tid: 2, records: [at(30, 40, 2), at(70, 80, 4)] },
    ],
    ({ rows, status }) => {
      assert.deepEqual(
        rows.map((r) => r.val),
        [1, 2, 3, 4, 5],
      );
      assert.deepEqual(
        rows.map((r) => r.tid),
        [1, 2, 1, 2, 1],
      );
      assert.deepEqual(
        rows.map((r) => r.id),
        [1, 2, 3, 4, 5],
      );
      assert.equal(status.late, 0);
    },
  );
});

test('many threads and segments against a sort', () => {
  let seed = 5;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const all: number[] = [];
  const streams = Array.from({ length: 9 }, (_, tid) => {
    let t = random(1000);
    const records = Array.from({ length: 3000 }, (): Record => {
      const enter = t + 1 + random(50);
      t = enter + 1 + random(500);
      all.push(t);
      return at(enter, t, t);
    });
    return { pid: 1, tid: tid + 1, records };
  });
  withDrained(streams, ({ rows }) => {
    assert.equal(rows.length, 27000);
    assert.deepEqual(
      rows.map((r) => r.val),
      all.sort((a, b) => a - b),
    );
  });
});

test('a call that never returned comes last, with what it was given', () => {
  const open: Record = {
    op: 'write',
    enter: 15,
    state: 'ENTERED',
    fd: 5,
    handle: 1,
    b: 12,
    chunks: [{ where: wheres.ARG, phase: 'IN', bytes: Buffer.from('never return') }],
  };
  withDrained(
    [
      { pid: 1, tid: 1, records: [at(10, 12, 1), open] },
      { pid: 1, tid: 2, records: [at(30, 40, 2)] },
    ],
    ({ rows, status }) => {
      assert.deepEqual(
        rows.map((r) => r.op),
        ['pread', 'pread', 'write'],
      );
      const last = rows[2];
      assert.deepEqual([last?.dur, last?.ret, last?.inp?.toString()], [null, null, 'never return']);
      assert.equal(status.unfinished, 1);
    },
  );
});

test('calls of a signal handler that interrupted one which waits', () => {
  const waiting = (leave: number, state: 'ENTERED' | 'DONE'): Record => ({
    op: 'read',
    enter: 10,
    leave,
    state,
    ret: 0,
    b: 8,
    fd: 6,
    handle: 2,
  });
  const handlers = [at(20, 25, 1), at(30, 35, 2)];
  withDrained([{ pid: 1, tid: 1, records: [waiting(50, 'DONE'), ...handlers, at(60, 65, 3)] }], ({ rows }) => {
    assert.deepEqual(
      rows.map((r) => r.op),
      ['pread', 'pread', 'read', 'pread'], // in the order in which they returned
    );
  });
  withDrained([{ pid: 1, tid: 1, records: [waiting(0, 'ENTERED'), ...handlers] }], ({ rows }) => {
    assert.deepEqual(
      rows.map((r) => [r.op, r.val]),
      [
        ['pread', 1],
        ['pread', 2],
        ['read', null],
      ],
    );
  });
});

test('a call that a longjmp left', () => {
  const left: Record = { op: 'read', enter: 30, leave: 0, b: 8, fd: 6, handle: 2 };
  withDrained([{ pid: 1, tid: 1, records: [at(10, 20, 1), left, at(60, 65, 3)] }], ({ rows }) => {
    assert.deepEqual(
      rows.map((r) => [r.op, r.t, r.dur]),
      [
        ['pread', 10, 10],
        ['read', 30, null],
        ['pread', 60, 5],
      ],
    );
  });
});

test('a payload that goes on over segments', () => {
  const bytes = Buffer.alloc(3 * SEGMENT, 0);
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  const piece = 40_000;
  const pieces: Record[] = [];
  for (let i = 0; i * piece < bytes.length; i++) {
    const part = bytes.subarray(i * piece, (i + 1) * piece);
    const goesOn = (i + 1) * piece < bytes.length;
    const chunk = { where: wheres.ARG, phase: 'OUT' as const, bytes: part, total: bytes.length, goesOn };
    pieces.push(
      i === 0
        ? {
            op: 'read',
            enter: 30,
            leave: 40,
            ret: bytes.length,
            b: bytes.length,
            flags: recordFlags.MORE,
            chunks: [chunk],
          }
        : { op: 'more', enter: 30, leave: 40, a: i, chunks: [chunk] },
    );
  }
  withDrained([{ pid: 1, tid: 1, records: [at(10, 20, 1), ...pieces, at(60, 65, 2)] }], ({ rows, status }) => {
    assert.deepEqual(
      rows.map((r) => r.op),
      ['pread', 'read', 'pread'],
    );
    assert.ok(rows[1]?.outp?.equals(bytes));
    assert.equal(status.damaged, 0);
  });
});

test('a ring that is damaged keeps what stands before, and says so', () => {
  const broken: Record = { ...at(30, 40, 2), state: 'NONE' };
  withDrained([{ pid: 1, tid: 1, records: [at(10, 20, 1), broken, at(60, 65, 3)] }], ({ rows, status }) => {
    assert.deepEqual(
      rows.map((r) => r.val),
      [1],
    );
    assert.equal(status.damaged, 1);
  });
});

test.run();
