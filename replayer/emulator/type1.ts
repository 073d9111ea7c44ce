// The type1 IOMMU of a container: its maps, limits and dirty bitmaps. Source: drivers/vfio/vfio_iommu_type1.c (6.12),
// whose checks come in the same order here.

import { dmaMapFlags, dmaUnmapFlags, extensions } from '../../schema/container.ts';
import { bitmapBytes, setBits, shifted } from './bitmap.ts';
import type { Caller } from './caller.ts';
import type { AddressSpace, Segment } from './dma.ts';
import { type Dma, DmaMaps } from './dma-maps.ts';
import { fail } from './failed.ts';
import type { Host } from './host.ts';
import type { Fields, User } from './user.ts';

export const PAGE = 4096n;
const U64_MAX = (1n << 64n) - 1n;
/** DIRTY_BITMAP_PAGES_MAX, and what a bitmap is given memory for here: 1 TiB of 4 KiB pages. */
const BITMAP_PAGES_MAX = (1n << 31n) - 1n;
const BITMAP_PAGES_HELD = 1n << 28n;
/** dma_entry_limit, a module parameter's default. */
const DMA_ENTRY_LIMIT = 65535;

/** What type1 asks of a group. */
export interface Attachable {
  /** False: an mdev, whose driver pins what it needs; nothing is pinned or counted for it at MAP_DMA. */
  readonly physical: boolean;
}

const wraps = (start: bigint, size: bigint): boolean => start + size - 1n > U64_MAX;

export class Type1 implements AddressSpace {
  readonly v2: boolean;
  private readonly host: Host;
  private readonly groups = new Set<Attachable>();
  private readonly maps = new DmaMaps();
  private avail = DMA_ENTRY_LIMIT;
  private tracking = false;

  constructor(host: Host, type: number) {
    this.host = host;
    this.v2 = type === extensions.TYPE1v2_IOMMU;
  }

  get dmaAvail(): number {
    return this.avail;
  }
  private get physical(): boolean {
    return [...this.groups].some((g) => g.physical);
  }
  get hasEmulated(): boolean {
    return [...this.groups].some((g) => !g.physical);
  }
  /** vfio_update_pgsize_bitmap: everything from the page size up where there is no hardware IOMMU. */
  get pgsizes(): bigint {
    return this.physical ? this.host.iommu.pgsizes : U64_MAX & ~(PAGE - 1n);
  }
  get pgsize(): bigint {
    return this.pgsizes & -this.pgsizes;
  }
  /** Empty without a hardware IOMMU: any IOVA goes. */
  get apertures(): readonly (readonly [bigint, bigint])[] {
    return this.physical ? this.host.iommu.apertures : [];
  }

  attach(group: Attachable): void {
    if (this.maps.all.some((d) => d.vaddrInvalid)) fail('EBUSY');
    if (this.groups.has(group)) fail('EINVAL');
    if (group.physical && !this.physical) {
      for (const dma of this.maps.all)
        if (!this.valid(dma.iova, dma.iova + dma.size - 1n, this.host.iommu.apertures)) fail('EINVAL');
      for (const dma of this.maps.all) this.pin(dma); // vfio_iommu_replay
    }
    this.groups.add(group);
  }

  detach(group: Attachable): void {
    this.groups.delete(group);
    if (this.groups.size === 0) this.release();
    else if (group.physical) {
      if (!this.physical) for (const dma of this.maps.all) this.unpin(dma);
      // The pages it may have written are dirty from here on (vfio_iommu_populate_bitmap_full).
      if (this.tracking) for (const dma of this.maps.all) this.dirtyAll(dma);
    }
  }

  release(): void {
    for (const dma of this.maps.all) this.unpin(dma);
    this.avail += this.maps.all.length;
    this.maps.remove(this.maps.all);
  }

  map(caller: Caller, map: Fields): void {
    const flags = map.num('flags');
    const iova = map.big('iova');
    const vaddr = map.big('vaddr');
    const size = map.big('size');
    const prot = flags & (dmaMapFlags.READ | dmaMapFlags.WRITE);
    const setVaddr = (flags & dmaMapFlags.VADDR) !== 0;
    if (setVaddr === prot > 0) fail('EINVAL');
    if (size === 0n || (size | iova | vaddr) & (this.pgsize - 1n)) fail('EINVAL');
    if (wraps(iova, size) || wraps(vaddr, size)) fail('EINVAL');
    const found = this.maps.find(iova, size);
    if (setVaddr) {
      this.updateVaddr(caller, found ?? fail('ENOENT'), iova, size, vaddr);
      return;
    }
    if (found) fail('EEXIST');
    if (this.avail === 0) fail('ENOSPC');
    if (!this.valid(iova, iova + size - 1n, this.apertures)) fail('EINVAL');
    const dma: Dma = {
      iova,
      size,
      read: (prot & dmaMapFlags.READ) !== 0,
      write: (prot & dmaMapFlags.WRITE) !== 0,
      caller,
      memory: caller.memory,
      vaddr,
      vaddrInvalid: false,
      pinned: 0n,
      bitmap: null,
    };
    if (this.physical) this.pin(dma);
    if (this.tracking) dma.bitmap = this.freshBitmap(dma);
    this.avail--;
    this.maps.add(dma);
  }

  private updateVaddr(caller: Caller, found: Dma, iova: bigint, size: bigint, vaddr: bigint): void {
    if (!found.vaddrInvalid || found.iova !== iova || found.size !== size) fail('EINVAL');
    found.memory = caller.memory;
    found.vaddr = vaddr;
    found.vaddrInvalid = false;
  }

