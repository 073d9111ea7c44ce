// Calls on a device descriptor and on a migration data descriptor. Source: linux/vfio.h, drivers/vfio/vfio_main.c,
// drivers/vfio/device_cdev.c, drivers/vfio/pci/vfio_pci_core.c.

import { type Call, none, pointerTo, scalar } from './call.ts';
import {
  argsz,
  bits,
  counter,
  fd,
  hex,
  object,
  pointer,
  reserved,
  type Struct,
  s32,
  struct,
  u8,
  u16,
  u32,
  u64,
} from './layout.ts';

export const deviceFlags = {
  RESET: 1,
  PCI: 2,
  PLATFORM: 4,
  AMBA: 8,
  CCW: 16,
  AP: 32,
  FSL_MC: 64,
  CAPS: 128,
  CDX: 256,
} as const;
export const regionFlags = { READ: 1, WRITE: 2, MMAP: 4, CAPS: 8 } as const;
export const irqFlags = { EVENTFD: 1, MASKABLE: 2, AUTOMASKED: 4, NORESIZE: 8 } as const;
export const irqSetFlags = {
  DATA_NONE: 1,
  DATA_BOOL: 2,
  DATA_EVENTFD: 4,
  ACTION_MASK: 8,
  ACTION_UNMASK: 16,
  ACTION_TRIGGER: 32,
} as const;
export const regionCaps = { SPARSE_MMAP: 1, TYPE: 2, MSIX_MAPPABLE: 3, MIG_NDMA: 6 } as const;
/** Type and subtype of the v1 migration region (linux/vfio.h, `_DEPRECATED` since 5.18). */
export const migrationRegion = { type: 3, subtype: 1 } as const;
/** Region indexes of vfio-pci (linux/vfio.h, enum). */
export const pciRegions = {
  BAR0: 0,
  BAR1: 1,
  BAR2: 2,
  BAR3: 3,
  BAR4: 4,
  BAR5: 5,
  ROM: 6,
  CONFIG: 7,
  VGA: 8,
} as const;
/** Bytes of configuration space in which the host, not the device, has its say (linux/pci_regs.h, type 0 header). */
export const pciConfig = { BARS: 0x10, BARS_END: 0x28, ROM: 0x30, ROM_END: 0x34, INTERRUPT_LINE: 0x3c } as const;
export const pciIrqs = { INTX: 0, MSI: 1, MSIX: 2, ERR: 3, REQ: 4 } as const;

const deviceCapTable: Record<number, Struct> = {
  5: struct('PCI_ATOMIC_COMP', { flags: u32('out', hex), reserved: u32('out', reserved) }),
};
export const vfio_device_info = struct(
  'vfio_device_info',
  {
    argsz: u32('inout', argsz),
    flags: u32('out', bits('VFIO_DEVICE_FLAGS_', deviceFlags)),
    num_regions: u32('out'),
    num_irqs: u32('out'),
    cap_offset: u32('out', { means: 'reserved', hex: true }),
    pad: u32('out', reserved),
  },
  [{ kind: 'caps', first: 'cap_offset', table: deviceCapTable, when: { field: 'flags', mask: 128, equals: 128 } }],
);

const vfio_region_sparse_mmap_area = struct('vfio_region_sparse_mmap_area', {
  offset: u64('out', hex),
  size: u64('out', hex),
});
const regionCapTable: Record<number, Struct> = {
  [regionCaps.SPARSE_MMAP]: struct('SPARSE_MMAP', { nr_areas: u32('out'), reserved: u32('out', reserved) }, [
    { kind: 'array', name: 'areas', of: vfio_region_sparse_mmap_area, count: 'nr_areas' },
  ]),
  [regionCaps.TYPE]: struct('TYPE', { type: u32('out', hex), subtype: u32('out', hex) }),
  [regionCaps.MSIX_MAPPABLE]: struct('MSIX_MAPPABLE', {}),
  [regionCaps.MIG_NDMA]: struct('MIG_NDMA', {}),
};
export const vfio_region_info = struct(
  'vfio_region_info',
  {
    argsz: u32('inout', argsz),
    flags: u32('out', bits('VFIO_REGION_INFO_FLAG_', regionFlags)),
    index: u32('in'),
    cap_offset: u32('out', { means: 'reserved', hex: true }),
    size: u64('out', hex),
    offset: u64('out', hex),
  },
  [{ kind: 'caps', first: 'cap_offset', table: regionCapTable, when: { field: 'flags', mask: 8, equals: 8 } }],
);

