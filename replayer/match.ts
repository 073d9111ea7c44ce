// Whether a call went as recorded: its reply as an event of its own, compared with the recorded one field by field.

import { featureOf, type Leaf } from '../schema/decode.ts';
import { FEATURE_MASK, vfio_device_feature } from '../schema/device.ts';
import { errnoName } from '../schema/errno.ts';
import { iommufdStructs } from '../schema/iommufd.ts';
import { fieldOf } from '../schema/layout.ts';
import { type CompareOptions, compareEvents, type FieldDifference } from '../traces/compare.ts';
import { callName, type Masks } from '../traces/diff/masks.ts';
import type { Memory, TraceEvent } from '../traces/event.ts';
import { plain } from '../traces/trace.ts';
import type { Placed } from './placed.ts';
import { pollfdsOf, REVENTS } from './poll.ts';
import type { Names } from './rename.ts';
import type { Reply, Request } from './target.ts';

export interface Outcome {
  /** What the recorded call was here; null: the same in everything but its time. */
  readonly actual: TraceEvent | null;
  readonly differences: readonly FieldDifference[];
  readonly masked: readonly (FieldDifference & { readonly mask: string })[];
}

export const maskNames = {
  eventfd: 'count of an eventfd',
  loop: 'a read in a loop that waits for the device',
  placed: 'an address or interrupt that the host gives the device',
  where: 'where the host has a device',
  unkept: 'the recording kept no bytes',
  sooner: 'an interrupt that comes sooner',
  ready: 'how many descriptors were ready',
} as const;

const DESTROYED = fieldOf(iommufdStructs.iommu_destroy, 'id').at;
/** Fields of vfio_pci_dependent_device. */
const WHERE = /^devices\[\d+\]\.(group_id|segment|bus|devfn)$/;
const reads: ReadonlySet<string> = new Set(['pread', 'read', 'load']);
const same: Outcome = { actual: null, differences: [], masked: [] };

/** Object ids of the replay by what they stand for in the recording. */
export class Ids {
  readonly #recorded = new Map<string, number>();
  readonly #known = new Set<string>();
  /** The first sight of a recorded id says what it is here. */
  learn(iommufd: number, own: number, recorded: number): void {
    const key = `${iommufd}:${recorded}`;
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.#recorded.set(`${iommufd}:${own}`, recorded);
  }
  /** Destroyed: the kernel may give the number to another object. */
  forget(iommufd: number, recorded: number): void {
    this.#known.delete(`${iommufd}:${recorded}`);
  }
  recorded(iommufd: number, own: number): number | undefined {
    return this.#recorded.get(`${iommufd}:${own}`);
  }
}

export interface Matching {
  readonly names: Names;
  readonly ids: Ids;
  readonly masks: Masks;
  /** A device is elsewhere than it was recorded. */
  readonly moved: boolean;
}

function bytesAsValue(bytes: Buffer): bigint {
  const wide = Buffer.alloc(8);
  bytes.copy(wide, 0, 0, 8);
  return wide.readBigUInt64LE();
}

/** The reply as an event: the recorded call with the replay's answer. */
function actualOf(expected: TraceEvent, reply: Reply, main: Request): TraceEvent {
  const e = plain(expected);
  const base = { ...e, ret: reply.ret, dur: reply.duration };
  if (reads.has(e.op)) {
    const output = reply.arg ?? Buffer.alloc(0);
    return { ...base, output, val: e.val === null || reply.ret < 0 ? e.val : bytesAsValue(output) };
  }
  if (e.op !== 'ioctl') return base;
  const before = e.memory.filter((m) => m.phase === 'in');
  const after = [...reply.buffers].map(([at, bytes]): Memory => ({ at, phase: 'out', bytes, total: bytes.length }));
  const kind = e.call?.arg.kind ?? 'raw';
  const structured = main.parts[0]?.kind === 'arg' && (kind === 'struct' || kind === 'raw');
  return { ...base, output: structured ? reply.arg : e.output, memory: [...before, ...after] };
}

