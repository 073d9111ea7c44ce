// What a device profile says: plain data, from which a device is built.

import type { Precedence } from '../../schema/states-v1.ts';
import type { RecordedDevice } from './recording.ts';

export interface BarSpec {
  /** Bytes, a power of two. */
  readonly size: number;
  readonly kind: 'mem32' | 'mem64' | 'io';
  /** What answers there: the device's registers, or plain memory that migrates with it. */
  readonly backing: 'registers' | 'ram';
}

export interface MsixSpec {
  readonly vectors: number;
  readonly bar: number;
  readonly table: number;
  readonly pba: number;
}

/** A vendor-specific or other capability whose bytes stand in the configuration space as they are. */
export interface CapabilitySpec {
  readonly id: number;
  /** Behind id and next. */
  readonly body: Buffer;
}

export interface PciSpec {
  readonly vendor: number;
  readonly device: number;
  readonly subsystemVendor: number;
  readonly subsystem: number;
  /** Base class, sub-class, programming interface: 24 bits. */
  readonly classCode: number;
  readonly revision: number;
  /** 0: none, 1: INTA#. */
  readonly interruptPin: number;
  /** By index; null: no such BAR, or the upper half of a 64-bit one. */
  readonly bars: readonly (BarSpec | null)[];
  readonly msiVectors: number;
  readonly msix: MsixSpec | null;
  readonly express: boolean;
  /** VFIO_DEVICE_RESET works. */
  readonly reset: boolean;
  readonly capabilities: readonly CapabilitySpec[];
}

export interface MigrationV2Spec {
  readonly protocol: 'v2';
  /** VFIO_MIGRATION_ flags. */
  readonly flags: number;
  /** What read() says when a PRE_COPY stream has nothing more for now: 0 or ENOMSG (linux/vfio.h: should be ENOMSG). */
  readonly temporaryEnd: '0' | 'ENOMSG';
  /** Pages of its memory that the running device writes by itself each time the stream is looked at. */
  readonly churn: number;
}

export interface MigrationV1Spec {
  readonly protocol: 'v1';
  /** Order of single actions in a write of several bits. */
  readonly precedence: Precedence;
  /** Whether saving and resuming go through one buffer, or incoming data is applied as it comes. */
  readonly buffer: 'shared' | 'separate';
  readonly ndma: 'supported' | 'absent' | 'noop';
  /** Whether passing an invalid value inside a write takes the device to ERROR. */
  readonly intermediate: 'ignored' | 'checked';
  /** How the data section is reached. */
  readonly data: 'trapped' | 'mmapped' | 'sparse';
  /** Bytes of the data section: the longest segment. */
  readonly dataSize: number;
  readonly churn: number;
}

export interface PciProfile {
  readonly driver: 'pci';
  readonly model: 'edu' | 'e1000' | 'none';
  /** False: behaves towards the container as an mdev (nothing is pinned, dirty pages are those that it wrote). */
  readonly physical: boolean;
  readonly pci: PciSpec;
  /** ns until a DMA or a computation of the device is done; 0: at once. */
  readonly latency: number;
  readonly migration: MigrationV1Spec | MigrationV2Spec | null;
  /** It logs the pages it writes. */
  readonly logging: boolean;
}

/** Like the kernel's samples/vfio-mdev/mtty.c. */
export interface SerialProfile {
  readonly driver: 'serial';
  readonly ports: 1 | 2;
}

/** A device as a trace tells of it: it gives its recorded answers again. */
export interface RecordedProfile {
  readonly driver: 'recorded';
  readonly physical: boolean;
  readonly recorded: RecordedDevice;
}

export type Profile = PciProfile | SerialProfile | RecordedProfile;
