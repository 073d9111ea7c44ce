// One record's row: sites, handles, regions, payloads.

import * as assert from 'node:assert/strict';
import { test } from 'uvu';
import { recordFlags, wheres } from '../../schema/event.ts';
import { fdKinds } from '../../schema/kinds.ts';
import { codecs } from '../../schema/trace.ts';
import { unpack } from '../../traces/pack.ts';
import { withDrained } from './drained.ts';
import { type Chunk, inline, made, type Record } from './ring-file.ts';

const arg = (phase: 'IN' | 'OUT', bytes: Buffer): Chunk => ({ where: wheres.ARG, phase, bytes });
const GET_DEVICE_FD = 0x3b6a; // linux/vfio.h
const GET_REGION_INFO = 0x3b6c;
const group: Record = {
  op: 'open',
  enter: 1,
  ret: 4,
  a: 2,
  value: made(1, 'group'),
  chunks: [{ where: wheres.PATH, phase: 'IN', bytes: Buffer.from('/dev/vfio/12\0') }],
};
const device: Record = {
  op: 'ioctl',
  enter: 20,
  ret: 5,
  a: GET_DEVICE_FD,
  fd: 4,
  handle: 1,
  value: made(2, 'device'),
  chunks: [arg('IN', Buffer.from('0000:00:04.0\0'))],
};

function regionInfo(enter: number, index: number, offset: bigint, size: bigint, type?: [number, number]): Record {
  const before = Buffer.alloc(32);
  before.writeUInt32LE(type ? 48 : 32, 0);
  before.writeUInt32LE(index, 8);
  const after = Buffer.alloc(type ? 48 : 32);
  before.copy(after);
  after.writeUInt32LE(type ? 3 | 8 : 3, 4);
  after.writeUInt32LE(type ? 32 : 0, 12);
  after.writeBigUInt64LE(size, 16);
  after.writeBigUInt64LE(offset, 24);
  if (type) {
    after.writeUInt16LE(2, 32); // VFIO_REGION_INFO_CAP_TYPE
    after.writeUInt16LE(1, 34);
    after.writeUInt32LE(type[0], 40);
    after.writeUInt32LE(type[1], 44);
  }
  return { op: 'ioctl', enter, a: GET_REGION_INFO, fd: 5, handle: 2, chunks: [arg('IN', before), arg('OUT', after)] };
}

const one = (records: readonly Record[]) => [{ pid: 7, tid: 7, records }];

test('handles: who made them, from what, under which name', () => {
  withDrained(one([group, device]), ({ db }) => {
    assert.deepEqual(db.prepare('SELECT id, kind, fd, path, name, parent, opened FROM handle').raw().all(), [
      [1, fdKinds.group, 4, '/dev/vfio/12', null, null, 1],
      [2, fdKinds.device, 5, null, '0000:00:04.0', 1, 2],
    ]);
    assert.deepEqual(db.prepare('SELECT * FROM made').raw().all(), [
      [1, 1, fdKinds.group],
      [2, 2, fdKinds.device],
    ]);
  });
});

test('accesses are placed in the region that GET_REGION_INFO told', () => {
  const bar1 = 1n << 40n;
  const records = [
    group,
    device,
    { ...inline('pread', 40, bar1 + 8n, 1n), handle: 2 },
    regionInfo(60, 1, bar1, 4096n),
    { ...inline('pread', 80, bar1 + 8n, 2n), handle: 2 },
    { ...inline('pread', 100, bar1 + 4096n, 3n), handle: 2 },
  ];
  withDrained(one(records), ({ rows, db }) => {
    assert.deepEqual(
      rows.slice(2).map((r) => [r.region, r.a, r.val]),
      [
        [null, Number(bar1) + 8, 1],
        [null, null, null],
        [1, 8, 2],
        [null, Number(bar1) + 4096, 3],
      ],
    );
    assert.deepEqual(db.prepare('SELECT * FROM region').raw().all(), [[2, 1, 3, 4096, Number(bar1), null, null]]);
  });
});

test('a region’s type is found in its capabilities', () => {
  withDrained(one([group, device, regionInfo(60, 9, 9n << 40n, 65536n, [3, 1])]), ({ db }) => {
    assert.deepEqual(db.prepare('SELECT idx, type, subtype FROM region').raw().all(), [[9, 3, 1]]);
  });
});

test('values are signed integers of their width', () => {
  const values: [number, bigint][] = [
    [1, 0xffn],
    [2, 0x8000n],
    [4, 0xffffffffn],
    [8, 0xffffffffffffffffn],
    [4, 0x7fffffffn],
    [3, 0xffffffn],
  ];
  const records = values.map(([n, value], i) => ({ ...inline('pread', 10 + 20 * i, 0n, value), ret: n, b: n }));
  withDrained(one(records), ({ rows, db }) => {
    assert.deepEqual(
      rows.map((r) => r.val),
      [-1, -32768, -1, -1, 0x7fffffff, 0xffffff],
    );
    assert.deepEqual(db.prepare('SELECT value FROM call ORDER BY id').pluck().safeIntegers().all(), [
      0xffn,
      0x8000n,
      0xffffffffn,
      -1n,
      0x7fffffffn,
      0xffffffn,
    ]);
  });
});

