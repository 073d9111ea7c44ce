// Calls on a container, a group or an iommufd: who shares which address space, and what is mapped in it.

import {
  dirtyPagesFlags,
  dmaMapFlags,
  dmaUnmapFlags,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../schema/container.ts';
import { decode } from '../../schema/decode.ts';
import { vfio_device_attach_iommufd_pt, vfio_device_bind_iommufd } from '../../schema/device.ts';
import { iommufdStructs as s } from '../../schema/iommufd.ts';
import { fieldOf, type Struct } from '../../schema/layout.ts';
import type { TraceEvent } from '../event.ts';
import { small, wide } from './fields.ts';
import { after, windowAt } from './fold-device.ts';
import type { Container, Device, Space, World } from './shadow.ts';
import { type Emit, ended, type StepOf } from './step.ts';

/** A device's reach: it may be in one space at a time. */
export function attach(device: Device, space: Space | null): void {
  device.space?.devices.delete(device);
  device.space = space;
  space?.devices.add(device);
}

/** Memory behind the pointer at `at`; where it did not change, after is before. */
function bitmap(event: TraceEvent, at: number, what: string, emit: Emit): void {
  const before = event.memory.find((m) => m.at === at && m.phase === 'in')?.bytes ?? null;
  const changed = event.memory.find((m) => m.at === at && m.phase === 'out');
  emit({ kind: 'bitmap', ...ended(event), what, before, after: changed ? changed.bytes : before });
}
export const bitmapAt = bitmap;

const info = { pgsizes: wide(vfio_iommu_type1_info, 'iova_pgsizes') };
interface InfoAnswer {
  argsz: number;
  flags: number;
  cap_offset?: number;
  IOVA_RANGE?: { iova_ranges?: { start: bigint; end: bigint }[] };
  DMA_AVAIL?: { avail: number };
}
function iommuInfo(event: TraceEvent, c: Container): void {
  const bytes = after(event);
  if (!ended(event).ok || !bytes) return;
  const answer = decode(vfio_iommu_type1_info, bytes) as unknown as InfoAnswer;
  c.own.pgsizes = info.pgsizes(bytes) ?? null;
  if (answer.IOVA_RANGE) c.own.ranges = answer.IOVA_RANGE.iova_ranges ?? [];
  if (answer.DMA_AVAIL) c.own.available = answer.DMA_AVAIL.avail;
  c.own.short = answer.argsz > (event.input?.readUInt32LE(0) ?? 0) && !answer.IOVA_RANGE;
}

function map(event: TraceEvent, step: StepOf<'dmaMap'>, emit: Emit): void {
  emit(step);
  if (!step.ok || step.mode === 'vaddr' || step.size === 0n) return;
  const { iova, size, vaddr, peer } = step;
  step.space.maps.add({ iova, size, vaddr, peer, process: event.process, event: event.id });
  if (step.space.available !== null) step.space.available--;
}

const dmaMap = {
  flags: small(vfio_iommu_type1_dma_map, 'flags'),
  vaddr: wide(vfio_iommu_type1_dma_map, 'vaddr'),
  iova: wide(vfio_iommu_type1_dma_map, 'iova'),
  size: wide(vfio_iommu_type1_dma_map, 'size'),
};
function type1Map(event: TraceEvent, world: World, container: Container, emit: Emit): void {
  const flags = dmaMap.flags(event.input);
  const iova = dmaMap.iova(event.input);
  const size = dmaMap.size(event.input);
  const vaddr = dmaMap.vaddr(event.input);
  if (flags === undefined || iova === undefined || size === undefined || vaddr === undefined) return;
  const step: StepOf<'dmaMap'> = {
    kind: 'dmaMap',
    ...ended(event),
    ...{ space: container.own, container, iova, size, vaddr },
    readable: (flags & dmaMapFlags.READ) !== 0,
    writable: (flags & dmaMapFlags.WRITE) !== 0,
    mode: flags & dmaMapFlags.VADDR ? 'vaddr' : 'fixed',
    peer: windowAt(world, event.process, vaddr) !== null,
  };
  map(event, step, emit);
}

/** Takes what the kernel says it undid from the shadow: all that lies inside, or as far as the bytes go. */
function unmap(step: StepOf<'dmaUnmap'>, emit: Emit): void {
  emit(step);
  if (!step.ok || step.flags & dmaUnmapFlags.VADDR) return;
  let left = step.undone;
  for (const m of step.hit) {
    if (m.size > left) break;
    step.space.maps.remove(m);
    left -= m.size;
    if (step.space.available !== null) step.space.available++;
  }
}

const dmaUnmap = {
  flags: small(vfio_iommu_type1_dma_unmap, 'flags'),
  iova: wide(vfio_iommu_type1_dma_unmap, 'iova'),
  size: wide(vfio_iommu_type1_dma_unmap, 'size'),
};
const UNMAP_BITMAP = vfio_iommu_type1_dma_unmap.size + fieldOf(vfio_bitmap, 'data').at;
function type1Unmap(event: TraceEvent, container: Container, emit: Emit): void {
  const flags = dmaUnmap.flags(event.input);
  const iova = dmaUnmap.iova(event.input);
  const size = dmaUnmap.size(event.input);
  if (flags === undefined || iova === undefined || size === undefined) return;
  const space = container.own;
  const all = (flags & dmaUnmapFlags.ALL) !== 0;
  const hit = all ? [...space.maps.all()] : space.maps.overlapping(iova, size);
  const undone = dmaUnmap.size(after(event)) ?? size;
  if (flags & dmaUnmapFlags.GET_DIRTY_BITMAP) bitmap(event, UNMAP_BITMAP, space.name, emit);
  unmap({ kind: 'dmaUnmap', ...ended(event), space, container, flags, iova, size, undone, hit }, emit);
}

const dirtyGet = (vfio_iommu_type1_dirty_bitmap.tails[0] as { layout: Struct }).layout;
const base = vfio_iommu_type1_dirty_bitmap.size;
const dirty = {
  flags: small(vfio_iommu_type1_dirty_bitmap, 'flags'),
  size: wide(dirtyGet, 'size', base),
  pgsize: wide(dirtyGet, 'pgsize', base),
  bitmapSize: wide(dirtyGet, 'bitmap_size', base),
};
function dirtyPages(event: TraceEvent, { own: space }: Container, emit: Emit): void {
  const flags = dirty.flags(event.input);
  if (flags === undefined) return;
  const get = (flags & dirtyPagesFlags.GET_BITMAP) !== 0;
  if (get) bitmap(event, base + fieldOf(dirtyGet, 'data').at, space.name, emit);
  const step: StepOf<'dirtyPages'> = {
    kind: 'dirtyPages',
    ...ended(event),
    space,
    flags,
    size: dirty.size(event.input) ?? 0n,
    pgsize: dirty.pgsize(event.input) ?? 0n,
    bitmapSize: dirty.bitmapSize(event.input) ?? 0n,
  };
  emit(step);
  if (step.ok && flags & (dirtyPagesFlags.START | dirtyPagesFlags.STOP))
    space.tracking = (flags & dirtyPagesFlags.START) !== 0;
}

const MAP_FIXED = 1; // IOMMU_IOAS_MAP_FIXED_IOVA
const MAP_WRITEABLE = 2;
const MAP_READABLE = 4;
const ioasMap = {
  flags: small(s.iommu_ioas_map, 'flags'),
  ioas: small(s.iommu_ioas_map, 'ioas_id'),
  va: wide(s.iommu_ioas_map, 'user_va'),
  length: wide(s.iommu_ioas_map, 'length'),
  iova: wide(s.iommu_ioas_map, 'iova'),
};
function iommufdMap(event: TraceEvent, world: World, container: Container, emit: Emit): void {
  const flags = ioasMap.flags(event.input);
  const size = ioasMap.length(event.input);
  const iova = ioasMap.iova(after(event));
  const vaddr = ioasMap.va(event.input);
  const ioas = ioasMap.ioas(event.input);
  if (flags === undefined || size === undefined || iova === undefined || vaddr === undefined || ioas === undefined)
    return;
  const step: StepOf<'dmaMap'> = {
    kind: 'dmaMap',
    ...ended(event),
    ...{ space: container.space(ioas), container, iova, size, vaddr },
    readable: (flags & MAP_READABLE) !== 0,
    writable: (flags & MAP_WRITEABLE) !== 0,
    mode: flags & MAP_FIXED ? 'fixed' : 'any',
    peer: windowAt(world, event.process, vaddr) !== null,
  };
  map(event, step, emit);
}

const ioasUnmap = {
  ioas: small(s.iommu_ioas_unmap, 'ioas_id'),
  iova: wide(s.iommu_ioas_unmap, 'iova'),
  length: wide(s.iommu_ioas_unmap, 'length'),
};
function iommufdUnmap(event: TraceEvent, container: Container, emit: Emit): void {
  const ioas = ioasUnmap.ioas(event.input);
  const iova = ioasUnmap.iova(event.input);
  const length = ioasUnmap.length(event.input);
  if (ioas === undefined || iova === undefined || length === undefined) return;
  const space = container.space(ioas);
  const all = iova === 0n && length === 0xffffffffffffffffn; // linux/iommufd.h, struct iommu_ioas_unmap
  const hit = all ? [...space.maps.all()] : space.maps.overlapping(iova, length);
  const flags = all ? dmaUnmapFlags.ALL : 0;
  const undone = ioasUnmap.length(after(event)) ?? length;
  unmap({ kind: 'dmaUnmap', ...ended(event), space, container, flags, iova, size: length, undone, hit }, emit);
}

const hwpt = {
  pt: small(s.iommu_hwpt_alloc, 'pt_id'),
  made: small(s.iommu_hwpt_alloc, 'out_hwpt_id'),
};
const vfioIoas = { id: small(s.iommu_vfio_ioas, 'ioas_id'), op: small(s.iommu_vfio_ioas, 'op') };
const VFIO_IOAS_CLEAR = 2;

/** A call on a container or an iommufd. */
export function containerCall(event: TraceEvent, world: World, container: Container, emit: Emit): void {
  switch (event.call?.name) {
    case 'VFIO_SET_IOMMU':
      emit({ kind: 'setIommu', ...ended(event), container, iommu: Number(event.a ?? 0n) });
      if (ended(event).ok) container.iommu = Number(event.a ?? 0n);
      break;
    case 'VFIO_IOMMU_GET_INFO':
      iommuInfo(event, container);
      break;
    case 'VFIO_IOMMU_MAP_DMA':
      type1Map(event, world, container, emit);
      break;
    case 'VFIO_IOMMU_UNMAP_DMA':
      type1Unmap(event, container, emit);
      break;
    case 'VFIO_IOMMU_DIRTY_PAGES':
      dirtyPages(event, container, emit);
      break;
    case 'IOMMU_IOAS_MAP':
      iommufdMap(event, world, container, emit);
      break;
    case 'IOMMU_IOAS_UNMAP':
      iommufdUnmap(event, container, emit);
      break;
    case 'IOMMU_HWPT_ALLOC': {
      const pt = hwpt.pt(event.input);
      const made = hwpt.made(after(event));
      if (ended(event).ok && pt !== undefined && made !== undefined) container.tables.set(made, ioasOf(container, pt));
      break;
    }
    case 'IOMMU_HWPT_GET_DIRTY_BITMAP':
      bitmap(event, fieldOf(s.iommu_hwpt_get_dirty_bitmap, 'data').at, `iommufd ${container.handle}`, emit);
      break;
    case 'IOMMU_VFIO_IOAS': {
      const id = vfioIoas.id(after(event));
      if (ended(event).ok && id !== undefined && vfioIoas.op(event.input) !== VFIO_IOAS_CLEAR)
        container.own = container.space(id);
      break;
    }
  }
}

const ioasOf = (container: Container, pt: number): number => container.tables.get(pt) ?? pt;

/** SET_CONTAINER, UNSET_CONTAINER. GET_DEVICE_FD makes a device and is with the descriptors. */
export function groupCall(event: TraceEvent, world: World, emit: Emit): void {
  const group = world.groups.get(event.handle);
  if (!group) return;
  const end = ended(event);
  if (event.call?.name === 'VFIO_GROUP_SET_CONTAINER') {
    const fd = event.input && event.input.length >= 4 ? event.input.readInt32LE(0) : -1;
    const handle = world.handleOf(event.process, fd);
    const container = world.containers.get(handle) ?? null;
    emit({ kind: 'setContainer', ...end, group, container });
    if (end.ok && container) {
      group.container = container;
      container.groups.add(group);
    }
  } else if (event.call?.name === 'VFIO_GROUP_UNSET_CONTAINER' && end.ok) {
    group.container?.groups.delete(group);
    group.container = null;
  }
}

const bindFd = small(vfio_device_bind_iommufd, 'iommufd');
const attachPt = small(vfio_device_attach_iommufd_pt, 'pt_id');
/** BIND, ATTACH and DETACH of a device that was opened by /dev/vfio/devices. */
export function bindCall(event: TraceEvent, world: World, device: Device, emit: Emit): void {
  const end = ended(event);
  if (event.call?.name === 'VFIO_DEVICE_BIND_IOMMUFD') {
    emit({ kind: 'bind', ...end, device });
    const handle = world.handleOf(event.process, bindFd(event.input) ?? -1);
    if (!end.ok) return;
    device.bound = true;
    if (handle) device.container = world.container(handle, true);
  } else if (!end.ok) return;
  else if (event.call?.name === 'VFIO_DEVICE_ATTACH_IOMMUFD_PT') {
    const pt = attachPt(event.input);
    if (device.container && pt !== undefined) attach(device, device.container.space(ioasOf(device.container, pt)));
  } else attach(device, null);
}
