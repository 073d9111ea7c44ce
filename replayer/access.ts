// Reads, writes and mappings made again: of regions, where they begin here; of streams and eventfds as bytes.

import { constants } from 'node:os';
import { agentFlags } from '../schema/agent.ts';
import { PAYLOAD_MAX, wheres } from '../schema/event.ts';
import type { TraceEvent } from '../traces/event.ts';
import { type Planned, type Planning, run, skip } from './planned.ts';
import type { Part, Slot } from './target.ts';

const { EFAULT, EINTR } = constants.errno;
/** Longest read that is awaited: registers, not memory. */
const SETTLE_BYTES = 64;
/** {u64 addr, length, prot, flags, offset} of a recorded mmap. */
const MAP = { length: 8, offset: 32, size: 40 } as const;

/** Names a place in a region, for what is known of it over many calls. */
export const placeOf = (e: TraceEvent): string => `${e.handle}:${e.region}:${e.a}:${e.length}`;

/** A read may ask for any length; no recording keeps more than this of one. */
const lengthOf = (e: TraceEvent): bigint => BigInt(Math.min(Math.max(0, e.length ?? 0), PAYLOAD_MAX));

export function planRead(e: TraceEvent, slot: Slot, looping: boolean, planner: Planning): Planned {
  const { settle } = planner.options;
  const request = { a: planner.names.fileOffset(e.handle, e.region, e.a ?? 0n), b: lengthOf(e) };
  if (e.ret === -EFAULT) return run(planner.own('pread', slot, { ...request, flags: agentFlags.FAULT }));
  const awaited = settle > 0 && !looping && (e.ret ?? 0) > 0 ? e.output : null;
  if (!awaited || awaited.length > SETTLE_BYTES || planner.restless.has(placeOf(e)))
    return run(planner.own('pread', slot, request));
  const parts: Part[] = [{ kind: 'arg', bytes: awaited }];
  return run(planner.own('pread', slot, { ...request, timeout: settle, flags: agentFlags.UNTIL, parts }));
}

export function planWrite(e: TraceEvent, slot: Slot, planner: Planning): Planned {
  const bytes = e.input;
  const op = e.op === 'write' ? 'write' : 'pwrite';
  const a = op === 'write' ? 0n : planner.names.fileOffset(e.handle, e.region, e.a ?? 0n);
  if (bytes && bytes.length >= (e.length ?? 0))
    return run(planner.own(op, slot, { a, b: BigInt(bytes.length), parts: [{ kind: 'arg', bytes }] }));
  if (e.ret === -EFAULT) return run(planner.own(op, slot, { a, b: lengthOf(e), flags: agentFlags.FAULT }));
  return skip('its bytes were not kept');
}

export function planStream(e: TraceEvent, slot: Slot, looping: boolean, planner: Planning): Planned {
  const b = lengthOf(e);
  // Made here, it might take the interrupt that the loop's last read waits for.
  if (looping) return { kind: 'noted', before: [] };
  if (e.ret === -EINTR) return skip('a signal ended it');
  if (e.ret === -EFAULT) return run(planner.own('read', slot, { b, flags: agentFlags.FAULT }));
  return run(planner.own('read', slot, { b, timeout: (e.ret ?? 0) > 0 ? planner.patience : 0 }));
}

export function planMmap(e: TraceEvent, slot: Slot, planner: Planning): Planned {
  const given = e.memory.find((m) => m.at === wheres.ARRAY)?.bytes;
  if (!given || given.length < MAP.size) return skip('its arguments were not kept');
  const bytes = Buffer.from(given.subarray(0, MAP.size));
  const file = planner.names.moved(e.handle, e.region, bytes.readBigUInt64LE(MAP.offset));
  bytes.writeBigUInt64LE(file, MAP.offset);
  const length = bytes.readBigUInt64LE(MAP.length);
  const kept = planner.names.slot();
  if ((e.ret ?? -1) >= 0)
    planner.names.windows.push({ process: e.process, address: BigInt(e.ret ?? 0), length, slot: kept });
  const parts: Part[] = [
    { kind: 'arg', bytes },
    { kind: 'keepMemory', at: 'ret', slot: kept },
  ];
  return run(planner.own('mmap', slot, { a: file, b: length, parts }));
}

export function planMunmap(e: TraceEvent, planner: Planning): Planned {
  const [from, length] = [e.a ?? 0n, BigInt(e.length ?? 0)];
  const { windows } = planner.names;
  const i = windows.findIndex((w) => w.process === e.process && from >= w.address && from < w.address + w.length);
  const w = windows[i];
  if (!w || (e.ret ?? -1) < 0) return { kind: 'noted', before: [] };
  if (from === w.address && length >= w.length) windows.splice(i, 1);
  return run(planner.own('munmap', w.slot, { a: from - w.address, b: length }));
}