/** What is not kept because the call left it as it was (argument, memory) is put back. */
function wholeOf(e: TraceEvent): TraceEvent {
  const out = new Set(e.memory.filter((m) => m.phase === 'out').map((m) => m.at));
  const unchanged = e.memory.filter((m) => m.phase === 'in' && !out.has(m.at));
  if (unchanged.length === 0 && e.output) return e;
  const p = plain(e);
  return {
    ...p,
    output: p.output ?? p.input,
    memory: [...p.memory, ...unchanged.map((m) => ({ ...m, phase: 'out' as const }))],
  };
}

/** Fast answer for the calls that most of a trace is made of. */
function plainlySame(e: TraceEvent, reply: Reply): boolean {
  if (reply.ret !== e.ret) return false;
  if (e.op === 'pread' || e.op === 'load') {
    const output = e.output;
    return output !== null && (reply.arg ? output.equals(reply.arg) : output.length === 0);
  }
  return e.op === 'pwrite' || e.op === 'store' || e.op === 'write';
}

interface Readiness extends FieldDifference {
  /** Nothing is missing; there is more than there was. */
  readonly more: boolean;
}

function pollDifferences(e: TraceEvent, reply: Reply): Readiness[] {
  const [expected, actual] = [pollfdsOf(e), reply.arg];
  if (!expected || !actual) return [];
  const found: Readiness[] = [];
  for (let at = 0; at + REVENTS + 2 <= Math.min(expected.length, actual.length); at += 8) {
    if (actual.readInt32LE(at) < 0) continue;
    const [a, b] = [expected.readUInt16LE(at + REVENTS), actual.readUInt16LE(at + REVENTS)];
    if (a === b) continue;
    const field = `fds[${at / 8}].revents`;
    found.push({ field, expected: `0x${a.toString(16)}`, actual: `0x${b.toString(16)}`, more: (a & b) === a });
  }
  return found;
}

/** Bytes of a feature that the schema does not know: all of them are compared. */
function unknownFeature(e: TraceEvent, actual: TraceEvent): FieldDifference[] {
  if (e.feature === null || featureOf(e.feature) || !e.output || !actual.output || (e.ret ?? -1) < 0) return [];
  const [a, b] = [e.output.subarray(vfio_device_feature.size), actual.output.subarray(vfio_device_feature.size)];
  if (a.equals(b)) return [];
  return [{ field: `feature ${e.feature & FEATURE_MASK}`, expected: a.toString('hex'), actual: b.toString('hex') }];
}

/** What is known of a call besides its record. */
export interface Circumstances {
  readonly looping: boolean;
  /** The program was told of an interrupt soon after. */
  readonly heeded: boolean;
  /** Bytes of its answer that the host decides. */
  readonly placed: Placed | null;
}

export function match(
  expected: TraceEvent,
  reply: Reply,
  main: Request,
  { looping, heeded, placed }: Circumstances,
  m: Matching,
): Outcome {
  if (plainlySame(expected, reply)) return same;
  const actual = actualOf(expected, reply, main);
  if (expected.op === 'poll') return matchPoll(expected, reply, actual, looping || heeded);
  learnIds(expected, reply, main, m);
  const options: CompareOptions = {
    canon: (side, leaf, e) => canon(side, leaf, e, m),
    mask: (e, field) => maskOf(e, field, m),
  };
  const whole = wholeOf(expected);
  const compared = compareEvents(whole, actual, options);
  const differences = [...compared.differences, ...unknownFeature(whole, actual)];
  const masked = [...compared.masked, ...unkept(expected, reply)];
  const why = excuse(expected, looping) ?? (onlyPlaced(placed, expected, actual) ? maskNames.placed : undefined);
  if (why === undefined || differences.some((d) => d.field === 'result' || d.field === 'errno'))
    return { actual, differences: once(differences), masked };
  return {
    actual,
    differences: [],
    masked: [...masked, ...once(differences).map((d) => ({ ...d, mask: why }))],
  };
}

