// Calls on /dev/vfio/vfio: the container and its type1 IOMMU. Source: linux/vfio.h, drivers/vfio/{container,vfio_iommu_type1}.c.

import { type Call, none, pointerTo, raw, value } from './call.ts';
import {
  address,
  argsz,
  bits,
  counter,
  hex,
  iova,
  pointer,
  reserved,
  type Struct,
  struct,
  u16,
  u32,
  u64,
  values,
} from './layout.ts';

export const extensions = {
  TYPE1_IOMMU: 1,
  SPAPR_TCE_IOMMU: 2,
  TYPE1v2_IOMMU: 3,
  DMA_CC_IOMMU: 4,
  EEH: 5,
  SPAPR_TCE_v2_IOMMU: 7,
  NOIOMMU_IOMMU: 8,
  UNMAP_ALL: 9,
  UPDATE_VADDR: 10,
} as const;
export const dmaMapFlags = { READ: 1, WRITE: 2, VADDR: 4 } as const;
export const dmaUnmapFlags = { GET_DIRTY_BITMAP: 1, ALL: 2, VADDR: 4 } as const;
export const dirtyPagesFlags = { START: 1, STOP: 2, GET_BITMAP: 4 } as const;
export const iommuInfoFlags = { PGSIZES: 1, CAPS: 2 } as const;
export const iommuCaps = { IOVA_RANGE: 1, MIGRATION: 2, DMA_AVAIL: 3 } as const;

/** Start of every capability: its size is 8, `next` counts from the structure's start, 0 ends the chain. */
export const vfio_info_cap_header = struct('vfio_info_cap_header', {
  id: u16('out'),
  version: u16('out'),
  next: u32('out', hex),
});

const vfio_iova_range = struct('vfio_iova_range', { start: u64('out', iova), end: u64('out', iova) });

const iommuCapTable: Record<number, Struct> = {
  [iommuCaps.IOVA_RANGE]: struct('IOVA_RANGE', { nr_iovas: u32('out'), reserved: u32('out', reserved) }, [
    { kind: 'array', name: 'iova_ranges', of: vfio_iova_range, count: 'nr_iovas' },
  ]),
  [iommuCaps.MIGRATION]: struct('MIGRATION', {
    flags: u32('out', hex),
    pgsize_bitmap: u64('out', hex),
    max_dirty_bitmap_size: u64('out'),
  }),
  [iommuCaps.DMA_AVAIL]: struct('DMA_AVAIL', { avail: u32('out', counter) }),
};

export const vfio_iommu_type1_info = struct(
  'vfio_iommu_type1_info',
  {
    argsz: u32('inout', argsz),
    flags: u32('out', bits('VFIO_IOMMU_INFO_', iommuInfoFlags)),
    iova_pgsizes: u64('out', hex),
    cap_offset: u32('out', { means: 'reserved', hex: true }),
    pad: u32('out', reserved),
  },
  [{ kind: 'caps', first: 'cap_offset', table: iommuCapTable, when: { field: 'flags', mask: 2, equals: 2 } }],
);

export const vfio_iommu_type1_dma_map = struct('vfio_iommu_type1_dma_map', {
  argsz: u32('in', argsz),
  flags: u32('in', bits('VFIO_DMA_MAP_FLAG_', dmaMapFlags)),
  vaddr: u64('in', address),
  iova: u64('in', iova),
  size: u64('in', hex),
});

export const vfio_bitmap = struct('vfio_bitmap', {
  pgsize: u64('in', hex),
  size: u64('in'),
  data: u64('in', pointer({ dir: 'out', length: { mul: ['size'] }, ored: true })),
});

