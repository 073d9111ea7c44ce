// An I/O address space of iommufd. Source: drivers/iommu/iommufd/{io_pagetable,ioas,pages}.c (6.12).

import type { Caller } from './caller.ts';
import type { AddressSpace, Segment } from './dma.ts';
import { fail } from './failed.ts';
import type { Hwpt, Iommufd } from './iommufd.ts';
import { PAGE, type Pages, pin, unpin } from './pages.ts';

const HUGE_PAGE = 1n << 21n;
const U64_MAX = (1n << 64n) - 1n;

interface Area {
  readonly iova: bigint;
  readonly length: bigint;
  readonly pages: Pages;
  /** Where in the pages it starts. */
  readonly start: bigint;
  readonly read: boolean;
  readonly write: boolean;
  filled: boolean;
}

export interface Prot {
  readonly read: boolean;
  readonly write: boolean;
}
/** A piece of another address space, to be mapped here too. */
export interface Piece {
  readonly pages: Pages;
  readonly start: bigint;
  readonly length: bigint;
}

const powerOfTwo = (n: bigint): bigint => {
  let p = 1n;
  while (p < n) p <<= 1n;
  return p;
};
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

export class Ioas implements AddressSpace {
  readonly kind = 'ioas';
  readonly id: number;
  readonly hwpts: Hwpt[] = [];
  /** Holders besides hardware page tables. */
  users = 0;
  hugePages = true;
  private readonly iommufd: Iommufd;
  /** By iova. */
  private areas: Area[] = [];
  private allowed: readonly (readonly [bigint, bigint])[] = [];
  private readonly dirty = new Set<bigint>();

  constructor(id: number, iommufd: Iommufd) {
    this.id = id;
    this.iommufd = iommufd;
  }

  /** An mdev that is attached pins pages, which asks for whole ones as a hardware page table does. */
  get alignment(): bigint {
    return this.hugePages && this.hwpts.length === 0 && this.users === 0 ? 1n : PAGE;
  }

  /** IOVAs that no device here reserves. */
  get ranges(): readonly (readonly [bigint, bigint])[] {
    return this.hwpts.length > 0 ? this.iommufd.host.iommu.apertures : [[0n, U64_MAX]];
  }

  map(caller: Caller, vaddr: bigint, length: bigint, prot: Prot, fixed: bigint | null): bigint {
    if (length === 0n) fail('EINVAL'); // iopt_alloc_pages
    if (vaddr + length > U64_MAX) fail('EOVERFLOW');
    const base = vaddr & ~(PAGE - 1n);
    const pages: Pages = {
      memory: caller.memory,
      caller,
      vaddr: base,
      length: vaddr - base + length,
      writable: prot.write,
      filled: 0,
    };
    return this.mapPieces([{ pages, start: vaddr - base, length }], length, prot, fixed);
  }

  /** iopt_map_pages: where they went. */
  mapPieces(pieces: readonly Piece[], length: bigint, prot: Prot, fixed: bigint | null): bigint {
    if (length & (this.alignment - 1n) || length === 0n) fail('EINVAL');
    const first = pieces[0] as Piece;
    const iova = fixed ?? this.allocate(first.pages.vaddr + first.start, length);
    if (fixed !== null) this.check(iova, length);
    let at = iova;
    const areas: Area[] = [];
    for (const piece of pieces) {
      if (prot.write && !piece.pages.writable) fail('EPERM');
      if ((piece.start % PAGE) & (this.alignment - 1n)) fail('EINVAL');
      areas.push({ iova: at, length: piece.length, pages: piece.pages, start: piece.start, ...prot, filled: false });
      at += piece.length;
    }
    if (this.hwpts.length > 0) for (const area of areas) this.fillArea(area, areas);
    this.areas = [...this.areas, ...areas].sort((a, b) => (a.iova < b.iova ? -1 : 1));
    return iova;
  }

  /** The pieces behind [iova, iova + length), for another address space (IOAS_COPY). */
  pieces(iova: bigint, length: bigint): Piece[] {
    if (length === 0n) fail('EINVAL');
    if (iova + length - 1n > U64_MAX) fail('EOVERFLOW');
    const pieces: Piece[] = [];
    for (let at = iova; at < iova + length; ) {
      const area = this.find(at) ?? fail('ENOENT');
      const take = min(area.iova + area.length, iova + length) - at;
      pieces.push({ pages: area.pages, start: area.start + (at - area.iova), length: take });
      at += take;
    }
    return pieces;
  }

