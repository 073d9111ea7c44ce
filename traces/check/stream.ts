// What went through a migration data descriptor, kept as one hash a block, so that two streams are compared whatever
// the sizes of their reads and writes were.

import { createHash } from 'node:crypto';

export const BLOCK = 4096;

export class Stream {
  /** Bytes that went through. */
  length = 0n;
  /** Bytes of some call were not kept (--payload), or another program has the descriptor too. */
  partial = false;
  readonly #blocks: string[] = [];
  #pending: Buffer = Buffer.alloc(0);

  /** `bytes`: what is in the trace of the `count` bytes; null none. */
  add(bytes: Buffer | null, count: number): void {
    this.length += BigInt(count);
    if (!bytes || bytes.length < count) {
      this.partial = true;
      return;
    }
    const all =
      this.#pending.length > 0 ? Buffer.concat([this.#pending, bytes.subarray(0, count)]) : bytes.subarray(0, count);
    let at = 0;
    for (; all.length - at >= BLOCK; at += BLOCK) this.#blocks.push(digest(all.subarray(at, at + BLOCK)));
    this.#pending = Buffer.from(all.subarray(at)); // a copy: the trace's own buffer is shared
  }

  /** Equal for equal streams. */
  get fingerprint(): string {
    return `${this.length}:${digest(Buffer.from(this.blocks().join(' ')))}`;
  }

  /** Hash of each block; the last may be short. */
  blocks(): readonly string[] {
    return this.#pending.length > 0 ? [...this.#blocks, digest(this.#pending)] : this.#blocks;
  }
}

export const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('base64');

/** Where two streams part: undefined when they are the same; else the first byte of the block, and what is wrong. */
export function parting(source: Stream, destination: Stream): { at: bigint; how: string } | undefined {
  const a = source.blocks();
  const b = destination.blocks();
  const whole = (source.length < destination.length ? source : destination).length;
  let i = 0;
  while (i < a.length && i < b.length && a[i] === b[i]) i++;
  if (i === a.length && i === b.length) return undefined;
  const at = BigInt(i) * BigInt(BLOCK);
  if (at + BigInt(BLOCK) > whole && source.length !== destination.length)
    return { at, how: `${destination.length} of ${source.length} bytes were fed` };
  const elsewhere = b[i] === undefined ? -1 : a.indexOf(b[i] as string);
  if (elsewhere > i)
    return { at, how: `the bytes of offset ${elsewhere * BLOCK} come at offset ${at}: they are out of order` };
  return { at, how: `the bytes differ within the ${BLOCK} at offset ${at}` };
}
