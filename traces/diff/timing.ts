// Calls that take a different time: by name, median against median.

import { featureOf } from '../../schema/decode.ts';
import type { Trace } from '../trace.ts';
import type { Difference } from './differences.ts';
import { callName } from './masks.ts';

/** Fewer calls than this say nothing about a time. */
const LEAST = 5;
/** Medians closer than this are called equal. */
const FACTOR = 2;
const SAMPLES = 10_000;

function medians(trace: Trace): Map<string, { median: number; calls: number; first: number }> {
  const samples = new Map<string, { list: number[]; first: number }>();
  for (const e of trace.events()) {
    if (e.dur === null) continue;
    const name =
      e.op === 'ioctl'
        ? callName(e, (f) => featureOf(f)?.name)
        : `${e.op}${e.region === null ? '' : ` region ${e.region}`}`;
    const s = samples.get(name) ?? { list: [], first: e.id };
    if (s.list.length < SAMPLES) s.list.push(e.dur);
    samples.set(name, s);
  }
  return new Map(
    [...samples].map(([name, s]) => {
      s.list.sort((x, y) => x - y);
      return [name, { median: s.list[s.list.length >> 1] ?? 0, calls: s.list.length, first: s.first }];
    }),
  );
}

export function timingDifferences(a: Trace, b: Trace): Difference[] {
  const [left, right] = [medians(a), medians(b)];
  return [...left].flatMap(([call, x]): Difference[] => {
    const y = right.get(call);
    if (!y || x.calls < LEAST || y.calls < LEAST) return [];
    const factor = y.median / Math.max(1, x.median);
    if (factor < FACTOR && factor > 1 / FACTOR) return [];
    return [
      {
        kind: 'timing',
        call,
        handle: '',
        a: x.first,
        b: y.first,
        field: 'median',
        position: x.first,
        expected: `${(x.median / 1000).toFixed(2)} us`,
        actual: `${(y.median / 1000).toFixed(2)} us (x${factor.toFixed(1)})`,
      },
    ];
  });
}