export const vfio_iommu_type1_dma_unmap = struct(
  'vfio_iommu_type1_dma_unmap',
  {
    argsz: u32('in', argsz),
    flags: u32('in', bits('VFIO_DMA_UNMAP_FLAG_', { GET_DIRTY_BITMAP: 1, ALL: 2, VADDR: 4 })),
    iova: u64('in', iova),
    size: u64('inout', hex),
  },
  [{ kind: 'struct', name: 'bitmap', layout: vfio_bitmap, when: { field: 'flags', mask: 1, equals: 1 } }],
);

const vfio_iommu_type1_dirty_bitmap_get = struct('vfio_iommu_type1_dirty_bitmap_get', {
  iova: u64('in', iova),
  size: u64('in', hex),
  pgsize: u64('in', hex),
  bitmap_size: u64('in'),
  data: u64('in', pointer({ dir: 'out', length: { mul: ['bitmap_size'] }, ored: true })),
});

export const vfio_iommu_type1_dirty_bitmap = struct(
  'vfio_iommu_type1_dirty_bitmap',
  {
    argsz: u32('in', argsz),
    flags: u32('in', bits('VFIO_IOMMU_DIRTY_PAGES_FLAG_', dirtyPagesFlags)),
  },
  [
    {
      kind: 'struct',
      name: 'get',
      layout: vfio_iommu_type1_dirty_bitmap_get,
      when: { field: 'flags', mask: 4, equals: 4 },
    },
  ],
);

const extension = u32('in', values('VFIO_', extensions));

export const containerCalls: readonly Call[] = [
  { name: 'VFIO_GET_API_VERSION', kind: 'container', nr: 100, arg: none, min: 0, since: '6.1' },
  { name: 'VFIO_CHECK_EXTENSION', kind: 'container', nr: 101, arg: value(extension), min: 0, since: '6.1' },
  { name: 'VFIO_SET_IOMMU', kind: 'container', nr: 102, arg: value(extension), min: 0, since: '6.1' },
  {
    name: 'VFIO_IOMMU_GET_INFO',
    kind: 'container',
    nr: 112,
    arg: pointerTo(vfio_iommu_type1_info),
    min: 16,
    since: '6.1',
  },
  {
    name: 'VFIO_IOMMU_MAP_DMA',
    kind: 'container',
    nr: 113,
    arg: pointerTo(vfio_iommu_type1_dma_map),
    min: 32,
    since: '6.1',
  },
  {
    name: 'VFIO_IOMMU_UNMAP_DMA',
    kind: 'container',
    nr: 114,
    arg: pointerTo(vfio_iommu_type1_dma_unmap),
    min: 24,
    since: '6.1',
  },
  { name: 'VFIO_IOMMU_ENABLE', kind: 'container', nr: 115, arg: none, min: 0, since: '6.1' },
  { name: 'VFIO_IOMMU_DISABLE', kind: 'container', nr: 116, arg: none, min: 0, since: '6.1' },
  {
    name: 'VFIO_IOMMU_DIRTY_PAGES',
    kind: 'container',
    nr: 117,
    arg: pointerTo(vfio_iommu_type1_dirty_bitmap),
    min: 8,
    since: '6.1',
  },
  { name: 'VFIO_IOMMU_SPAPR_TCE_GET_INFO', kind: 'spapr', nr: 112, arg: raw, min: 16, since: '6.1' },
  { name: 'VFIO_IOMMU_SPAPR_REGISTER_MEMORY', kind: 'spapr', nr: 117, arg: raw, min: 24, since: '6.1' },
  { name: 'VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY', kind: 'container', nr: 118, arg: raw, min: 24, since: '6.1' },
  { name: 'VFIO_IOMMU_SPAPR_TCE_CREATE', kind: 'container', nr: 119, arg: raw, min: 40, since: '6.1' },
  { name: 'VFIO_IOMMU_SPAPR_TCE_REMOVE', kind: 'container', nr: 120, arg: raw, min: 16, since: '6.1' },
  { name: 'VFIO_EEH_PE_OP', kind: 'container', nr: 121, arg: raw, min: 12, since: '6.1' },
];
