// A call that the program makes, as an event that can be compared with a recorded one.

import { leaves } from '../../schema/decode.ts';
import { recordFlags } from '../../schema/event.ts';
import { type Comparison, compareEvents, layoutOf } from '../../traces/compare.ts';
import type { TraceEvent } from '../../traces/event.ts';
import { plain } from '../../traces/trace.ts';
import type { CallerMemory } from '../emulator/caller.ts';

/** A call as it comes: number argument or address in `arg`, bytes of a write in `bytes`. */
export interface Call {
  readonly op: 'open' | 'ioctl' | 'pread' | 'pwrite' | 'read' | 'write' | 'mmap';
  readonly request: number | null;
  readonly feature: number | null;
  /** Offset in the device file. */
  readonly offset: bigint | null;
  readonly length: number | null;
  readonly arg: bigint;
  readonly bytes: Buffer | null;
}

const NUL = /\0.*$/s;

/** The argument's bytes as far as the recorded call has any. */
function argumentOf(call: Call, memory: CallerMemory, like: TraceEvent): Buffer | null {
  if (call.op !== 'ioctl') return call.bytes;
  const kind = like.call?.arg.kind;
  if (kind === 'none' || kind === 'value' || !like.input) return null;
  if (kind === 'struct' || kind === 'raw') {
    const whole = memory.read(call.arg, like.input.length);
    if (whole) return whole;
    const size = memory.read(call.arg, 4)?.readUInt32LE(0);
    return size === undefined ? null : memory.read(call.arg, Math.min(size, like.input.length));
  }
  return memory.read(call.arg, like.input.length);
}

function small(bytes: Buffer | null): bigint | null {
  if (!bytes || bytes.length > 8) return null;
  const wide = Buffer.alloc(8);
  bytes.copy(wide);
  return wide.readBigUInt64LE();
}

/** `call` in the clothes of `like`: same answer, its own question. */
function eventOf(call: Call, memory: CallerMemory, like: TraceEvent): TraceEvent {
  const input = argumentOf(call, memory, like);
  const sameString =
    like.call?.arg.kind === 'string' &&
    input !== null &&
    input.toString('latin1').replace(NUL, '') === like.input?.toString('latin1').replace(NUL, '');
  const inline = (like.flags & recordFlags.INLINE) !== 0;
  return {
    ...plain(like),
    input: sameString ? like.input : input,
    val: call.op === 'pwrite' || call.op === 'write' ? (inline ? small(call.bytes) : null) : like.val,
    length: call.length,
  };
}

/** Why the recorded call does not answer `call`; no differences: it does, and `masked` says how well. */
export function whyNot(call: Call, memory: CallerMemory, like: TraceEvent): Comparison {
  const only = (field: string, expected: string, actual: string): Comparison => ({
    differences: [{ field, expected, actual }],
    masked: [],
  });
  if (like.op === 'ioctl' && like.call?.arg.kind === 'value' && like.a !== null && like.a !== call.arg)
    return only('argument', `${like.a}`, `${call.arg}`);
  if (like.op === 'open' || like.op === 'mmap') return { differences: [], masked: [] };
  if (like.op === 'write' && like.length !== call.length) return only('length', `${like.length}`, `${call.length}`);
  return compareEvents(like, eventOf(call, memory, like), {
    inputs: true,
    canon: (_side, leaf) => (leaf.field.means === 'object' ? `${leaf.value}` : undefined),
  });
}

/**
 * The recorded argument after the call, for the program's own buffer: what the kernel writes is the trace's, what the
 * program wrote (addresses, inputs) stays. Null: nothing to write.
 */
export function argumentAfter(own: Buffer, recorded: TraceEvent): Buffer | null {
  const layout = layoutOf(recorded);
  const { output } = recorded;
  if (!output) return null;
  const after = Buffer.from(own);
  output.copy(after, 0, 0, Math.min(own.length, output.length));
  if (!layout) return after;
  for (const leaf of leaves(layout, after)) {
    const { field, at } = leaf;
    if (field.dir !== 'in' && field.means !== 'address' && field.means !== 'pointer') continue;
    own.copy(after, at, at, Math.min(own.length, at + WIDTH[field.type]));
  }
  return after;
}
const WIDTH = { u8: 1, u16: 2, u32: 4, u64: 8, s32: 4, s64: 8 } as const;
