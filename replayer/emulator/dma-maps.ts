// The maps of a type1 IOMMU, in the order of their IOVAs.

import type { Caller, CallerMemory } from './caller.ts';

/** One MAP_DMA (struct vfio_dma). */
export interface Dma {
  readonly iova: bigint;
  readonly size: bigint;
  readonly read: boolean;
  readonly write: boolean;
  readonly caller: Caller;
  memory: CallerMemory;
  vaddr: bigint;
  vaddrInvalid: boolean;
  /** Pages that were pinned and counted against the caller's limit; 0: not pinned. */
  pinned: bigint;
  bitmap: Buffer | null;
}

export class DmaMaps {
  private list: Dma[] = [];

  get all(): readonly Dma[] {
    return this.list;
  }
  add(dma: Dma): void {
    this.list.splice(this.after(dma.iova), 0, dma);
  }
  remove(gone: readonly Dma[]): void {
    const first = gone[0];
    if (!first) return;
    const at = this.after(first.iova);
    // Maps go by ranges, so they lie side by side.
    this.list.splice(at, gone.length);
  }

  /** A map that meets [start, start + size) (vfio_find_dma). */
  find(start: bigint, size: bigint): Dma | undefined {
    const dma = this.list[this.after(start)];
    return dma && start + size > dma.iova ? dma : undefined;
  }
  /** Those that meet [start, start + size). */
  inside(start: bigint, size: bigint): Dma[] {
    const found: Dma[] = [];
    for (let i = this.after(start); i < this.list.length; i++) {
      const dma = this.list[i] as Dma;
      if (dma.iova >= start + size) break;
      found.push(dma);
    }
    return found;
  }

  /** Index of the first map that ends behind `iova`. */
  private after(iova: bigint): number {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const dma = this.list[middle] as Dma;
      if (dma.iova + dma.size > iova) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
