// A plain reader of ring files, written after schema/event.ts alone: what the interposer wrote, judged without the
// recorder's own reader.

import { readFileSync } from 'node:fs';
import {
  chunkFlags,
  opName,
  recordFlags,
  recordStates,
  vrr_chunk,
  vrr_record,
  vrr_ring,
  vrr_segment,
  wheres,
} from '../../schema/event.ts';
import { fieldOf, type Struct } from '../../schema/layout.ts';

export interface Chunk {
  readonly where: number;
  readonly phase: number;
  readonly total: number;
  readonly bytes: Buffer;
}

export interface Call {
  readonly op: string;
  readonly state: number;
  readonly flags: number;
  readonly pid: number;
  readonly tid: number;
  readonly level: number;
  readonly stream: number;
  readonly enter: bigint;
  readonly leave: bigint;
  readonly ret: number;
  readonly a: bigint;
  readonly b: bigint;
  readonly fd: number;
  readonly handle: number;
  readonly value: bigint;
  readonly chunks: readonly Chunk[];
}

export interface Ring {
  readonly calls: readonly Call[];
  readonly lost: readonly number[];
  readonly taken: number;
}

function number(bytes: Buffer, at: number, layout: Struct, name: string): bigint {
  const f = fieldOf(layout, name);
  switch (f.type) {
    case 'u16':
      return BigInt(bytes.readUInt16LE(at + f.at));
    case 'u8':
      return BigInt(bytes.readUInt8(at + f.at));
    case 's32':
      return BigInt(bytes.readInt32LE(at + f.at));
    case 'u32':
      return BigInt(bytes.readUInt32LE(at + f.at));
    case 's64':
      return bytes.readBigInt64LE(at + f.at);
    default:
      return bytes.readBigUInt64LE(at + f.at);
  }
}

interface Raw extends Omit<Call, 'chunks'> {
  readonly pieces: (Chunk & { readonly flags: number })[];
  readonly part: number;
}

function recordsOf(bytes: Buffer, at: number, size: number): Raw[] {
  const segment = (name: string): number => Number(number(bytes, at, vrr_segment, name));
  const records: Raw[] = [];
  for (let p = at + vrr_segment.size; p < at + size; ) {
    const length = bytes.readUInt32LE(p);
    const op = bytes.readUInt8(p + 4);
    if (length === 0 && op === 0) break;
    if (length < vrr_record.size || length % 8 || p + length > at + size)
      throw new Error(`record of ${length} bytes at ${p}`);
    const get = (name: string): bigint => number(bytes, p, vrr_record, name);
    const pieces: Raw['pieces'] = [];
    for (let c = p + vrr_record.size; c + vrr_chunk.size <= p + length; ) {
      const chunk = (name: string): number => Number(number(bytes, c, vrr_chunk, name));
      if (chunk('where') === 0) break;
      const end = c + vrr_chunk.size + chunk('length');
      if (end > p + length) throw new Error(`chunk at ${c} leaves its record`);
      pieces.push({
        where: chunk('where'),
        phase: chunk('phase'),
        flags: chunk('flags'),
        total: chunk('total'),
        bytes: bytes.subarray(c + vrr_chunk.size, end),
      });
      c += vrr_chunk.size + Math.ceil(chunk('length') / 8) * 8;
    }
    records.push({
      op: opName(op) ?? `op ${op}`,
      flags: bytes.readUInt8(p + 5),
      state: bytes.readUInt16LE(p + 6),
      pid: segment('pid'),
      tid: segment('tid'),
      level: segment('level'),
      stream: segment('stream'),
      part: segment('part'),
      enter: get('enter'),
      leave: get('leave'),
      ret: Number(get('ret')),
      a: get('a'),
      b: get('b'),
      fd: Number(get('fd')),
      handle: Number(get('handle')),
      value: get('value'),
      pieces,
    });
    p += length;
  }
  return records;
}

function joined(pieces: Raw['pieces']): Chunk[] {
  const chunks: Chunk[] = [];
  const rest = [...pieces];
  for (let p = rest.shift(); p; p = rest.shift()) {
    const run = [p];
    while ((run.at(-1)?.flags ?? 0) & chunkFlags.CONTINUED) {
      const i = rest.findIndex((c) => c.where === p?.where && c.phase === p?.phase);
      const next = rest.splice(i, 1)[0];
      if (i < 0 || !next) break;
      run.push(next);
    }
    chunks.push({ where: p.where, phase: p.phase, total: p.total, bytes: Buffer.concat(run.map((c) => c.bytes)) });
  }
  return chunks;
}

/** Calls in the order in which they were entered. */
export function readRing(path: string): Ring {
  const bytes = readFileSync(path);
  const ring = (name: string): number => Number(number(bytes, 0, vrr_ring, name));
  const size = ring('segment_size');
  const raw: Raw[] = [];
  for (let i = 0; i < ring('segment_count'); i++) {
    const at = ring('header_size') + i * size;
    if (number(bytes, at, vrr_segment, 'ticket')) raw.push(...recordsOf(bytes, at, size));
  }
  raw.sort((x, y) => x.stream - y.stream || x.part - y.part);
  const continuations = new Map<string, Raw[]>();
  for (const m of raw)
    if (m.op === 'more') {
      const key = `${m.stream} ${m.enter}`;
      continuations.set(key, [...(continuations.get(key) ?? []), m]);
    }
  const calls = raw
    .filter((r) => r.op !== 'more')
    .map((r): Call => {
      const more = continuations.get(`${r.stream} ${r.enter}`) ?? [];
      if (more.length > 0 !== Boolean(r.flags & recordFlags.MORE))
        throw new Error(`${r.op}: MORE, but ${more.length} found`);
      more.sort((x, y) => Number(x.a - y.a));
      const { pieces, part: _, ...rest } = r;
      return { ...rest, chunks: joined([...pieces, ...more.flatMap((m) => m.pieces)]) };
    });
  calls.sort((x, y) => (x.enter < y.enter ? -1 : x.enter > y.enter ? 1 : 0));
  const lost = fieldOf(vrr_ring, 'lost').at;
  return {
    calls,
    lost: Array.from({ length: 16 }, (_, i) => Number(bytes.readBigUInt64LE(lost + 8 * i))),
    taken: ring('taken'),
  };
}

export function bytesOf(call: Call, where: keyof typeof wheres | number, phase: number): Buffer | undefined {
  const at = typeof where === 'number' ? where : wheres[where];
  return call.chunks.find((c) => c.where === at && c.phase === phase)?.bytes;
}

export const isDone = (call: Call): boolean => call.state === recordStates.DONE;
