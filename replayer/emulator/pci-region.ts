// Regions of a PCI device, and how one read or write becomes accesses on the bus.

import type { Capability } from './capability.ts';
import type { Mapping } from './region.ts';

export interface Region {
  readonly size: number;
  readonly flags: number;
  readonly caps: readonly Capability[];
}

/** A device-specific region, behind the nine of PCI. */
export interface ExtraRegion extends Region {
  readonly name: string;
  read(at: number, length: number): Buffer;
  write(at: number, bytes: Buffer): number;
  mmap(at: number, length: number): Mapping;
}

/** What the migration state keeps a device from. */
export interface Gate {
  readonly dma: boolean;
  readonly interrupts: boolean;
  /** It is stopped: no register access should come. */
  readonly stopped: boolean;
}
export const openGate: Gate = { dma: false, interrupts: false, stopped: false };

/**
 * The bus accesses of a call, widest first as the alignment allows (vfio_pci_core_do_io_rw). Size 0: the part of
 * [from, to) that is hidden, the MSI-X table, which gives ones and takes nothing.
 */
export function* busAccesses(
  at: number,
  count: number,
  widest: number,
  [from, to]: readonly [number, number],
): Generator<{ readonly offset: number; readonly size: number }> {
  for (let offset = at; offset < at + count; ) {
    const left = at + count - offset;
    const hidden = offset >= from && offset < to;
    const room = offset < from ? Math.min(left, from - offset) : left;
    const size = hidden ? 0 : ([8, 4, 2, 1].find((w) => w <= widest && w <= room && offset % w === 0) ?? 1);
    yield { offset, size };
    offset += hidden ? Math.min(left, to - offset) : size;
  }
}