  /** Bytes unmapped. `bitmap`: where the dirty bits of what goes are wanted. */
  unmap(unmap: Fields, bitmap: { readonly user: User; readonly pgsize: bigint } | null): bigint {
    const flags = unmap.num('flags');
    const iova = unmap.big('iova');
    let size = unmap.big('size');
    const all = (flags & dmaUnmapFlags.ALL) !== 0;
    const invalidate = (flags & dmaUnmapFlags.VADDR) !== 0;
    if (invalidate && this.hasEmulated) fail('EBUSY');
    if (iova & (this.pgsize - 1n)) fail('EINVAL');
    if (all) {
      if (iova || size) fail('EINVAL');
      size = U64_MAX;
    } else if (size === 0n || size & (this.pgsize - 1n) || wraps(iova, size)) fail('EINVAL');
    if (bitmap && (!this.tracking || bitmap.pgsize !== this.pgsize)) fail('EINVAL');
    if (this.v2 && !all) this.refuseBisection(iova, size);
    const inside = this.maps.inside(iova, size);
    // Version 1 gives up, with success, at a map that begins before the range.
    const gone = this.v2 || !inside[0] || inside[0].iova >= iova ? inside : [];
    if (invalidate) {
      if (gone.some((d) => d.vaddrInvalid)) fail('EINVAL');
      for (const dma of gone) dma.vaddrInvalid = true;
    } else {
      if (bitmap) for (const dma of gone) this.report(bitmap.user, dma, iova);
      for (const dma of gone) this.unpin(dma);
      this.maps.remove(gone);
      this.avail += gone.length;
    }
    return gone.reduce((sum, d) => sum + d.size, 0n);
  }

  startTracking(): void {
    if (this.tracking) return;
    for (const dma of this.maps.all) dma.bitmap = this.freshBitmap(dma);
    this.tracking = true;
  }
  stopTracking(): void {
    this.tracking = false;
    for (const dma of this.maps.all) dma.bitmap = null;
  }

  /** GET_BITMAP: the bits of every map in the range go to `user`; what was not pinned is clean afterwards. */
  readDirty(user: User, iova: bigint, size: bigint, pgsize: bigint): void {
    if (pgsize !== this.pgsize) fail('EINVAL');
    if (iova & (this.pgsize - 1n)) fail('EINVAL');
    if (size === 0n || size & (this.pgsize - 1n)) fail('EINVAL');
    if (!this.tracking) fail('EINVAL');
    this.refuseBisection(iova, size);
    for (const dma of this.maps.inside(iova, size)) {
      this.report(user, dma, iova);
      dma.bitmap?.fill(0);
    }
  }

  translate(iova: bigint, write: boolean): Segment | null {
    const dma = this.maps.find(iova, 1n);
    if (!dma || dma.vaddrInvalid || !(write ? dma.write : dma.read)) return null;
    const offset = iova - dma.iova;
    return { memory: dma.memory, vaddr: dma.vaddr + offset, length: dma.size - offset };
  }
  dirtied(iova: bigint, length: bigint): void {
    const dma = this.maps.find(iova, 1n);
    if (!dma?.bitmap) return;
    const first = Number((iova - dma.iova) / this.pgsize);
    setBits(dma.bitmap, first, Number((iova - dma.iova + length - 1n) / this.pgsize) - first + 1);
  }

  /** update_user_bitmap: whole words are copied over; only the bits below the first of this map are kept. */
  private report(user: User, dma: Dma, base: bigint): void {
    if (this.physical && dma.pinned > 0n) this.dirtyAll(dma);
    const bits = Number(dma.size / this.pgsize);
    const offset = (dma.iova - base) / this.pgsize;
    const shift = Number(offset % 64n);
    const place = user.at((offset / 64n) * 8n);
    const words = shifted(dma.bitmap ?? this.freshBitmap(dma), bits, shift);
    if (shift > 0) {
      const low = place.read(8).readBigUInt64LE() & ((1n << BigInt(shift)) - 1n);
      words.writeBigUInt64LE(words.readBigUInt64LE() | low);
    }
    place.write(words);
  }

  private freshBitmap(dma: Dma): Buffer {
    const pages = dma.size / this.pgsize;
    if (pages > BITMAP_PAGES_MAX) fail('EINVAL');
    if (pages > BITMAP_PAGES_HELD) fail('ENOMEM');
    return Buffer.alloc(bitmapBytes(dma.size / this.pgsize) + 8);
  }
  private dirtyAll(dma: Dma): void {
    dma.bitmap ??= this.freshBitmap(dma);
    setBits(dma.bitmap, 0, Number(dma.size / this.pgsize));
  }

  private pin(dma: Dma): void {
    const pages = dma.size / PAGE;
    const { caller } = dma;
    if (!dma.memory.covers(dma.vaddr, dma.size, dma.write)) fail('EFAULT');
    if (caller.memlock !== null && this.host.locked(caller.process) + pages > caller.memlock / PAGE) fail('ENOMEM');
    this.host.lock(caller.process, pages);
    dma.pinned = pages;
  }
  private unpin(dma: Dma): void {
    this.host.lock(dma.caller.process, -dma.pinned);
    dma.pinned = 0n;
  }

  private valid(first: bigint, last: bigint, apertures: Type1['apertures']): boolean {
    return apertures.length === 0 || apertures.some(([start, end]) => first >= start && last <= end);
  }

  private refuseBisection(iova: bigint, size: bigint): void {
    const low = this.maps.find(iova, 1n);
    if (low && low.iova !== iova) fail('EINVAL');
    const high = this.maps.find(iova + size - 1n, 0n);
    if (high && high.iova + high.size !== iova + size) fail('EINVAL');
  }
}