test('an answer that equals the question is the same payload', () => {
  const bytes = Buffer.from('0123456789abcdef');
  const reset: Record = { op: 'ioctl', enter: 40, a: 0x3b6d, fd: 5, handle: 2, chunks: [arg('IN', bytes)] };
  const failed = { ...reset, enter: 60, state: 'ENTERED' as const };
  withDrained(one([group, device, reset, failed]), ({ db }) => {
    const [same, open] = db.prepare('SELECT inp, outp FROM event WHERE id > 2').raw().all() as number[][];
    assert.equal(same?.[0], same?.[1]);
    assert.deepEqual(open, [same?.[0], null]);
  });
});

test('equal payloads are kept once, long ones packed', () => {
  const bytes = Buffer.alloc(5000, 'all the same ');
  const read = (enter: number, data: Buffer): Record => ({
    op: 'read',
    enter,
    ret: data.length,
    b: data.length,
    fd: 5,
    handle: 2,
    chunks: [arg('OUT', data)],
  });
  withDrained(one([group, device, read(40, bytes), read(60, bytes), read(80, Buffer.from('other one'))]), ({ db }) => {
    const rows = db
      .prepare('SELECT size, codec, data, hash FROM payload WHERE size IN (5000, 9) ORDER BY size')
      .all() as {
      size: number;
      codec: number;
      data: Buffer;
      hash: Buffer;
    }[];
    assert.deepEqual(
      rows.map((r) => [r.size, r.codec]),
      [
        [9, codecs.RAW],
        [5000, codecs.LZ4],
      ],
    );
    assert.ok(unpack(rows[1]?.data ?? Buffer.alloc(0), 5000).equals(bytes));
    assert.equal(rows[0]?.data.toString(), 'other one');
    assert.equal(rows[1]?.hash.length, 16);
  });
});

test('payload modes leave the program’s data out, not the structures', () => {
  const data = Buffer.alloc(100, 'secret');
  const records: Record[] = [
    group,
    device,
    { op: 'write', enter: 60, ret: 100, b: 100, fd: 5, handle: 2, chunks: [arg('IN', data)] },
  ];
  for (const payload of ['hash', 'none'] as const)
    withDrained(
      one(records),
      ({ db }) => {
        const kept = db
          .prepare('SELECT size, codec, data IS NULL AS gone, hash IS NULL AS unhashed FROM payload')
          .raw()
          .all();
        assert.deepEqual(kept, [
          [13, codecs.RAW, 0, 0],
          [13, codecs.RAW, 0, 0],
          [100, payload === 'hash' ? codecs.HASH : codecs.NONE, 1, payload === 'hash' ? 0 : 1],
        ]);
      },
      { payload },
    );
});

test('memory behind pointers, before and after', () => {
  const chunk = (phase: 'IN' | 'OUT', bytes: string, total = bytes.length): Chunk => ({
    where: 16,
    phase,
    bytes: Buffer.from(bytes),
    total,
  });
  const call = (enter: number, chunks: Chunk[]): Record => ({
    op: 'ioctl',
    enter,
    a: 0x3b75,
    fd: 5,
    handle: 2,
    chunks: [arg('IN', Buffer.alloc(24)), ...chunks],
  });
  withDrained(
    one([
      group,
      device,
      call(40, [chunk('IN', 'before!!'), chunk('OUT', 'after!!!')]),
      call(60, [chunk('IN', 'stays', 9)]),
    ]),
    ({ db }) => {
      const rows = db
        .prepare('SELECT m.event, m.at, m.phase, m.total, p.data FROM memory m JOIN payload p ON p.id = m.payload')
        .raw()
        .all() as [number, number, number, number, Buffer][];
      assert.deepEqual(
        rows.map(([event, at, phase, total, bytes]) => [event, at, phase, total, bytes.toString()]),
        [
          [3, 16, 0, 8, 'before!!'],
          [3, 16, 1, 8, 'after!!!'],
          [4, 16, 0, 9, 'stays'],
          [4, 16, 1, 9, 'stays'],
        ],
      );
    },
  );
});

test('room that an answer did not need is no chunk', () => {
  const record: Record = {
    op: 'read',
    enter: 10,
    ret: 5,
    b: 64,
    fd: 5,
    handle: 2,
    flags: recordFlags.SHORT,
    chunks: [arg('OUT', Buffer.from('hello')), { where: 0, phase: 'IN', bytes: Buffer.alloc(0) }],
  };
  withDrained(one([group, device, record]), ({ rows, db, status }) => {
    assert.equal(rows.find((r) => r.op === 'read')?.outp?.toString(), 'hello');
    assert.equal(db.prepare('SELECT count(*) FROM memory').pluck().get(), 0);
    assert.equal(status.damaged, 0);
  });
});

test.run();
