// The order of calls: as they returned, but a wait comes after what may have ended it.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { schedule } from '../../replayer/order.ts';
import type { TraceEvent } from '../../traces/event.ts';
import { event } from './event.ts';

const ids = (events: TraceEvent[]): number[] => [...schedule(events)].map((s) => s.event.id);
const at = (id: number, t: number, dur: number, more: Partial<TraceEvent> = {}): TraceEvent =>
  event({ id, t, dur, ...more });

test('calls keep the order in which they returned', () => {
  assert.equal(ids([at(1, 0, 10), at(2, 20, 10), at(3, 15, 30)]), [1, 2, 3]);
});

test('an eventfd read comes after the call that overlaps it and returned later', () => {
  const read = at(1, 0, 100, { op: 'read', kind: 'eventfd', ret: 8, thread: 2 });
  const trigger = at(2, 50, 100, { op: 'pwrite' });
  const later = at(3, 200, 10, { op: 'pwrite' });
  assert.equal(ids([read, trigger, later]), [2, 1, 3]);
});

test('what was entered after the wait returned stays behind it', () => {
  const read = at(1, 0, 100, { op: 'read', kind: 'eventfd', ret: 8, thread: 2 });
  assert.equal(ids([read, at(2, 100, 1, { op: 'pwrite' })]), [1, 2]);
});

test('a call further on that began before the wait ended comes before it, and only once', () => {
  const read = at(1, 0, 100, { op: 'poll', ret: 1, thread: 2 });
  const own = at(2, 110, 5, { thread: 2 });
  const long = at(3, 90, 400, { thread: 3 });
  assert.equal(ids([read, own, long, at(4, 600, 1)]), [3, 1, 2, 4]);
});

test('waits that overlap do not pass each other', () => {
  const a = at(1, 0, 100, { op: 'read', kind: 'eventfd', ret: 8, thread: 2 });
  const b = at(2, 10, 100, { op: 'read', kind: 'eventfd', ret: 8, thread: 3 });
  assert.equal(ids([a, b]), [1, 2]);
});

test('a failed or empty wait waits for nothing', () => {
  const read = at(1, 0, 100, { op: 'read', kind: 'eventfd', ret: -11, thread: 2 });
  assert.equal(ids([read, at(2, 50, 100)]), [1, 2]);
});

test('every call of a long trace comes once', () => {
  const events = Array.from({ length: 5000 }, (_, i) =>
    at(i + 1, i * 10, i % 7 === 0 ? 55 : 5, {
      thread: i % 3,
      ...(i % 7 === 0 ? { op: 'read', kind: 'eventfd', ret: 8 } : {}),
    }),
  );
  const got = ids(events);
  assert.equal(
    [...got].sort((a, b) => a - b),
    events.map((e) => e.id),
  );
  assert.not.equal(
    got,
    events.map((e) => e.id),
  );
});

test('of a run of the same read only the last is not part of a loop', () => {
  const read = (id: number, more: Partial<TraceEvent> = {}) =>
    at(id, id * 10, 1, { op: 'pread', region: 0, a: 8n, length: 4, ret: 4, ...more });
  const looping = (events: TraceEvent[]) => [...schedule(events)].filter((s) => s.looping).map((s) => s.event.id);
  assert.equal(looping([read(1), read(2), read(3), read(4, { a: 12n })]), [1, 2]);
  assert.equal(looping([read(1), read(2, { thread: 9, a: 0n }), read(3)]), [1], 'another thread does not end a loop');
  assert.equal(looping([read(1), read(2, { length: 2 })]), []);
});

test('so is a poll or read that finds no interrupt', () => {
  const poll = (id: number, ret: number) => at(id, id * 10, 1, { op: 'poll', ret, a: 0n, length: 1 });
  const read = (id: number, ret: number) => at(id, id * 10, 1, { op: 'read', kind: 'eventfd', ret, length: 8 });
  const looping = (events: TraceEvent[]) => [...schedule(events)].filter((s) => s.looping).map((s) => s.event.id);
  assert.equal(looping([poll(1, 0), poll(2, 0), poll(3, 1), poll(4, 1)]), [1, 2]);
  assert.equal(looping([read(1, -11), read(2, -11), read(3, 8), read(4, -11)]), [1, 2]);
});

test.run();
