// Recorded calls made up for the replayer's tests.

import { request } from '../../schema/call.ts';
import type { FdKind } from '../../schema/kinds.ts';
import { calls } from '../../schema/surface.ts';
import type { TraceEvent } from '../../traces/event.ts';

let id = 0;
/** An event whose fields are those given; `name` is an ioctl's. */
export function event(fields: Partial<TraceEvent> & { readonly name?: string }): TraceEvent {
  const { name, ...given } = fields;
  const call = calls.find((c) => c.name === name);
  id++;
  return {
    ...{ id, t: id * 1000, dur: 500, op: name ? 'ioctl' : 'pread', process: 1, thread: 1, pid: 10, tid: 10, fd: 3 },
    ...{ kind: (call?.kind as FdKind | undefined) ?? 'device', handle: 1, feature: null, region: null, a: null },
    ...{ request: call ? request(call.nr) : null, call, length: null, flags: 0, ret: 0, val: null },
    ...{ input: null, output: null, memory: [], made: 0 },
    ...given,
  };
}

type Item = readonly [4 | 8, number | bigint];
export const u32 = (n: number): Item => [4, n];
export const u64 = (n: number | bigint): Item => [8, n];
/** Numbers one after the other, little-endian. */
export function packed(...items: Item[]): Buffer {
  const bytes = Buffer.alloc(items.reduce((n, [w]) => n + w, 0));
  let at = 0;
  for (const [width, value] of items) {
    if (width === 4) bytes.writeUInt32LE(Number(value) >>> 0, at);
    else bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
    at += width;
  }
  return bytes;
}
