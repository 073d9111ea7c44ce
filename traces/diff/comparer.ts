// Calls of two traces paired, thread by thread of each open file; what differs in a pair, and what is in none.

import type { Leaf } from '../../schema/decode.ts';
import { featureOf } from '../../schema/decode.ts';
import { compareEvents } from '../compare.ts';
import type { TraceEvent } from '../event.ts';
import type { Trace } from '../trace.ts';
import { align } from './align.ts';
import { Anchors } from './anchors.ts';
import { Cursor } from './cursor.ts';
import { type DifferenceKind, Differences, kindOf } from './differences.ts';
import { callName, type Masks } from './masks.ts';
import { Replayed } from './replayed.ts';
import type { Sequence, Sequences } from './sequence.ts';
import { pairThreads } from './threads.ts';

const named = (e: TraceEvent): string => callName(e, (flags) => featureOf(flags)?.name);

export class Comparer {
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
  readonly #anchors = new Anchors();
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
      for (const s of sequences) if (!seen.has(s)) this.#alien(s);
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
    this.#anchors.add(s.id[i] as number, other.id[j] as number);
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

  /** Of a handle or thread that A does not have. */
  #alien(s: Sequence): void {
    for (let j = 0; j < s.length; j++) this.#leftExtra(s, j, j + 1, this.#anchors.before(s.id[j] as number));
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
