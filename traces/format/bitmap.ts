// A dirty bitmap in a few words: how many bits, which runs.

const RUNS = 6;

/** Runs of set bits, first and last bit of each; the callers bound how many they take. */
export function* runs(bytes: Uint8Array): Generator<[number, number]> {
  let start = -1;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (byte === 0 && start < 0) continue;
    if (byte === 0xff && start >= 0) continue;
    for (let bit = 0; bit < 8; bit++) {
      const set = (byte >> bit) & 1;
      if (set && start < 0) start = i * 8 + bit;
      if (!set && start >= 0) {
        yield [start, i * 8 + bit - 1];
        start = -1;
      }
    }
  }
  if (start >= 0) yield [start, bytes.length * 8 - 1];
}

export function countBits(bytes: Uint8Array): number {
  let n = 0;
  for (const [from, to] of runs(bytes)) n += to - from + 1;
  return n;
}

/** `{5 of 64 set: 0-3, 9}`. */
export function bitmapText(bytes: Uint8Array): string {
  const shown: string[] = [];
  let set = 0;
  for (const [from, to] of runs(bytes)) {
    set += to - from + 1;
    if (shown.length < RUNS) shown.push(from === to ? `${from}` : `${from}-${to}`);
    else if (shown.length === RUNS) shown.push('…');
  }
  return `{${set} of ${bytes.length * 8} set${set > 0 ? `: ${shown.join(', ')}` : ''}}`;
}
