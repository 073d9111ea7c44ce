// An eventfd of a replayed program: a counter (eventfd(2)).

import type { Eventfd } from './caller.ts';

const EFD_SEMAPHORE = 1;
const MAX = (1n << 64n) - 2n;

export class EventCounter implements Eventfd {
  readonly kind = 'eventfd';
  private count: bigint;
  private readonly semaphore: boolean;
  private readonly watchers = new Set<() => void>();

  constructor(initial: bigint, flags: number) {
    this.count = initial;
    this.semaphore = (flags & EFD_SEMAPHORE) !== 0;
  }

  get readable(): boolean {
    return this.count > 0n;
  }
  signal(): void {
    if (this.count < MAX) this.count++;
  }
  watch(onWrite: () => void): () => void {
    this.watchers.add(onWrite);
    return () => this.watchers.delete(onWrite);
  }

  /** The 8 bytes that read() gives, null where it would wait. */
  take(): Buffer | null {
    if (this.count === 0n) return null;
    const out = Buffer.alloc(8);
    out.writeBigUInt64LE(this.semaphore ? 1n : this.count);
    this.count = this.semaphore ? this.count - 1n : 0n;
    return out;
  }
  add(n: bigint): boolean {
    if (this.count + n > MAX) return false;
    this.count += n;
    for (const watcher of this.watchers) watcher();
    return true;
  }
}