export const vfio_irq_info = struct('vfio_irq_info', {
  argsz: u32('in', argsz),
  flags: u32('out', bits('VFIO_IRQ_INFO_', irqFlags)),
  index: u32('in'),
  count: u32('out'),
});

const DATA = 7; // VFIO_IRQ_SET_DATA_TYPE_MASK
export const vfio_irq_set = struct(
  'vfio_irq_set',
  {
    argsz: u32('in', argsz),
    flags: u32('in', bits('VFIO_IRQ_SET_', irqSetFlags)),
    index: u32('in'),
    start: u32('in'),
    count: u32('in'),
  },
  [
    {
      kind: 'array',
      name: 'data',
      of: u8('in'),
      count: 'count',
      when: { field: 'flags', mask: DATA, equals: irqSetFlags.DATA_BOOL },
    },
    {
      kind: 'array',
      name: 'data',
      of: s32('in', fd('eventfd')),
      count: 'count',
      when: { field: 'flags', mask: DATA, equals: irqSetFlags.DATA_EVENTFD },
    },
  ],
);

const vfio_pci_dependent_device = struct('vfio_pci_dependent_device', {
  group_id: u32('out'),
  segment: u16('out', hex),
  bus: u8('out', hex),
  devfn: u8('out', hex),
});
export const vfio_pci_hot_reset_info = struct(
  'vfio_pci_hot_reset_info',
  {
    argsz: u32('in', argsz),
    flags: u32('out', bits('VFIO_PCI_HOT_RESET_FLAG_', { DEV_ID: 1, DEV_ID_OWNED: 2 })),
    count: u32('out'),
  },
  [{ kind: 'array', name: 'devices', of: vfio_pci_dependent_device, count: 'count' }],
);

export const vfio_pci_hot_reset = struct(
  'vfio_pci_hot_reset',
  {
    argsz: u32('in', argsz),
    flags: u32('in', hex),
    count: u32('in'),
  },
  [{ kind: 'array', name: 'group_fds', of: s32('in', fd('group')), count: 'count' }],
);

export const vfio_device_gfx_plane_info = struct('vfio_device_gfx_plane_info', {
  argsz: u32('in', argsz),
  flags: u32('in', bits('VFIO_GFX_PLANE_TYPE_', { PROBE: 1, DMABUF: 2, REGION: 4 })),
  drm_plane_type: u32('in'),
  drm_format: u32('out', hex),
  drm_format_mod: u64('out', hex),
  width: u32('out'),
  height: u32('out'),
  stride: u32('out'),
  size: u32('out'),
  x_pos: u32('out'),
  y_pos: u32('out'),
  x_hot: u32('out'),
  y_hot: u32('out'),
  region_index: u32('out'), // or dmabuf_id: a union
  reserved: u32('out', reserved),
});

export const vfio_device_ioeventfd = struct('vfio_device_ioeventfd', {
  argsz: u32('in', argsz),
  flags: u32('in', bits('VFIO_DEVICE_IOEVENTFD_', { 8: 1, 16: 2, 32: 4, 64: 8 })),
  offset: u64('in', hex),
  data: u64('in', hex),
  fd: s32('in', fd('eventfd')),
  reserved: u32('in', reserved),
});

export const featureOps = { GET: 0x10000, SET: 0x20000, PROBE: 0x40000 } as const;
export const FEATURE_MASK = 0xffff;
export const vfio_device_feature = struct(
  'vfio_device_feature',
  {
    argsz: u32('in', argsz),
    flags: u32('in', bits('VFIO_DEVICE_FEATURE_', featureOps)),
  },
  [{ kind: 'feature' }],
);

