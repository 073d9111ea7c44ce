// Reads and writes of a v1 migration region: device_state and the iteration over data segments.

import { vfio_device_migration_info as head, V1_ERROR, v1Bits, v1StateMask } from '../../schema/states-v1.ts';
import type { TraceEvent } from '../event.ts';
import { type Device, type Iteration, newIteration, type V1, type World } from './shadow.ts';
import { type Emit, ended, type StepOf, type V1Field } from './step.ts';
import { digest } from './stream.ts';

/** Longest segment whose bytes are compared, in bytes. */
const SEGMENT_MAX = 1 << 26;

function fieldAt(offset: bigint, length: number): V1Field {
  if (offset >= BigInt(head.size)) return 'data';
  const f = head.fields.find((x) => BigInt(x.at) === offset && x.size === length);
  return f ? (f.name as V1Field) : 'odd';
}

export const saving = (state: number): boolean => (state & v1StateMask) !== V1_ERROR && (state & v1Bits.SAVING) !== 0;
export const resuming = (state: number): boolean =>
  (state & v1StateMask) !== V1_ERROR && (state & v1Bits.RESUMING) !== 0;

export function migrationRegion(
  event: TraceEvent,
  world: World,
  device: Device,
  v1: V1,
  write: boolean,
  emit: Emit,
): void {
  const offset = event.region === null ? (event.a ?? 0n) - v1.region.offset : (event.a ?? 0n);
  const length = event.length ?? 0;
  const field = fieldAt(offset, length);
  const value = length <= 8 && field !== 'data' ? event.val : null;
  const step: StepOf<'v1'> = { kind: 'v1', ...ended(event), device, v1, field, write, offset, length, value };
  emit(step);
  if (!step.ok) {
    if (field === 'device_state' && write && value !== null) v1.failed = { from: v1.state, to: Number(value) };
    if (field === 'device_state' && write) v1.read = null;
    return;
  }
  if (field === 'device_state' && value !== null) (write ? stateWritten : stateRead)(world, step, Number(value));
  else if (field === 'data') dataMoved(step, event);
  else if (value !== null) iterate(step, value);
}

function stateRead(_world: World, { v1 }: StepOf<'v1'>, state: number): void {
  v1.state = state;
  v1.read = state;
  v1.failed = null;
  v1.fresh = false;
  v1.error = (state & v1StateMask) === V1_ERROR;
}

function stateWritten(world: World, { v1, device, event }: StepOf<'v1'>, state: number): void {
  const before = v1.state ?? 0;
  const kind = saving(state) ? 'save' : resuming(state) ? 'resume' : null;
  if (kind !== (saving(before) ? 'save' : resuming(before) ? 'resume' : null)) {
    if (v1.transfer) v1.transfer.finished = true;
    v1.transfer = kind ? { device: device.name, kind, segments: [], event, finished: false } : null;
    if (v1.transfer) world.transfers.push(v1.transfer);
    v1.iteration = newIteration();
  }
  if (v1.iteration.phase === 'pending') v1.iteration.pending = null; // what a running device added is pending too
  v1.state = state;
  v1.read = null;
  v1.failed = null;
  v1.fresh = false;
  v1.written = true;
  v1.error = false;
}

export function resetV1(v1: V1): void {
  v1.state = v1Bits.RUNNING;
  v1.read = null;
  v1.failed = null;
  v1.fresh = true;
  v1.written = false;
  v1.error = false;
  v1.iteration = newIteration();
  v1.transfer = null;
}

function acknowledge({ v1, event }: StepOf<'v1'>): void {
  const it = v1.iteration;
  if (!v1.transfer || it.size === null || it.size === 0n) return;
  const whole = it.bytes !== null && covered(it) === null;
  v1.transfer.segments.push({
    size: it.size,
    hash: whole ? digest((it.bytes as Buffer).subarray(0, Number(it.size))) : null,
    event: event.id,
  });
}

function iterate(step: StepOf<'v1'>, value: bigint): void {
  const { v1, field, write } = step;
  const it = v1.iteration;
  const isResuming = resuming(v1.state ?? 0);
  if (field === 'pending_bytes') {
    if (it.phase === 'size' || it.phase === 'data') {
      acknowledge(step);
      v1.iteration = newIteration();
    }
    v1.iteration.phase = 'pending';
    v1.iteration.pending = value;
  } else if (field === 'data_offset') {
    if (isResuming) v1.iteration = newIteration();
    v1.iteration.phase = 'offset';
    v1.iteration.offset = value;
  } else if (field === 'data_size') {
    it.size = value;
    if (write && isResuming) {
      acknowledge(step);
      v1.iteration = newIteration();
    } else if (it.phase !== 'data') it.phase = 'size';
  }
}

function dataMoved({ v1, event: e, offset, write }: StepOf<'v1'>, event: TraceEvent): void {
  const it = v1.iteration;
  const count = Math.min(event.ret ?? 0, event.length ?? 0);
  it.phase = 'data';
  if (count <= 0) return;
  addRange(it.done, offset, offset + BigInt(count));
  const bytes = write ? e.input : e.output;
  const from = it.offset === null ? -1 : Number(offset - it.offset);
  if (!bytes || bytes.length < count || from < 0 || from + count > SEGMENT_MAX) {
    it.bytes = null;
    return;
  }
  if (it.bytes === null && it.done.length === 1 && it.done[0]?.[1] === offset + BigInt(count))
    it.bytes = Buffer.alloc(4096);
  if (!it.bytes) return;
  if (it.bytes.length < from + count) {
    const larger = Buffer.alloc(Math.max(from + count, it.bytes.length * 2));
    it.bytes.copy(larger);
    it.bytes = larger;
  }
  bytes.copy(it.bytes, from, 0, count);
}

/** Sorted and merged; accesses mostly go on where the last one ended. */
function addRange(ranges: [bigint, bigint][], from: bigint, to: bigint): void {
  const last = ranges.at(-1);
  if (last && from >= last[0] && from <= last[1]) {
    if (to > last[1]) last[1] = to;
    return;
  }
  ranges.push([from, to]);
  if (!last || from > last[1]) return;
  ranges.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  for (let i = ranges.length - 1; i > 0; i--) {
    const a = ranges[i - 1] as [bigint, bigint];
    const b = ranges[i] as [bigint, bigint];
    if (b[0] > a[1]) continue;
    if (b[1] > a[1]) a[1] = b[1];
    ranges.splice(i, 1);
  }
}

/** First byte of the segment that was not read or written, null none. */
export function covered(it: Iteration): bigint | null {
  if (it.offset === null || it.size === null || it.size === 0n) return null;
  const range = it.done.find(([from, to]) => from <= (it.offset as bigint) && to > (it.offset as bigint));
  if (!range) return it.offset;
  return range[1] >= it.offset + it.size ? null : range[1];
}
