// A trace as sequences to be aligned: one for each open file and thread, each call as two hashes. `fine` covers what the
// program asked for, with handed-out numbers named and process addresses left out; `coarse` only which call it was. What
// came back is a third hash, `outcome`: calls whose outcomes are equal need no closer look.

import { type Leaf, leaves } from '../../schema/decode.ts';
import { noteOps, recordFlags } from '../../schema/event.ts';
import { layoutOf, returnsHandle } from '../compare.ts';
import type { TraceEvent } from '../event.ts';
import type { Trace } from '../trace.ts';
import { CommonNames } from './common-names.ts';
import { Protocols } from './devices.ts';

/** Growable columns of one (handle, thread). */
export class Sequence {
  readonly handle: string;
  readonly thread: number;
  length = 0;
  fine = new Uint32Array(64);
  coarse = new Uint32Array(64);
  outcome = new Uint32Array(64);
  id = new Uint32Array(64);
  /** Passes of polling loops that were left out. */
  collapsed = 0;
  #reads = new Uint8Array(64);

  constructor(handle: string, thread: number) {
    this.handle = handle;
    this.thread = thread;
  }

  push(fine: number, coarse: number, outcome: number, id: number, read: boolean): void {
    if (this.length === this.id.length) this.#grow();
    const i = this.length++;
    [this.fine[i], this.coarse[i], this.outcome[i], this.id[i]] = [fine, coarse, outcome, id];
    this.#reads[i] = read ? 1 : 0;
    if (read) this.#collapse();
  }

  /** A polling loop is one pass of it, with what the last pass saw. */
  #collapse(): void {
    for (let period = 1; period <= 4 && this.length >= 2 * period; period++) {
      const last = this.length - period;
      let same = true;
      for (let i = 0; i < period && same; i++) {
        same =
          this.#reads[last + i] === 1 &&
          this.#reads[last + i - period] === 1 &&
          this.fine[last + i] === this.fine[last + i - period];
      }
      if (!same) continue;
      for (let i = 0; i < period; i++) {
        this.id[last + i - period] = this.id[last + i] as number;
        this.outcome[last + i - period] = this.outcome[last + i] as number;
      }
      this.length = last;
      this.collapsed++;
      return;
    }
  }

  /** Gives back the room for more. */
  trim(): void {
    this.#resize(this.length);
  }

  #grow(): void {
    this.#resize(Math.ceil(this.length * 1.5));
  }

  #resize(room: number): void {
    const resized = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const column = new Uint32Array(room);
      column.set(old.subarray(0, this.length));
      return column;
    };
    // one after the other, so that only one column is there twice
    this.fine = resized(this.fine);
    this.coarse = resized(this.coarse);
    this.outcome = resized(this.outcome);
    this.id = resized(this.id);
    const reads = new Uint8Array(room);
    reads.set(this.#reads.subarray(0, this.length));
    this.#reads = reads;
  }
}

const mix = (h: number, x: number): number => {
  const y = Math.imul(h ^ x, 0x9e3779b1);
  return (y ^ (y >>> 15)) >>> 0;
};
const mixBig = (h: number, x: bigint): number =>
  mix(mix(h, Number(BigInt.asUintN(32, x))), Number(BigInt.asUintN(32, x >> 32n)));
function mixBytes(h: number, bytes: Uint8Array): number {
  let out = mix(h, bytes.length);
  for (let i = 0; i < bytes.length; i++) out = Math.imul(out ^ (bytes[i] as number), 0x01000193);
  return mix(out, 0);
}
function mixText(h: number, text: string): number {
  let out = h;
  for (let i = 0; i < text.length; i++) out = Math.imul(out ^ text.charCodeAt(i), 0x01000193);
  return mix(out, text.length);
}

/** Calls that only look, so that a repetition of them is a loop that waits. */
function looks(e: TraceEvent): boolean {
  return e.op === 'pread' || e.op === 'load' || e.op === 'poll' || (e.op === 'read' && e.kind === 'eventfd');
}

/** What is not said to the device or the IOMMU, or only how a program keeps its books. */
const ignored: ReadonlySet<string> = new Set([
  'fork',
  'exec',
  'process',
  'lost',
  'more',
  'attach',
  'dma',
  'kvm',
  'munmap',
  'mprotect',
]);

const opSeeds = new Map<string, number>();
const seed = (text: string): number => {
  let h = opSeeds.get(text);
  if (h === undefined) {
    h = mixText(0x811c9dc5, text);
    opSeeds.set(text, h);
  }
  return h;
};