  /** Bytes unmapped; no map may stick out of the range. */
  unmap(iova: bigint, length: bigint): bigint {
    if (length === 0n) fail('EINVAL');
    if (iova + length - 1n > U64_MAX) fail('EOVERFLOW');
    const last = iova + length - 1n;
    const inside = this.areas.filter((a) => a.iova <= last && a.iova + a.length > iova);
    let unmapped = 0n;
    for (const area of inside) {
      // What lies before the map that sticks out is gone by then.
      if (area.iova < iova || area.iova + area.length - 1n > last) fail('ENOENT');
      this.remove(area);
      unmapped += area.length;
    }
    return unmapped;
  }
  unmapAll(): bigint {
    let unmapped = 0n;
    for (const area of [...this.areas]) {
      this.remove(area);
      unmapped += area.length;
    }
    return unmapped;
  }
  release(): void {
    this.unmapAll();
  }

  /** iopt_set_allow_iova: maps must lie in the new ranges, and so must those that are reserved stay out. */
  allow(ranges: readonly (readonly [bigint, bigint])[]): void {
    const usable = this.ranges;
    for (const [first, last] of ranges)
      if (!usable.some(([start, end]) => first >= start && last <= end)) fail('EADDRINUSE');
    this.allowed = ranges;
  }

  /** A hardware page table comes: all maps must fit it and are pinned. */
  fill(): void {
    if (this.hwpts.length > 0) return;
    const usable = this.iommufd.host.iommu.apertures;
    const fits = (a: Area): boolean => usable.some(([start, end]) => a.iova >= start && a.iova + a.length - 1n <= end);
    for (const area of this.areas) if (!fits(area)) fail('EADDRINUSE');
    for (const area of this.areas) if ((area.iova | area.length | area.start) & (PAGE - 1n)) fail('EADDRINUSE');
    for (const area of this.areas) this.fillArea(area, this.areas);
  }
  unfillIfUnused(): void {
    if (this.hwpts.length === 0) for (const area of this.areas) this.unfill(area);
  }

  translate(iova: bigint, write: boolean): Segment | null {
    const area = this.find(iova);
    if (!area || !(write ? area.write : area.read)) return null;
    const offset = iova - area.iova;
    return { memory: area.pages.memory, vaddr: area.pages.vaddr + area.start + offset, length: area.length - offset };
  }
  dirtied(iova: bigint, length: bigint): void {
    if (!this.hwpts.some((h) => h.tracking)) return;
    for (let frame = iova / PAGE; frame <= (iova + length - 1n) / PAGE; frame++) this.dirty.add(frame);
  }
  /** Frames written since tracking began or since they were last taken. */
  takeDirty(iova: bigint, length: bigint, clear: boolean): bigint[] {
    const frames = [...this.dirty].filter((f) => f * PAGE >= iova && f * PAGE < iova + length);
    if (clear) for (const f of frames) this.dirty.delete(f);
    return frames;
  }
  clearDirty(): void {
    this.dirty.clear();
  }

  private find(iova: bigint): Area | undefined {
    return this.areas.find((a) => iova >= a.iova && iova < a.iova + a.length);
  }
  private meets(iova: bigint, last: bigint): boolean {
    return this.areas.some((a) => a.iova <= last && a.iova + a.length > iova);
  }

  private check(iova: bigint, length: bigint): void {
    if (iova & (this.alignment - 1n)) fail('EINVAL');
    const last = iova + length - 1n;
    if (last > U64_MAX) fail('EOVERFLOW');
    if (!this.ranges.some(([start, end]) => iova >= start && last <= end)) fail('EINVAL');
    if (this.meets(iova, last)) fail('EEXIST');
  }

  /** iopt_alloc_iova: the lowest place that is free, aligned as the address is, so that huge pages can be used. */
  private allocate(address: bigint, length: bigint): bigint {
    if (length >= U64_MAX / 2n) fail('EOVERFLOW');
    const whole = powerOfTwo(length);
    const align = min(address === 0n ? whole : min(whole, address & -address), HUGE_PAGE);
    if (align < this.alignment) fail('EINVAL');
    const allowed: Ioas['allowed'] = this.allowed.length > 0 ? this.allowed : [[PAGE, U64_MAX - PAGE]];
    for (const [from, to] of allowed)
      for (const [start, end] of this.ranges) {
        let at = max(from, start);
        at = max(at, PAGE); // never 0
        const top = min(to, end);
        for (;;) {
          at = ((at + align - 1n) & ~(align - 1n)) | (address % PAGE);
          if (at >= top || top - at < length - 1n) break;
          const last = at + length - 1n;
          const area = this.areas.find((a) => a.iova <= last && a.iova + a.length > at);
          if (!area) return at;
          at = area.iova + area.length;
        }
      }
    return fail('ENOSPC');
  }

  private fillArea(area: Area, all: readonly Area[]): void {
    if (area.filled) return;
    const wrong = pin(this.iommufd.host, area.pages);
    if (wrong) {
      for (const other of all) this.unfill(other);
      fail(wrong);
    }
    area.filled = true;
  }
  private unfill(area: Area): void {
    if (area.filled) unpin(this.iommufd.host, area.pages);
    area.filled = false;
  }
  private remove(area: Area): void {
    this.unfill(area);
    this.areas.splice(this.areas.indexOf(area), 1);
  }
}
