// What is mapped for DMA in one IO address space, sorted by IOVA.

/** Addresses and sizes in bytes; they may end at 2^64. */
export interface Mapping {
  readonly iova: bigint;
  readonly size: bigint;
  readonly vaddr: bigint;
  readonly process: number;
  /** The event that made it. */
  readonly event: number;
  /** It maps a device's region: the way of peer-to-peer DMA. */
  readonly peer: boolean;
}

export class Mappings {
  readonly #sorted: Mapping[] = [];
  /** Bytes mapped. */
  bytes = 0n;
  /** How many of them map a device's region. */
  peers = 0;

  get count(): number {
    return this.#sorted.length;
  }

  /** Those that have a byte in [iova, iova + size). */
  overlapping(iova: bigint, size: bigint): readonly Mapping[] {
    const found: Mapping[] = [];
    for (let i = this.#firstEndingAfter(iova); i < this.#sorted.length; i++) {
      const m = this.#sorted[i] as Mapping;
      if (m.iova >= iova + size) break;
      found.push(m);
    }
    return found;
  }

  add(m: Mapping): void {
    this.#sorted.splice(this.#firstEndingAfter(m.iova), 0, m);
    this.bytes += m.size;
    if (m.peer) this.peers++;
  }

  remove(m: Mapping): void {
    const i = this.#sorted.indexOf(m, this.#firstEndingAfter(m.iova));
    if (i < 0) return;
    this.#sorted.splice(i, 1);
    this.bytes -= m.size;
    if (m.peer) this.peers--;
  }

  clear(): void {
    this.#sorted.length = 0;
    this.bytes = 0n;
    this.peers = 0;
  }

  all(): readonly Mapping[] {
    return this.#sorted;
  }

  #firstEndingAfter(iova: bigint): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const m = this.#sorted[middle] as Mapping;
      if (m.iova + m.size > iova) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
