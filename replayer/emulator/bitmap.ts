// Dirty bitmaps: bit n is page n, in 64-bit little-endian words.

/** Bytes of a bitmap of so many pages (DIRTY_BITMAP_BYTES). */
export const bitmapBytes = (pages: bigint): number => Number((pages + 63n) / 64n) * 8;

export function setBits(bitmap: Buffer, first: number, count: number): void {
  let at = first;
  const end = first + count;
  while (at < end && at % 8 !== 0) setBit(bitmap, at++);
  const whole = (end - at) >> 3;
  if (whole > 0) bitmap.fill(0xff, at >> 3, (at >> 3) + whole);
  at += Math.max(whole, 0) * 8;
  while (at < end) setBit(bitmap, at++);
}

function setBit(bitmap: Buffer, bit: number): void {
  bitmap[bit >> 3] = (bitmap[bit >> 3] as number) | (1 << (bit & 7));
}

/** `count` bits of `bitmap`, moved up by `shift` (less than 64), in a fresh buffer of whole words. */
export function shifted(bitmap: Buffer, count: number, shift: number): Buffer {
  const out = Buffer.alloc(bitmapBytes(BigInt(count + shift)));
  if (shift === 0) {
    bitmap.copy(out, 0, 0, out.length);
    return out;
  }
  for (let bit = 0; bit < count; bit++) if ((bitmap[bit >> 3] as number) & (1 << (bit & 7))) setBit(out, bit + shift);
  return out;
}
