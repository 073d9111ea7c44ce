// Two traces side by side. Each open file's calls are aligned thread by thread, after handed-out numbers have been named
// and polling loops are one pass each; calls that pair up are compared by field, those that do not are missing, extra or
// moved. The difference that comes first leads.

import type { Leaf } from '../../schema/decode.ts';
import { featureOf } from '../../schema/decode.ts';
import { compareEvents } from '../compare.ts';
import type { TraceEvent } from '../event.ts';
import { openTrace, type Trace } from '../trace.ts';
import { align } from './align.ts';
import { type ContextDifference, contextDifferences } from './context.ts';
import { Cursor } from './cursor.ts';
import { pairDevices, remarksOn } from './devices.ts';
import { type Difference, type DifferenceKind, Differences, kindOf } from './differences.ts';
import { callName, type Mask, Masks } from './masks.ts';
import { Replayed } from './replayed.ts';
import { type Sequence, type Sequences, sequencesOf } from './sequence.ts';
import { type Slice, sliceOf } from './slice.ts';
import { pairThreads } from './threads.ts';
import { timingDifferences } from './timing.ts';

export interface DiffOptions {
  readonly a: string;
  readonly b: string;
  readonly masks: readonly Mask[];
  /** Other recordings of the same thing as `a`: what differs among them is masked. */
  readonly learn: readonly string[];
  readonly timing: boolean;
}

export interface DiffReport {
  readonly a: string;
  readonly b: string;
  readonly events: readonly [number, number];
  readonly paired: number;
  /** Calls that polling loops repeated, left out on each side. */
  readonly collapsed: readonly [number, number];
  /** Devices compared with each other that are not the same. */
  readonly devices: readonly string[];
  readonly context: readonly ContextDifference[];
  readonly differences: Differences;
  readonly first: Difference | undefined;
  readonly slice: Slice | undefined;
  readonly learned: readonly string[];
}

const named = (e: TraceEvent): string => callName(e, (flags) => featureOf(flags)?.name);

export function diffTraces(options: DiffOptions): DiffReport {
  const a = openTrace(options.a);
  try {
    const sa = sequencesOf(a);
    const learned = learn(a, sa, options.learn);
    const masks = new Masks([...options.masks, ...learned.map((text): Mask => ({ text, from: 'learned' }))]);
    const b = openTrace(options.b);
    try {
      const pairs = pairDevices(a, b);
      const sb = sequencesOf(b, new Map(pairs.map((p) => [p.b, p.a])));
      const comparer = new Comparer(a, b, sa, sb, masks);
      comparer.run();
      const { found } = comparer;
      for (const d of options.timing ? timingDifferences(a, b) : []) {
        const mask = masks.covers(d.call, 'timing');
        if (mask === undefined) found.add(d);
        else found.mask(mask);
      }
      found.sort();
      const first = found.first;
      return {
        a: options.a,
        b: options.b,
        events: [sa.events, sb.events],
        paired: comparer.paired,
        collapsed: [sa.collapsed, sb.collapsed],
        devices: remarksOn(pairs, { trace: a, protocols: sa.protocols }, { trace: b, protocols: sb.protocols }),
        context: contextDifferences(a, b),
        differences: found,
        first,
        slice: first ? sliceOf(first, a, b) : undefined,
        learned,
      };
    } finally {
      b.close();
    }
  } finally {
    a.close();
  }
}

/** Masks for every field that differs between `a` and its siblings. */
function learn(a: Trace, sa: Sequences, siblings: readonly string[]): string[] {
  const texts = new Set<string>();
  for (const path of siblings) {
    const b = openTrace(path);
    try {
      const comparer = new Comparer(a, b, sa, sequencesOf(b), new Masks([]));
      comparer.run();
      for (const list of comparer.found.byKind.values()) {
        for (const d of list) texts.add(`${d.call}:${d.field ?? d.kind}`);
      }
    } finally {
      b.close();
    }
  }
  return [...texts].sort();
}

class Comparer {
  readonly found = new Differences();
  paired = 0;
  /** b's thread for each of a's. */
  #threads: ReadonlyMap<number, number> = new Map();
  readonly #a: Cursor;
  readonly #b: Cursor;
  readonly #sa: Sequences;
  readonly #sb: Sequences;
  readonly #masks: Masks;
  readonly #replayed: Replayed;
  /** Unpaired calls by handle and fine hash, to see those that another thread made. */
  readonly #missing = new Map<string, { s: Sequence; i: number; position: number }[]>();
  readonly #extra: { s: Sequence; i: number; position: number }[] = [];

