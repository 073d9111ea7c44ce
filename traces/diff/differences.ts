// What a comparison of two traces finds, as data.

import type { TraceEvent } from '../event.ts';

export const differenceKinds = [
  'errno',
  'result',
  'state',
  'output',
  'input',
  'missing',
  'extra',
  'order',
  'timing',
] as const;
export type DifferenceKind = (typeof differenceKinds)[number];

export interface Difference {
  readonly kind: DifferenceKind;
  /** The call's name: request and feature, or operation and register. */
  readonly call: string;
  readonly handle: string;
  /** Events; null on the side that lacks it. */
  readonly a: number | null;
  readonly b: number | null;
  readonly field: string | null;
  readonly expected: string | null;
  readonly actual: string | null;
  /** Where it stands in a: its event, or just after the event before it. */
  readonly position: number;
}

/** The kind of a field's difference in two calls that are the same. */
export function kindOf(field: string, e: TraceEvent): DifferenceKind {
  if (field === 'errno' || field === 'result') return field;
  if (/(^|\.)device_state$/.test(field)) return 'state';
  if (field.endsWith(' in') || (field === 'value' && (e.op === 'pwrite' || e.op === 'write' || e.op === 'store')))
    return 'input';
  const leaf = e.call?.arg.kind === 'struct' ? e.call.arg.layout.fields.find((f) => f.name === field) : undefined;
  return leaf?.dir === 'in' ? 'input' : 'output';
}

/** Kept of each kind; the rest is counted. */
const KEPT = 1000;

export class Differences {
  readonly byKind = new Map<DifferenceKind, Difference[]>();
  readonly counts = new Map<DifferenceKind, number>();
  /** Mask → times it hid a difference. */
  readonly masked = new Map<string, number>();

  add(d: Difference): void {
    this.counts.set(d.kind, (this.counts.get(d.kind) ?? 0) + 1);
    const list = this.byKind.get(d.kind) ?? [];
    this.byKind.set(d.kind, list);
    if (list.length < KEPT) list.push(d);
  }

  mask(name: string): void {
    this.masked.set(name, (this.masked.get(name) ?? 0) + 1);
  }

  /** Nothing has more than a mask's worth of difference. Timing is no difference of behaviour. */
  get same(): boolean {
    return [...this.counts].every(([kind, n]) => kind === 'timing' || n === 0);
  }

  /** The one that comes first in a; what follows may follow from it. */
  get first(): Difference | undefined {
    let first: Difference | undefined;
    for (const list of this.byKind.values()) {
      for (const d of list) if (d.kind !== 'timing' && (!first || d.position < first.position)) first = d;
    }
    return first;
  }

  sort(): void {
    for (const list of this.byKind.values()) list.sort((x, y) => x.position - y.position);
  }
}
