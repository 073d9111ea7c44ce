// The head of a v1 migration region and its device_state. Source: linux 5.10 include/uapi/linux/vfio.h:596-623
// (`_DEPRECATED` since 5.18); NDMA was proposed and never merged (Williamson, RFC of 2021-12-09).

import { bits, counter, hex, reserved, struct, u32, u64 } from './layout.ts';

export const v1StateBits = { RUNNING: 1, SAVING: 2, RESUMING: 4, NDMA: 8 } as const;
/** The low three bits: VFIO_DEVICE_STATE_MASK. */
export const V1_STATE_MASK = 7;
/** RESUMING|SAVING: only a driver says it. */
export const V1_ERROR = 6;

export const vfio_device_migration_info = struct('vfio_device_migration_info', {
  device_state: u32('inout', bits('VFIO_DEVICE_STATE_', v1StateBits)),
  reserved: u32('inout', reserved),
  pending_bytes: u64('out', counter),
  data_offset: u64('out', hex),
  data_size: u64('inout'),
});
