// Two traces side by side. Each open file's calls are aligned thread by thread, after handed-out numbers have been named
// and polling loops are one pass each; calls that pair up are compared by field, those that do not are missing, extra or
// moved. The difference that comes first leads.

import { openTrace, type Trace } from '../trace.ts';
import { Comparer } from './comparer.ts';
import { type ContextDifference, contextDifferences } from './context.ts';
import { pairDevices, remarksOn } from './devices.ts';
import type { Difference, Differences } from './differences.ts';
import { type Mask, Masks } from './masks.ts';
import { type Sequences, sequencesOf } from './sequence.ts';
import { type Slice, sliceOf } from './slice.ts';
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