function hashLeaves(
  found: readonly Leaf[],
  e: TraceEvent,
  names: CommonNames,
  h: number,
): [fine: number, coarse: number] {
  let [fine, coarse] = [h, h];
  for (const leaf of found) {
    const { means, dir } = leaf.field;
    if (dir === 'out' || means === 'argsz' || means === 'address' || means === 'pointer' || means === 'reserved')
      continue;
    if (means === 'fd' || means === 'object') fine = mixText(fine, names.canon(leaf, e) ?? '?');
    else fine = mixBig(fine, BigInt(leaf.value));
    if (leaf.path === 'index' || leaf.path === 'flags') coarse = mixBig(coarse, BigInt(leaf.value));
  }
  return [fine, coarse];
}

function hashes(e: TraceEvent, names: CommonNames): [fine: number, coarse: number, outcome: number] {
  const layout = layoutOf(e);
  let coarse = seed(e.call?.name ?? (e.request === null ? e.op : `0x${e.request.toString(16)}`));
  coarse = mix(mix(coarse, (e.region ?? -1) + 1), e.feature ?? 0);
  const region = e.op === 'pread' || e.op === 'pwrite' || e.op === 'load' || e.op === 'store';
  if (region) coarse = mix(mixBig(coarse, e.a ?? 0n), e.length ?? 0);
  let fine = coarse;
  let outcome = mix(0, e.ret === null ? -4096 : returnsHandle(e) && e.ret >= 0 ? 0 : e.ret);
  const inline = (e.flags & recordFlags.INLINE) !== 0;
  if (e.op === 'pwrite' || e.op === 'write' || e.op === 'store') {
    if (inline && e.val !== null) fine = mixBig(fine, e.val);
    else if (e.input) fine = mixBytes(fine, e.input);
  } else if (inline) {
    if (e.val !== null) outcome = mixBig(outcome, e.val);
  } else if (layout) {
    const input = e.input ? [...leaves(layout, e.input)] : [];
    [fine, coarse] = hashLeaves(input, e, names, coarse);
    const output = e.output ? [...leaves(layout, e.output)] : [];
    names.see(e, output);
    if (e.output) outcome = mixBytes(outcome, e.output);
  } else {
    if (e.input && e.op !== 'open') fine = mixBytes(fine, e.input);
    if (e.output) outcome = mixBytes(outcome, e.output);
    if (e.op === 'ioctl' && e.a !== null && e.call?.arg.kind === 'value') fine = mixBig(fine, e.a);
  }
  if (!layout && e.made !== 0) names.see(e, []);
  if (e.op === 'ioctl' || !inline) for (const m of e.memory) if (m.bytes) outcome = mixBytes(outcome, m.bytes);
  return [fine, coarse, outcome];
}

export interface Sequences {
  readonly names: CommonNames;
  readonly protocols: Protocols;
  /** By handle, then by thread. */
  readonly byHandle: ReadonlyMap<string, readonly Sequence[]>;
  readonly events: number;
  /** Calls that a polling loop repeated. */
  readonly collapsed: number;
}

/** `renamed`: devices that go by another name, that of the device which they are compared with. */
export function sequencesOf(trace: Trace, renamed: ReadonlyMap<string, string> = new Map()): Sequences {
  const names = new CommonNames(trace.handles.values(), renamed);
  const protocols = new Protocols(trace);
  const byKey = new Map<string, Sequence>();
  const byHandle = new Map<string, Sequence[]>();
  let events = 0;
  for (const e of trace.events()) {
    if (!noteOps.has(e.op)) events++;
    if (ignored.has(e.op)) {
      if (e.made !== 0) names.see(e, []);
      continue;
    }
    protocols.see(e);
    const [fine, coarse, outcome] = hashes(e, names);
    const handle = e.op === 'open' || e.op === 'eventfd' ? 'opens' : names.handle(e.handle);
    const key = `${handle}\0${e.thread}`;
    let s = byKey.get(key);
    if (!s) {
      s = new Sequence(handle, e.thread);
      byKey.set(key, s);
      byHandle.set(handle, [...(byHandle.get(handle) ?? []), s]);
    }
    s.push(fine, coarse, outcome, e.id, looks(e));
  }
  let collapsed = 0;
  for (const s of byKey.values()) {
    s.trim();
    collapsed += s.collapsed;
  }
  return { names, protocols, byHandle, events, collapsed };
}