/** Data that --payload left out of the recording cannot be compared. */
function unkept(e: TraceEvent, reply: Reply): Outcome['masked'] {
  if (!reads.has(e.op) || (e.ret ?? 0) <= 0 || e.output !== null) return [];
  const actual = `${reply.arg?.length ?? 0} bytes`;
  return [{ field: 'data', expected: `${e.ret} bytes`, actual, mask: maskNames.unkept }];
}

function maskOf(e: TraceEvent, field: string, m: Matching): string | undefined {
  if (m.moved && WHERE.test(field)) return maskNames.where;
  const name = callName(e, (flags) => featureOf(flags)?.name);
  return m.masks.covers(name, field);
}

/** A short read's bytes are told twice, as a value and as data. */
function once(differences: FieldDifference[]): FieldDifference[] {
  return differences.some((d) => d.field === 'value')
    ? differences.filter((d) => d.field !== 'data' && d.field !== 'data.length')
    : differences;
}

/** Whether nothing but the host's own bytes differs. */
function onlyPlaced(placed: Placed | null, expected: TraceEvent, actual: TraceEvent): boolean {
  const [a, b] = [expected.output, actual.output];
  if (!placed || !a || !b || a.length !== b.length) return false;
  return a.every((byte, i) => byte === b[i] || placed.has(i));
}

/** Why the bytes that this call read may differ. */
function excuse(e: TraceEvent, looping: boolean): string | undefined {
  if (e.kind === 'eventfd' && e.op === 'read') return maskNames.eventfd;
  return looping ? maskNames.loop : undefined;
}

function matchPoll(e: TraceEvent, reply: Reply, actual: TraceEvent, sooner: boolean): Outcome {
  if (reply.ret < 0) return { actual, differences: [result(e, reply)], masked: [] };
  const found = pollDifferences(e, reply);
  const excused = sooner ? found.filter((d) => d.more) : [];
  const differences = found.filter((d) => !excused.includes(d));
  const masked: (Readiness & { mask: string })[] = excused.map((d) => ({ ...d, mask: maskNames.sooner }));
  if (found.length === 0 && reply.ret !== e.ret)
    masked.push({ ...result(e, reply), more: true, mask: maskNames.ready });
  return { actual, differences, masked };
}

const result = (e: TraceEvent, reply: Reply): FieldDifference => ({
  field: 'result',
  expected: `${e.ret}`,
  actual: reply.ret < 0 ? `-1 ${errnoName(-reply.ret)}` : `${reply.ret}`,
});

const iommufdOf = (e: TraceEvent, names: Names): number =>
  e.kind === 'iommufd' ? e.handle : (names.iommufds.get(e.handle) ?? 0);

function learnIds(e: TraceEvent, reply: Reply, main: Request, m: Matching): void {
  const recorded = e.output ?? e.input;
  if (reply.ret < 0 || !reply.arg || !recorded) return;
  const iommufd = iommufdOf(e, m.names);
  if (e.call?.name === 'IOMMU_DESTROY' && recorded.length >= DESTROYED + 4)
    m.ids.forget(iommufd, recorded.readUInt32LE(DESTROYED));
  for (const p of main.parts)
    if (p.kind === 'keepId' && p.at !== 'ret' && p.at + 4 <= Math.min(reply.arg.length, recorded.length))
      m.ids.learn(iommufd, reply.arg.readUInt32LE(p.at), recorded.readUInt32LE(p.at));
}

function canon(side: 'expected' | 'actual', leaf: Leaf, e: TraceEvent, m: Matching): string | undefined {
  if (leaf.field.means !== 'object') return undefined;
  const id = Number(leaf.value);
  if (side === 'expected' || id === 0) return `${id}`;
  const recorded = m.ids.recorded(iommufdOf(e, m.names), id);
  return recorded === undefined ? `new object ${id}` : `${recorded}`;
}
