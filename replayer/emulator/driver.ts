// What a driver below VFIO does for a device (struct vfio_device_ops, vfio_migration_ops, vfio_log_ops).

import type { MigState } from '../../schema/features.ts';
import type { Caller, Eventfd } from './caller.ts';
import type { MmapRequest, OpenFile } from './file.ts';
import type { Mapping } from './region.ts';
import type { User } from './user.ts';

export interface MigrationOps {
  /** VFIO_MIGRATION_ flags. */
  readonly flags: number;
  /** Walks the state machine to `state`; the new data stream, where the last arc opens one. */
  setState(state: number): OpenFile | null;
  getState(): MigState;
  /** Bytes of the stop-copy stream, estimated. */
  dataSize(): bigint;
  /** The caller has opted in to MIG_PRECOPY_INFOv2 (7.2). */
  precopyInfoV2: boolean;
}

export interface Driver {
  /** False: an mdev, which reaches memory only through pinning. */
  readonly physical: boolean;
  readonly migration: MigrationOps | null;
  /** It can log the pages it writes (VFIO_DEVICE_FEATURE_DMA_LOGGING_*). */
  readonly logging: boolean;
  /** Takes a second START and a REPORT without one, as mtty's stubs do; others refuse with EINVAL. */
  readonly laxLogging: boolean;
  /** vfio-pci: whether the user has put the device into low power; undefined: the driver has no such feature. */
  lowPower?: boolean;
  /** First open and last close of the device. */
  open(): void;
  close(): void;
  ioctl(caller: Caller, request: number, user: User): number;
  /** Features that are not the kernel's own, and for a device made from a trace all of them. */
  feature?(caller: Caller, flags: number, user: User): number;
  /** `pos` is the offset in the device file. */
  read(pos: bigint, length: number): Buffer;
  write(pos: bigint, bytes: Buffer): number;
  mmap(request: MmapRequest): Mapping;
  /** For faults and reports: BAR0, CONFIG, MIGRATION or a number. */
  regionName(pos: bigint): string;
  /** An internal error of the device (a fault): its migration state is ERROR until a reset. */
  toError(): void;
  /** Somebody waits for an eventfd in vain: a device made from a trace has its recorded interrupts now. */
  awaited?(eventfd: Eventfd): void;
}
