// /dev/vfio/vfio: a container, its groups and the IOMMU it was given. Source: drivers/vfio/container.c (6.12).

import {
  containerCalls,
  dirtyPagesFlags,
  dmaMapFlags,
  dmaUnmapFlags,
  extensions,
  iommuCaps,
  iommuInfoFlags,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../schema/container.ts';
import { bitmapBytes } from './bitmap.ts';
import type { Caller } from './caller.ts';
import { answer, type Capability } from './capability.ts';
import { fail } from './failed.ts';
import { OpenFile } from './file.ts';
import type { Host } from './host.ts';
import { requestsOf, structOf } from './request.ts';
import { type Attachable, Type1 } from './type1.ts';
import { endOf, User } from './user.ts';

const API_VERSION = 0; // VFIO_API_VERSION
/** VFIO_TYPE1_NESTING_IOMMU: not in the schema, since 7.2 has removed it; 6.12 still takes it. */
const TYPE1_NESTING_IOMMU = 6;
const DIRTY_BITMAP_SIZE_MAX = BigInt(bitmapBytes((1n << 31n) - 1n));
const call = requestsOf(containerCalls);
const getBitmap = structOf(vfio_iommu_type1_dirty_bitmap, 'get');
const mask = (flags: Readonly<Record<string, number>>): number => Object.values(flags).reduce((a, b) => a | b, 0);

export class Container {
  iommu: Type1 | null = null;
  readonly groups: Attachable[] = [];
  private readonly host: Host;
  constructor(host: Host) {
    this.host = host;
  }

  /** VFIO_GROUP_SET_CONTAINER. */
  attach(group: Attachable): void {
    this.iommu?.attach(group);
    this.groups.push(group);
  }
  /** The last group takes the IOMMU with it. */
  detach(group: Attachable): void {
    this.iommu?.detach(group);
    this.groups.splice(this.groups.indexOf(group), 1);
    if (this.groups.length === 0) this.iommu = null;
  }

  setIommu(type: number): void {
    if (this.groups.length === 0 || this.iommu) fail('EINVAL');
    if (checkExtension(null, type, this.host) <= 0) fail('ENODEV');
    if (type === extensions.UNMAP_ALL) fail('EINVAL'); // reported, yet no type to open
    const iommu = new Type1(this.host, type);
    for (const group of this.groups) iommu.attach(group);
    this.iommu = iommu;
  }
}

/** `iommu`: null before SET_IOMMU, when all drivers are asked. */
function checkExtension(iommu: Type1 | null, type: number, host: Host): number {
  switch (type) {
    case extensions.TYPE1_IOMMU:
    case extensions.TYPE1v2_IOMMU:
    case TYPE1_NESTING_IOMMU:
    case extensions.UNMAP_ALL:
      return 1;
    case extensions.UPDATE_VADDR:
      return iommu && !iommu.hasEmulated ? 1 : 0;
    case extensions.DMA_CC_IOMMU:
      return iommu && host.iommu.coherent ? 1 : 0;
    default:
      return 0;
  }
}

export class ContainerFile extends OpenFile {
  readonly kind = 'container';
  readonly container: Container;
  private readonly host: Host;
  constructor(host: Host) {
    super();
    this.host = host;
    this.container = new Container(host);
  }

  override ioctl(caller: Caller, request: number, arg: bigint): number {
    const { container } = this;
    switch (request) {
      case call('VFIO_GET_API_VERSION'):
        return API_VERSION;
      case call('VFIO_CHECK_EXTENSION'):
        return checkExtension(container.iommu, Number(BigInt.asUintN(32, arg)), this.host);
      case call('VFIO_SET_IOMMU'):
        container.setIommu(Number(BigInt.asUintN(32, arg)));
        return 0;
      default:
        if (!container.iommu) return fail('EINVAL');
        return type1Ioctl(container.iommu, caller, request, new User(caller.memory, arg));
    }
  }
}

function type1Ioctl(iommu: Type1, caller: Caller, request: number, user: User): number {
  switch (request) {
    case call('VFIO_IOMMU_GET_INFO'):
      return getInfo(iommu, user);
    case call('VFIO_IOMMU_MAP_DMA'): {
      const map = user.copyIn(vfio_iommu_type1_dma_map);
      if (map.num('argsz') < vfio_iommu_type1_dma_map.size || map.num('flags') & ~mask(dmaMapFlags)) fail('EINVAL');
      iommu.map(caller, map);
      return 0;
    }
    case call('VFIO_IOMMU_UNMAP_DMA'):
      return unmapDma(iommu, user);
    case call('VFIO_IOMMU_DIRTY_PAGES'):
      return dirtyPages(iommu, user);
    default:
      return fail('ENOTTY');
  }
}

function getInfo(iommu: Type1, user: User): number {
  const min = endOf(vfio_iommu_type1_info, 'iova_pgsizes');
  const info = user.copyIn(vfio_iommu_type1_info, min);
  if (info.num('argsz') < min) fail('EINVAL');
  info.set('flags', iommuInfoFlags.PGSIZES).set('iova_pgsizes', iommu.pgsizes);
  const migration = Buffer.alloc(24); // flags u32, pad, pgsize_bitmap u64, max_dirty_bitmap_size u64
  migration.writeBigUInt64LE(iommu.pgsize, 8);
  migration.writeBigUInt64LE(DIRTY_BITMAP_SIZE_MAX, 16);
  const avail = Buffer.alloc(4);
  avail.writeUInt32LE(iommu.dmaAvail);
  const caps: Capability[] = [
    { id: iommuCaps.MIGRATION, version: 1, body: migration },
    { id: iommuCaps.DMA_AVAIL, version: 1, body: avail },
  ];
  if (iommu.apertures.length > 0)
    caps.push({ id: iommuCaps.IOVA_RANGE, version: 1, body: rangesBody(iommu.apertures) });
  answer(user, info, Math.min(info.num('argsz'), vfio_iommu_type1_info.size), caps, iommuInfoFlags.CAPS);
  return 0;
}

/** nr_iovas u32, reserved u32, then {start u64, end u64} each. */
export function rangesBody(ranges: readonly (readonly [bigint, bigint])[]): Buffer {
  const body = Buffer.alloc(8 + 16 * ranges.length);
  body.writeUInt32LE(ranges.length);
  ranges.forEach(([start, end], i) => {
    body.writeBigUInt64LE(start, 8 + 16 * i);
    body.writeBigUInt64LE(end, 16 + 16 * i);
  });
  return body;
}

const zeros = (n: bigint): bigint => BigInt((n & -n).toString(2).length - 1); // __ffs
/** verify_bitmap_size. A page size of 0 is refused here; the kernel's __ffs(0) is undefined. */
function checkBitmap(size: bigint, pgsize: bigint, bytes: bigint): void {
  if (pgsize === 0n) fail('EINVAL');
  const pages = size >> zeros(pgsize);
  if (pages === 0n || bytes === 0n || bytes > DIRTY_BITMAP_SIZE_MAX || bytes < BigInt(bitmapBytes(pages)))
    fail('EINVAL');
}

function unmapDma(iommu: Type1, user: User): number {
  const min = vfio_iommu_type1_dma_unmap.size;
  const unmap = user.copyIn(vfio_iommu_type1_dma_unmap);
  const flags = unmap.num('flags');
  if (unmap.num('argsz') < min || flags & ~mask(dmaUnmapFlags)) fail('EINVAL');
  let bitmap: { user: User; pgsize: bigint } | null = null;
  if (flags & dmaUnmapFlags.GET_DIRTY_BITMAP) {
    if (flags & (dmaUnmapFlags.ALL | dmaUnmapFlags.VADDR)) fail('EINVAL');
    if (unmap.num('argsz') < min + vfio_bitmap.size) fail('EINVAL');
    const wanted = user.at(min).copyIn(vfio_bitmap);
    checkBitmap(unmap.big('size'), wanted.big('pgsize'), wanted.big('size'));
    bitmap = { user: new User(user.memory, wanted.big('data')), pgsize: wanted.big('pgsize') };
  }
  unmap.set('size', iommu.unmap(unmap, bitmap));
  user.copyOut(unmap);
  return 0;
}

function dirtyPages(iommu: Type1, user: User): number {
  if (!iommu.v2) fail('EACCES');
  const min = vfio_iommu_type1_dirty_bitmap.size;
  const dirty = user.copyIn(vfio_iommu_type1_dirty_bitmap);
  const flags = dirty.num('flags');
  if (dirty.num('argsz') < min || flags & ~mask(dirtyPagesFlags)) fail('EINVAL');
  switch (flags) {
    case dirtyPagesFlags.START:
      iommu.startTracking();
      return 0;
    case dirtyPagesFlags.STOP:
      iommu.stopTracking();
      return 0;
    case dirtyPagesFlags.GET_BITMAP: {
      if (dirty.num('argsz') - min < getBitmap.size) fail('EINVAL');
      const range = user.at(min).copyIn(getBitmap);
      const [iova, size, pgsize] = [range.big('iova'), range.big('size'), range.big('pgsize')];
      if (BigInt.asUintN(64, iova + size) < iova) fail('EINVAL');
      checkBitmap(size, pgsize, range.big('bitmap_size'));
      iommu.readDirty(new User(user.memory, range.big('data')), iova, size, pgsize);
      return 0;
    }
    default: // none, or more than one
      return fail('EINVAL');
  }
}
