// Which thread of the one recording is which of the other: by what they do, since numbers and even the order of starting
// differ from run to run.

import type { Sequence } from './sequence.ts';

const SAMPLE = 2000;

function profileOf(byHandle: ReadonlyMap<string, readonly Sequence[]>): Map<number, Set<string>> {
  const profiles = new Map<number, Set<string>>();
  for (const [handle, sequences] of byHandle) {
    for (const s of sequences) {
      const profile = profiles.get(s.thread) ?? new Set<string>();
      for (let i = 0; i < Math.min(s.length, SAMPLE); i++) profile.add(`${handle}:${s.fine[i]}`);
      profiles.set(s.thread, profile);
    }
  }
  return profiles;
}

function overlap(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  let common = 0;
  for (const x of a) if (b.has(x)) common++;
  return common / Math.max(1, a.size + b.size - common);
}

/** b's thread for each of a's that has one. */
export function pairThreads(
  a: ReadonlyMap<string, readonly Sequence[]>,
  b: ReadonlyMap<string, readonly Sequence[]>,
): Map<number, number> {
  const [left, right] = [profileOf(a), profileOf(b)];
  const ranks = (m: Map<number, unknown>): Map<number, number> =>
    new Map([...m.keys()].sort((x, y) => x - y).map((t, i) => [t, i]));
  const [rankA, rankB] = [ranks(left), ranks(right)];
  const scored = [...left].flatMap(([t, p]) =>
    [...right].map(([u, q]) => ({
      t,
      u,
      score: overlap(p, q),
      apart: Math.abs((rankA.get(t) ?? 0) - (rankB.get(u) ?? 0)),
    })),
  );
  scored.sort((x, y) => y.score - x.score || x.apart - y.apart);
  const pairs = new Map<number, number>();
  const taken = new Set<number>();
  for (const { t, u } of scored) {
    if (pairs.has(t) || taken.has(u)) continue;
    pairs.set(t, u);
    taken.add(u);
  }
  return pairs;
}
