// Alignment of two sequences of hashes: equal ends are cut off, then the sequences are split at hashes that are unique on
// both sides and in the same order (patience), and what lies between is solved exactly when it is small. Linear memory,
// so that sequences of millions stay cheap; the sequences of one program differ in few places.

/** Most of either side that is searched for anchors at once: it bounds the memory that the search takes. */
const WINDOW = 1 << 18;
/** Largest product of lengths solved exactly; above it the rest between two anchors counts as replaced. */
const EXACT = 4_000_000;

export function align(a: Uint32Array, b: Uint32Array): Int32Array {
  const match = new Int32Array(a.length).fill(-1);
  const work: [number, number, number, number][] = [[0, a.length, 0, b.length]];
  for (let job = work.pop(); job; job = work.pop()) {
    let [a0, a1, b0, b1] = job;
    while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) match[a0++] = b0++;
    while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) match[--a1] = --b1;
    if (a0 === a1 || b0 === b1) continue;
    const [ax, bx] = [Math.min(a1, a0 + WINDOW), Math.min(b1, b0 + WINDOW)];
    const anchors = uniqueCommon(a, a0, ax, b, b0, bx);
    if (anchors.length > 0) {
      let [pa, pb] = [a0, b0];
      for (const [x, y] of anchors) {
        if (x > pa && y > pb) work.push([pa, x, pb, y]);
        match[x] = y;
        [pa, pb] = [x + 1, y + 1];
      }
      work.push([pa, a1, pb, b1]);
    } else if ((a1 - a0) * (b1 - b0) <= EXACT) exact(a, a0, a1, b, b0, b1, match);
    else {
      const next = greedy(a, a0, ax, b, b0, b1, match);
      work.push([ax, a1, next, b1]);
    }
  }
  return match;
}

/** Pairs of indexes whose hash occurs once in either range, in the longest order that rises on both sides. */
function uniqueCommon(
  a: Uint32Array,
  a0: number,
  a1: number,
  b: Uint32Array,
  b0: number,
  b1: number,
): [number, number][] {
  const where = new Map<number, number>(); // hash → index in b, -1 when it occurs again
  for (let j = b0; j < b1; j++) where.set(b[j] as number, where.has(b[j] as number) ? -1 : j);
  const count = new Map<number, number>();
  for (let i = a0; i < a1; i++)
    if ((where.get(a[i] as number) ?? -1) >= 0) count.set(a[i] as number, (count.get(a[i] as number) ?? 0) + 1);
  const candidates: [number, number][] = [];
  for (let i = a0; i < a1; i++)
    if (count.get(a[i] as number) === 1) candidates.push([i, where.get(a[i] as number) as number]);
  return risingSubsequence(candidates);
}

function risingSubsequence(pairs: readonly [number, number][]): [number, number][] {
  const tails: number[] = []; // index into pairs of the smallest end of a run of each length
  const before = new Int32Array(pairs.length).fill(-1);
  pairs.forEach(([, y], i) => {
    let [low, high] = [0, tails.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((pairs[tails[middle] as number] as [number, number])[1] < y) low = middle + 1;
      else high = middle;
    }
    if (low > 0) before[i] = tails[low - 1] as number;
    tails[low] = i;
  });
  const run: [number, number][] = [];
  for (let i = tails.at(-1) ?? -1; i >= 0; i = before[i] as number) run.push(pairs[i] as [number, number]);
  return run.reverse();
}

/** Longest common subsequence by the table. */
function exact(
  a: Uint32Array,
  a0: number,
  a1: number,
  b: Uint32Array,
  b0: number,
  b1: number,
  match: Int32Array,
): void {
  const [n, m] = [a1 - a0, b1 - b0];
  const table = new Uint32Array((n + 1) * (m + 1));
  const at = (i: number, j: number): number => table[i * (m + 1) + j] as number;
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      table[i * (m + 1) + j] = a[a0 + i] === b[b0 + j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  for (let i = 0, j = 0; i < n && j < m; ) {
    if (a[a0 + i] === b[b0 + j]) match[a0 + i++] = b0 + j++;
    else if (at(i + 1, j) >= at(i, j + 1)) i++;
    else j++;
  }
}

/** Nearest next occurrence not far ahead: for ranges too long for the table. Gives where b goes on. */
function greedy(
  a: Uint32Array,
  a0: number,
  a1: number,
  b: Uint32Array,
  b0: number,
  b1: number,
  match: Int32Array,
): number {
  const AHEAD = 256;
  let j = b0;
  for (let i = a0; i < a1 && j < b1; i++) {
    const end = Math.min(b1, j + AHEAD);
    for (let k = j; k < end; k++) {
      if (a[i] === b[k]) {
        match[i] = k;
        j = k + 1;
        break;
      }
    }
  }
  return j;
}