export const vfio_device_bind_iommufd = struct('vfio_device_bind_iommufd', {
  argsz: u32('in', argsz),
  flags: u32('in', bits('VFIO_DEVICE_BIND_FLAG_', { TOKEN: 1 })),
  iommufd: s32('in', fd('iommufd')),
  out_devid: u32('out', object('device')),
  token_uuid_ptr: u64('in', {
    ...pointer({ dir: 'in', length: { mul: [16] }, when: { field: 'flags', mask: 1, equals: 1 } }),
    since: '7.2',
  }),
});
const pasid = u32('in', { since: '7.2' });
export const vfio_device_attach_iommufd_pt = struct('vfio_device_attach_iommufd_pt', {
  argsz: u32('in', argsz),
  flags: u32('in', bits('VFIO_DEVICE_ATTACH_', { PASID: 1 })),
  pt_id: u32('inout', object('pt')),
  pasid,
});
export const vfio_device_detach_iommufd_pt = struct('vfio_device_detach_iommufd_pt', {
  argsz: u32('in', argsz),
  flags: u32('in', bits('VFIO_DEVICE_DETACH_', { PASID: 1 })),
  pasid,
});

/** Only in PRE_COPY and PRE_COPY_P2P. Drivers echo the caller's flags without the REINIT opt-in (include/linux/vfio.h). */
export const vfio_precopy_info = struct('vfio_precopy_info', {
  argsz: u32('in', argsz),
  flags: u32('out', { ...bits('VFIO_PRECOPY_INFO_', { REINIT: 1 }), means: 'reserved' }),
  initial_bytes: u64('out', counter),
  dirty_bytes: u64('out', counter),
});

export const deviceCalls: readonly Call[] = [
  { name: 'VFIO_DEVICE_GET_INFO', kind: 'device', nr: 107, arg: pointerTo(vfio_device_info), min: 16, since: '6.1' },
  {
    name: 'VFIO_DEVICE_GET_REGION_INFO',
    kind: 'device',
    nr: 108,
    arg: pointerTo(vfio_region_info),
    min: 32,
    since: '6.1',
  },
  { name: 'VFIO_DEVICE_GET_IRQ_INFO', kind: 'device', nr: 109, arg: pointerTo(vfio_irq_info), min: 16, since: '6.1' },
  { name: 'VFIO_DEVICE_SET_IRQS', kind: 'device', nr: 110, arg: pointerTo(vfio_irq_set), min: 20, since: '6.1' },
  { name: 'VFIO_DEVICE_RESET', kind: 'device', nr: 111, arg: none, min: 0, since: '6.1' },
  {
    name: 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
    kind: 'device',
    nr: 112,
    arg: pointerTo(vfio_pci_hot_reset_info),
    min: 12,
    since: '6.1',
  },
  {
    name: 'VFIO_DEVICE_PCI_HOT_RESET',
    kind: 'device',
    nr: 113,
    arg: pointerTo(vfio_pci_hot_reset),
    min: 12,
    since: '6.1',
  },
  {
    name: 'VFIO_DEVICE_QUERY_GFX_PLANE',
    kind: 'device',
    nr: 114,
    arg: pointerTo(vfio_device_gfx_plane_info),
    min: 60,
    since: '6.1',
  },
  {
    name: 'VFIO_DEVICE_GET_GFX_DMABUF',
    kind: 'device',
    nr: 115,
    arg: scalar(u32('in')),
    min: 4,
    makes: { kind: 'dmabuf', at: 'ret' },
    since: '6.1',
  },
  {
    name: 'VFIO_DEVICE_IOEVENTFD',
    kind: 'device',
    nr: 116,
    arg: pointerTo(vfio_device_ioeventfd),
    min: 28,
    since: '6.1',
  },
  { name: 'VFIO_DEVICE_FEATURE', kind: 'device', nr: 117, arg: pointerTo(vfio_device_feature), min: 8, since: '6.1' },
  {
    name: 'VFIO_DEVICE_BIND_IOMMUFD',
    kind: 'device',
    nr: 118,
    arg: pointerTo(vfio_device_bind_iommufd),
    min: 16,
    since: '6.12',
  },
  {
    name: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    kind: 'device',
    nr: 119,
    arg: pointerTo(vfio_device_attach_iommufd_pt),
    min: 12,
    since: '6.12',
  },
  {
    name: 'VFIO_DEVICE_DETACH_IOMMUFD_PT',
    kind: 'device',
    nr: 120,
    arg: pointerTo(vfio_device_detach_iommufd_pt),
    min: 8,
    since: '6.12',
  },
  {
    name: 'VFIO_MIG_GET_PRECOPY_INFO',
    kind: 'data',
    nr: 121,
    arg: pointerTo(vfio_precopy_info),
    min: 24,
    since: '6.12',
  },
];
