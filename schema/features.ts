// The data of VFIO_DEVICE_FEATURE, by feature number. Source: linux/vfio.h, drivers/vfio/vfio_main.c (vfio_ioctl_device_feature).

import type { FdKind } from './kinds.ts';
import {
  bits,
  counter,
  fd,
  hex,
  iova,
  pointer,
  reserved,
  type Struct,
  s32,
  struct,
  u8,
  u32,
  u64,
  values,
} from './layout.ts';

export const migrationFlags = { STOP_COPY: 1, P2P: 2, PRE_COPY: 4 } as const;
/** enum vfio_device_mig_state. */
export const migStates = {
  ERROR: 0,
  STOP: 1,
  RUNNING: 2,
  STOP_COPY: 3,
  RESUMING: 4,
  RUNNING_P2P: 5,
  PRE_COPY: 6,
  PRE_COPY_P2P: 7,
} as const;
export type MigState = keyof typeof migStates;

export interface Feature {
  readonly id: number;
  readonly name: string;
  readonly ops: readonly ('GET' | 'SET')[];
  /** Layout of data[], which begins at byte 8 of struct vfio_device_feature. */
  readonly data?: Struct;
  readonly makes?: { readonly kind: FdKind; readonly at: 'ret' | string };
  readonly since: '6.1' | '6.12' | '7.2';
}

const range = struct('vfio_device_feature_dma_logging_range', { iova: u64('in', iova), length: u64('in', hex) });
const dmaRange = struct('vfio_region_dma_range', { offset: u64('in', hex), length: u64('in', hex) });

export const features: readonly Feature[] = [
  {
    id: 0,
    name: 'PCI_VF_TOKEN',
    ops: ['SET'],
    data: struct('vfio_device_feature_pci_vf_token', { uuid: u8('in', { count: 16, hex: true }) }),
    since: '6.1',
  },
  {
    id: 1,
    name: 'MIGRATION',
    ops: ['GET'],
    data: struct('vfio_device_feature_migration', { flags: u64('out', bits('VFIO_MIGRATION_', migrationFlags)) }),
    since: '6.1',
  },
  {
    id: 2,
    name: 'MIG_DEVICE_STATE',
    ops: ['GET', 'SET'],
    data: struct('vfio_device_feature_mig_state', {
      device_state: u32('inout', values('VFIO_DEVICE_STATE_', migStates)),
      data_fd: s32('out', fd('data')),
    }),
    makes: { kind: 'data', at: 'data_fd' },
    since: '6.1',
  },
  { id: 3, name: 'LOW_POWER_ENTRY', ops: ['SET'], since: '6.1' },
  {
    id: 4,
    name: 'LOW_POWER_ENTRY_WITH_WAKEUP',
    ops: ['SET'],
    data: struct('vfio_device_low_power_entry_with_wakeup', {
      wakeup_eventfd: s32('in', fd('eventfd')),
      reserved: u32('in', reserved),
    }),
    since: '6.1',
  },
  { id: 5, name: 'LOW_POWER_EXIT', ops: ['SET'], since: '6.1' },
  {
    id: 6,
    name: 'DMA_LOGGING_START',
    ops: ['SET'],
    data: struct('vfio_device_feature_dma_logging_control', {
      page_size: u64('inout', hex),
      num_ranges: u32('in'),
      __reserved: u32('in', reserved),
      ranges: u64('in', pointer({ dir: 'in', length: { mul: ['num_ranges', 16] }, of: range })),
    }),
    since: '6.1',
  },
  { id: 7, name: 'DMA_LOGGING_STOP', ops: ['SET'], since: '6.1' },
  {
    id: 8,
    name: 'DMA_LOGGING_REPORT',
    ops: ['GET'],
    data: struct('vfio_device_feature_dma_logging_report', {
      iova: u64('in', iova),
      length: u64('in', hex),
      page_size: u64('in', hex),
      bitmap: u64(
        'in',
        pointer({ dir: 'out', length: { bitmap: { length: 'length', page: 'page_size' } }, of: 'u64', ored: true }),
      ),
    }),
    since: '6.1',
  },
  {
    id: 9,
    name: 'MIG_DATA_SIZE',
    ops: ['GET'],
    data: struct('vfio_device_feature_mig_data_size', { stop_copy_length: u64('out', counter) }),
    since: '6.12',
  },
  {
    id: 10,
    name: 'BUS_MASTER',
    ops: ['SET'],
    data: struct('vfio_device_feature_bus_master', {
      op: u32('in', values('VFIO_DEVICE_FEATURE_', { CLEAR_MASTER: 0, SET_MASTER: 1 })),
    }),
    since: '6.12',
  },
  {
    id: 11,
    name: 'DMA_BUF',
    ops: ['GET'],
    data: struct(
      'vfio_device_feature_dma_buf',
      { region_index: u32('in'), open_flags: u32('in', hex), flags: u32('in', hex), nr_ranges: u32('in') },
      [{ kind: 'array', name: 'dma_ranges', of: dmaRange, count: 'nr_ranges' }],
    ),
    makes: { kind: 'dmabuf', at: 'ret' },
    since: '7.2',
  },
  { id: 12, name: 'MIG_PRECOPY_INFOv2', ops: ['SET'], since: '7.2' },
];
