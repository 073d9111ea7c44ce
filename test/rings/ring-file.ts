// Writes a ring file as the interposer would, from plain data: what the drain must make of it is then known.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createRing, put, ringNumber } from '../../recorder/ring.ts';
import {
  chunkFlags,
  type Op,
  ops,
  phases,
  recordFlags,
  recordStates,
  vrr_chunk,
  vrr_record,
  vrr_ring,
  vrr_segment,
} from '../../schema/event.ts';
import { fdKinds } from '../../schema/kinds.ts';
import { fieldOf, type Struct } from '../../schema/layout.ts';

export interface Chunk {
  readonly where: number;
  readonly phase: keyof typeof phases;
  readonly bytes: Buffer;
  readonly total?: number;
  readonly goesOn?: boolean;
}
export interface Record {
  readonly op: Op;
  readonly enter: number;
  readonly leave?: number;
  readonly state?: keyof typeof recordStates;
  readonly flags?: number;
  readonly ret?: number;
  readonly a?: bigint | number;
  readonly b?: bigint | number;
  readonly fd?: number;
  readonly handle?: number;
  readonly value?: bigint;
  readonly chunks?: readonly Chunk[];
}
export interface Stream {
  readonly pid: number;
  readonly tid: number;
  readonly records: readonly Record[];
}

export const SEGMENT = 1 << 16;
export const made = (handle: number, kind: keyof typeof fdKinds): bigint =>
  BigInt(handle) | (BigInt(fdKinds[kind]) << 32n);

function set(bytes: Buffer, layout: Struct, name: string, value: number | bigint): void {
  const f = fieldOf(layout, name);
  const n = BigInt.asUintN(f.size * 8, BigInt(value));
  if (f.size === 8) bytes.writeBigUInt64LE(n, f.at);
  else bytes.writeUIntLE(Number(n), f.at, f.size);
}

export function encode(r: Record): Buffer {
  const parts = (r.chunks ?? []).map((c) => {
    const head = Buffer.alloc(vrr_chunk.size);
    set(head, vrr_chunk, 'length', c.bytes.length);
    set(head, vrr_chunk, 'total', c.total ?? c.bytes.length);
    set(head, vrr_chunk, 'where', c.where);
    set(head, vrr_chunk, 'phase', phases[c.phase]);
    set(head, vrr_chunk, 'flags', c.goesOn ? chunkFlags.CONTINUED : 0);
    return Buffer.concat([head, c.bytes, Buffer.alloc(-c.bytes.length & 7)]);
  });
  const fixed = Buffer.alloc(vrr_record.size);
  const size = fixed.length + parts.reduce((n, p) => n + p.length, 0);
  const state = recordStates[r.state ?? 'DONE'];
  const flags = r.flags ?? 0;
  set(
    fixed,
    vrr_record,
    'head',
    BigInt(size) | (BigInt(ops[r.op]) << 32n) | (BigInt(flags) << 40n) | (BigInt(state) << 48n),
  );
  set(fixed, vrr_record, 'enter', r.enter);
  set(fixed, vrr_record, 'leave', r.leave ?? (state === recordStates.DONE ? r.enter + 10 : 0));
  set(fixed, vrr_record, 'ret', r.ret ?? 0);
  set(fixed, vrr_record, 'a', r.a ?? 0);
  set(fixed, vrr_record, 'b', r.b ?? 0);
  set(fixed, vrr_record, 'fd', r.fd ?? -1);
  set(fixed, vrr_record, 'handle', r.handle ?? 0);
  set(fixed, vrr_record, 'value', r.value ?? 0n);
  return Buffer.concat([fixed, ...parts]);
}

export const inline = (
  op: 'pread' | 'pwrite',
  enter: number,
  at: bigint,
  value: bigint,
  fd = 5,
  handle = 1,
): Record => ({
  op,
  enter,
  flags: recordFlags.INLINE,
  ret: 4,
  a: at,
  b: 4,
  fd,
  handle,
  value,
});

/** Clock: 1 tick is 1 ns, the recording starts at 0. */
export function writeRing(folder: string, streams: readonly Stream[], segmentSize = SEGMENT): string {
  const path = createRing({
    folder,
    quota: segmentSize * 256,
    mmio: 'pass',
    clock: { clock: 2, name: 'MONOTONIC', hz: 1000000000n, start: 0n, monotonic: 0n, realtime: 0n },
    segmentSize,
    recorderPid: 1,
  });
  const header = readFileSync(path).subarray(0, vrr_ring.size);
  const headerSize = Number(ringNumber(header, 'header_size'));
  const fd = openSync(path, 'r+');
  let ticket = 0;
  streams.forEach((stream, index) => {
    let part = 0;
    let bytes: Buffer[] = [];
    let room = segmentSize - vrr_segment.size;
    const flush = (closed: boolean): void => {
      const head = Buffer.alloc(vrr_segment.size);
      set(head, vrr_segment, 'ticket', ticket + 1);
      set(head, vrr_segment, 'stream', index + 1);
      set(head, vrr_segment, 'part', part++);
      set(head, vrr_segment, 'pid', stream.pid);
      set(head, vrr_segment, 'tid', stream.tid);
      set(head, vrr_segment, 'closed', closed ? 1 : 0);
      writeSync(fd, Buffer.concat([head, ...bytes]), 0, undefined, headerSize + ticket * segmentSize);
      const slot = Buffer.alloc(4);
      slot.writeUInt32LE(ticket);
      writeSync(fd, slot, 0, 4, vrr_ring.size + 4 * ticket);
      ticket++;
      bytes = [];
      room = segmentSize - vrr_segment.size;
    };
    for (const record of stream.records) {
      const encoded = encode(record);
      if (encoded.length > room) flush(true);
      bytes.push(encoded);
      room -= encoded.length;
    }
    flush(false);
  });
  put(header, 'taken', ticket);
  put(header, 'given', ticket);
  put(header, 'next_stream', streams.length + 1);
  writeSync(fd, header, 0, header.length, 0);
  closeSync(fd);
  return path;
}