  constructor(a: Trace, b: Trace, sa: Sequences, sb: Sequences, masks: Masks) {
    [this.#a, this.#b] = [new Cursor(a), new Cursor(b)];
    [this.#sa, this.#sb, this.#masks] = [sa, sb, masks];
    this.#replayed = new Replayed(a, b);
  }

  run(): void {
    const threads = pairThreads(this.#sa.byHandle, this.#sb.byHandle);
    this.#threads = threads;
    const seen = new Set<Sequence>();
    for (const [handle, sequences] of this.#sa.byHandle) {
      for (const s of sequences) {
        const other = this.#sb.byHandle.get(handle)?.find((o) => o.thread === threads.get(s.thread));
        if (other) seen.add(other);
        this.#sequence(s, other);
      }
    }
    for (const sequences of this.#sb.byHandle.values()) {
      for (const s of sequences) if (!seen.has(s)) this.#leftExtra(s, 0, s.length, 0);
    }
    this.#settle();
  }

  #sequence(s: Sequence, other: Sequence | undefined): void {
    if (!other) {
      for (let i = 0; i < s.length; i++) this.#leftMissing(s, i);
      return;
    }
    const match = align(s.fine.subarray(0, s.length), other.fine.subarray(0, other.length));
    let [from, to] = [0, 0]; // first unmatched on either side
    for (let i = 0; i <= s.length; i++) {
      const j = i < s.length ? (match[i] as number) : other.length;
      if (j < 0) continue;
      if (i > from || j > to) this.#gap(s, from, i, other, to, j);
      if (i < s.length) this.#pair(s, i, other, j);
      [from, to] = [i + 1, j + 1];
    }
  }

  /** Between two calls that are the same: the same kind of call with other arguments, or not there at all. */
  #gap(s: Sequence, a0: number, a1: number, other: Sequence, b0: number, b1: number): void {
    const moved = new Set<number>(); // of b, also in a's gap: swapped, not changed
    for (let j = b0; j < b1; j++) moved.add(other.fine[j] as number);
    const keep = (seq: Sequence, from: number, to: number, other: ReadonlySet<number>): number[] => {
      const out: number[] = [];
      for (let i = from; i < to; i++) if (!other.has(seq.fine[i] as number)) out.push(i);
      return out;
    };
    const inA = new Set<number>();
    for (let i = a0; i < a1; i++) inA.add(s.fine[i] as number);
    const [left, right] = [keep(s, a0, a1, moved), keep(other, b0, b1, inA)];
    const coarse = align(
      Uint32Array.from(left, (i) => s.coarse[i] as number),
      Uint32Array.from(right, (j) => other.coarse[j] as number),
    );
    const [pairedA, pairedB] = [new Set<number>(), new Set<number>()];
    coarse.forEach((k, n) => {
      if (k < 0) return;
      const [i, j] = [left[n] as number, right[k] as number];
      this.#pair(s, i, other, j);
      pairedA.add(i);
      pairedB.add(j);
    });
    for (let i = a0; i < a1; i++) if (!pairedA.has(i)) this.#leftMissing(s, i);
    const position = a0 > 0 ? (s.id[a0 - 1] as number) : 0;
    for (let j = b0; j < b1; j++) if (!pairedB.has(j)) this.#leftExtra(other, j, j + 1, position);
  }

  #pair(s: Sequence, i: number, other: Sequence, j: number): void {
    this.paired++;
    if (s.fine[i] === other.fine[j] && s.outcome[i] === other.outcome[j]) return;
    const [ea, eb] = [this.#a.event(s.id[i] as number), this.#b.event(other.id[j] as number)];
    if (!ea || !eb) return;
    const call = named(ea);
    const excused = this.#replayed.excused(ea.id, eb.id);
    const { differences, masked } = compareEvents(ea, eb, {
      inputs: true,
      canon: (side: 'expected' | 'actual', leaf: Leaf, e: TraceEvent) =>
        (side === 'expected' ? this.#sa : this.#sb).names.canon(leaf, e),
      mask: (_e, field) => excused ?? this.#masks.covers(call, field),
    });
    for (const m of masked) this.found.mask(m.mask);
    for (const d of differences) {
      this.found.add({
        kind: kindOf(d.field, ea),
        call,
        handle: s.handle,
        a: ea.id,
        b: eb.id,
        field: d.field,
        expected: d.expected,
        actual: d.actual,
        position: ea.id,
      });
    }
  }

  #leftMissing(s: Sequence, i: number): void {
    const key = `${s.handle}\0${s.fine[i]}`;
    const list = this.#missing.get(key) ?? [];
    list.push({ s, i, position: s.id[i] as number });
    this.#missing.set(key, list);
  }

  #leftExtra(s: Sequence, from: number, to: number, position: number): void {
    for (let j = from; j < to; j++) this.#extra.push({ s, i: j, position: position + 0.5 });
  }

  /** A call missing here and extra there is one that moved: within its thread it is out of order, else no difference. */
  #settle(): void {
    for (const x of this.#extra) {
      const list = this.#missing.get(`${x.s.handle}\0${x.s.fine[x.i]}`);
      const m = list?.shift();
      if (!m) {
        this.#alone('extra', x.s, x.i, x.position);
        continue;
      }
      if (this.#threads.get(m.s.thread) === x.s.thread)
        this.#alone('order', m.s, m.i, Math.min(m.position, x.position), x.s.id[x.i] as number);
      else this.found.mask('call made by another thread');
      this.#pair(m.s, m.i, x.s, x.i);
    }
    for (const list of this.#missing.values()) for (const m of list) this.#alone('missing', m.s, m.i, m.position);
  }

  #alone(kind: DifferenceKind, s: Sequence, i: number, position: number, b: number | null = null): void {
    const id = s.id[i] as number;
    const e = (kind === 'extra' ? this.#b : this.#a).event(id);
    const call = e ? named(e) : '?';
    const mask = (kind === 'order' ? undefined : this.#replayed.notMade(id)) ?? this.#masks.covers(call, kind);
    if (mask !== undefined) {
      this.found.mask(mask);
      return;
    }
    this.found.add({
      kind,
      call,
      handle: s.handle,
      a: kind === 'extra' ? null : id,
      b: kind === 'extra' ? id : b,
      field: null,
      expected: null,
      actual: null,
      position,
    });
  }
}
