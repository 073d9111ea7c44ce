// Rings with bytes that no writer wrote: damaged files, or a program that writes where it should not. The drain gives
// what it can and says that the rest is damaged; it neither crashes nor goes on for ever.

import * as assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import { Drain, loadRings } from '../../recorder/drain.ts';
import { ringNumber } from '../../recorder/ring.ts';
import { TraceError } from '../../schema/errors.ts';
import { vrr_ring, vrr_segment, wheres } from '../../schema/event.ts';
import { fieldOf } from '../../schema/layout.ts';
import { createTrace } from '../../traces/create.ts';
import { inline, made, type Record, SEGMENT, type Stream, writeRing } from './ring-file.ts';

const ROUNDS = 120;
let seed = 7;
const random = (n: number): number => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % n;
};

function records(start: number): Record[] {
  const bytes = Buffer.alloc(48, start);
  bytes.writeUInt32LE(48, 0);
  const arg = (phase: 'IN' | 'OUT', goesOn = false) => ({ where: wheres.ARG, phase, bytes, goesOn });
  return Array.from({ length: 12 }, (_, i): Record => {
    const enter = start + 40 * i;
    if (i === 0)
      return { op: 'open', enter, ret: 5, value: made(1, 'device'), chunks: [{ ...arg('IN'), where: wheres.PATH }] };
    if (i % 4 === 1) return { op: 'ioctl', enter, a: 0x3b6c, fd: 5, handle: 1, chunks: [arg('IN'), arg('OUT')] };
    if (i % 4 === 2)
      return { op: 'read', enter, ret: 48, b: 48, fd: 5, handle: 1, flags: 16, chunks: [arg('OUT', true)] };
    if (i % 4 === 3) return { op: 'more', enter: enter - 40, a: 1, fd: 5, handle: 1, chunks: [arg('OUT')] };
    return inline('pread', enter, BigInt(i), 7n);
  });
}
const streams: Stream[] = [1, 2, 3].map((tid) => ({ pid: 1, tid, records: records(10 * tid) }));

/** Writes nonsense into the header, the queue, or what is in use of a segment. */
function spoil(path: string): void {
  const fd = openSync(path, 'r+');
  const header = Buffer.alloc(vrr_ring.size);
  readSync(fd, header, 0, header.length, 0);
  const first = Number(ringNumber(header, 'header_size'));
  for (let i = 1 + random(4); i > 0; i--) {
    const segment = first + random(3) * SEGMENT;
    const where = random(10);
    const at =
      where === 0
        ? random(vrr_ring.size + 16)
        : where < 3
          ? segment + random(vrr_segment.size)
          : segment + vrr_segment.size + random(1400);
    const value = Buffer.alloc(1 + random(8), [0, 0xff, 0x7f, 0x80, random(256)][random(5)]);
    writeSync(fd, value, 0, value.length, where < 7 ? at & ~7 : at);
  }
  closeSync(fd);
}

test('damaged rings', () => {
  const seen = { refused: 0, damaged: 0, whole: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-rings-'));
    const db = createTrace(join(folder, 't.vrr'));
    try {
      const ring = writeRing(folder, streams);
      spoil(ring);
      loadRings(db);
      const drain = new Drain(db, ring, {
        payload: (['full', 'hash', 'none'] as const)[round % 3] ?? 'full',
        ahead: 0,
      });
      let steps = 0;
      while (drain.step('finish') > 0) assert.ok(++steps < 100);
      const { damaged } = drain.status();
      drain.close();
      assert.ok((db.prepare('SELECT count(*) FROM event').pluck().get() as number) < 200);
      if (damaged) seen.damaged++;
      else seen.whole++;
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      seen.refused++;
    } finally {
      db.close();
      rmSync(folder, { recursive: true });
    }
  }
  assert.ok(seen.damaged > 10 && seen.whole > 10 && seen.refused > 0, JSON.stringify(seen));
});

type Spoil = (ring: string) => void;

const put =
  (at: number, bytes: readonly number[]): Spoil =>
  (ring) => {
    const fd = openSync(ring, 'r+');
    writeSync(fd, Buffer.from(bytes), 0, bytes.length, at);
    closeSync(fd);
  };

/** What is read of a ring that is spoilt before the drain is opened, then, or when it has read all. */
function read(
  write: readonly Stream[],
  size: number,
  when: { before?: Spoil; opened?: Spoil; after?: Spoil },
): [number, number] {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-rings-'));
  const db = createTrace(join(folder, 't.vrr'));
  try {
    const ring = writeRing(folder, write, size);
    when.before?.(ring);
    loadRings(db);
    const drain = new Drain(db, ring, { payload: 'full', ahead: 0 });
    when.opened?.(ring);
    while (drain.step('finish') > 0);
    when.after?.(ring);
    while (drain.step('finish') > 0);
    const { damaged = -1 } = drain.status();
    drain.close();
    return [damaged, db.prepare('SELECT count(*) FROM event').pluck().get() as number];
  } finally {
    db.close();
    rmSync(folder, { recursive: true });
  }
}

const inHeader = (field: string, bytes: readonly number[]) => put(fieldOf(vrr_ring, field).at, bytes);
const NOTHING = Array(8).fill(0);
const MUCH = [0, 0, 0, 0, 0, 0, 0, 0x40];
for (const [field, bytes, damaged] of [
  ['taken', MUCH, 1],
  ['taken', NOTHING, 1],
  ['given', NOTHING, 1],
  ['given', MUCH, 0], // what nobody took is not looked at
] as const)
  test(`${field} becomes ${bytes} while the ring is read`, () => {
    const after = inHeader(field, bytes);
    assert.deepEqual(read(streams, SEGMENT, { after }), [damaged, 27]);
  });

for (const field of ['header_size', 'segment_size', 'segment_count', 'clock_hz', 'clock'])
  test(`${field} becomes another while the ring is read: what it was is gone by`, () =>
    assert.deepEqual(read(streams, SEGMENT, { opened: inHeader(field, [0x11, 0x22, 0x33]) }), [0, 27]));

/** Of the n-th segment. */
const inSegment =
  (n: number, size: number, field: string, bytes: readonly number[]): Spoil =>
  (ring) => {
    const first = Number(ringNumber(readFileSync(ring).subarray(0, vrr_ring.size), 'header_size'));
    put(first + n * size + fieldOf(vrr_segment, field).at, bytes)(ring);
  };

test('a segment of a stream that cannot be: the others are read', () => {
  const before = inSegment(0, SEGMENT, 'stream', [0, 0, 0, 0xff]);
  assert.deepEqual(read(streams, SEGMENT, { before }), [1, 18]);
});

test('a stream with a segment missing in the middle gives what lies before, and is damaged', () => {
  const long: Stream = {
    pid: 1,
    tid: 1,
    records: Array.from({ length: 200 }, (_, i) => inline('pread', 9 * i, 0n, 7n)),
  };
  const whole = read([long], 4096, {});
  assert.deepEqual(whole, [0, 200]);
  const second = inSegment(1, 4096, 'part', [9]);
  const [damaged, events] = read([long], 4096, { before: second });
  assert.ok(damaged === 1 && events > 0 && events < 100, `${damaged} ${events}`);
});

test.run();
