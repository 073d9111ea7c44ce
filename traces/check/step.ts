// A recorded call as the rules see it: what it does, to what, and how it ended. The shadow is as it was before the call.

import type { TraceEvent } from '../event.ts';
import type { Mapping } from './mappings.ts';
import type { Container, Device, Group, Irq, Region, Session, Space, V1, Window } from './shadow.ts';

interface Base {
  readonly event: TraceEvent;
  /** It returned, and not with an error. */
  readonly ok: boolean;
  /** Errno, 0 none. */
  readonly errno: number;
}
export type V1Field = 'device_state' | 'reserved' | 'pending_bytes' | 'data_offset' | 'data_size' | 'data' | 'odd';

export type Step =
  | (Base & { readonly kind: 'open'; readonly device: Device; readonly fresh: boolean })
  | (Base & { readonly kind: 'close'; readonly device: Device })
  | (Base & { readonly kind: 'reset'; readonly device: Device; readonly hot: boolean })
  /** Any ioctl, before what it is in particular. `what`: the device or space it is about. */
  | (Base & { readonly kind: 'ioctl'; readonly what: string; readonly device: Device | null })
  | (Base & {
      readonly kind: 'access';
      readonly device: Device;
      readonly region: Region | null;
      readonly write: boolean;
      /** load or store through a mapping. */
      readonly mapped: boolean;
      readonly offset: bigint;
      readonly length: number;
    })
  | (Base & {
      readonly kind: 'v1';
      readonly device: Device;
      readonly v1: V1;
      readonly field: V1Field;
      readonly write: boolean;
      readonly offset: bigint;
      readonly length: number;
      readonly value: bigint | null;
    })
  | (Base & { readonly kind: 'regionInfo'; readonly device: Device; readonly region: Region })
  | (Base & {
      readonly kind: 'map';
      readonly device: Device;
      readonly window: Window;
      readonly shared: boolean;
    })
  | (Base & {
      /** The program's memory at [from, to) is gone. */
      readonly kind: 'memoryGone';
      readonly process: number;
      readonly from: bigint;
      readonly to: bigint;
    })
  | (Base & { readonly kind: 'migration'; readonly device: Device; readonly flags: bigint })
  | (Base & { readonly kind: 'set'; readonly device: Device; readonly to: number; readonly dataFd: number | null })
  | (Base & { readonly kind: 'get'; readonly device: Device; readonly state: number; readonly dataFd: number })
  | (Base & {
      readonly kind: 'data';
      readonly session: Session;
      readonly write: boolean;
      readonly count: number;
    })
  | (Base & { readonly kind: 'dataClose'; readonly session: Session })
  | (Base & {
      readonly kind: 'precopyInfo';
      readonly session: Session;
      readonly flagsIn: number;
      readonly flags: number;
      readonly initial: bigint | null;
    })
  | (Base & { readonly kind: 'feature'; readonly device: Device; readonly id: number; readonly op: number })
  | (Base & {
      readonly kind: 'loggingStart';
      readonly device: Device;
      readonly pageSize: bigint;
      readonly count: number;
      readonly ranges: readonly { readonly iova: bigint; readonly length: bigint }[] | null;
    })
  | (Base & { readonly kind: 'loggingStop'; readonly device: Device })
  | (Base & {
      readonly kind: 'loggingReport';
      readonly device: Device;
      readonly iova: bigint;
      readonly length: bigint;
      readonly dirty: boolean | null;
    })
  /** A bitmap that a call was given: before and after. */
  | (Base & {
      readonly kind: 'bitmap';
      readonly what: string;
      readonly before: Buffer | null;
      readonly after: Buffer | null;
    })
  | (Base & {
      readonly kind: 'dmaMap';
      readonly space: Space;
      readonly container: Container;
      readonly iova: bigint;
      readonly size: bigint;
      readonly vaddr: bigint;
      readonly readable: boolean;
      readonly writable: boolean;
      /** Replaces the addresses of mappings (UPDATE_VADDR), or lets iommufd choose the IOVA. */
      readonly mode: 'fixed' | 'vaddr' | 'any';
      readonly peer: boolean;
    })
  | (Base & {
      readonly kind: 'dmaUnmap';
      readonly space: Space;
      readonly container: Container;
      readonly flags: number;
      readonly iova: bigint;
      readonly size: bigint;
      /** Bytes that the kernel says it undid. */
      readonly undone: bigint;
      /** What the shadow has in the range. */
      readonly hit: readonly Mapping[];
    })
  | (Base & {
      readonly kind: 'dirtyPages';
      readonly space: Space;
      readonly flags: number;
      readonly size: bigint;
      readonly pgsize: bigint;
      readonly bitmapSize: bigint;
    })
  | (Base & { readonly kind: 'containerClose'; readonly container: Container })
  | (Base & { readonly kind: 'setContainer'; readonly group: Group; readonly container: Container | null })
  | (Base & { readonly kind: 'setIommu'; readonly container: Container; readonly iommu: number })
  | (Base & { readonly kind: 'getDevice'; readonly group: Group })
  | (Base & { readonly kind: 'bind'; readonly device: Device })
  | (Base & {
      readonly kind: 'irqs';
      readonly device: Device;
      readonly irq: Irq;
      readonly index: number;
      readonly flags: number;
      readonly start: number;
      readonly count: number;
      /** Handles of the eventfds, 0 for -1, -fd where none is known; null: no eventfds. */
      readonly eventfds: readonly number[] | null;
    })
  | (Base & { readonly kind: 'ioeventfd'; readonly device: Device; readonly key: string; readonly on: boolean })
  | (Base & {
      readonly kind: 'hotReset';
      readonly device: Device;
      readonly count: number;
      readonly groups: readonly (Group | null)[];
    })
  | (Base & { readonly kind: 'eventfd'; readonly handle: number; readonly write: boolean })
  | (Base & { readonly kind: 'eventfdClose'; readonly handle: number });

export type StepKind = Step['kind'];
export type StepOf<K extends StepKind> = Extract<Step, { readonly kind: K }>;
/** Hands a step to the rules. */
export type Emit = (step: Step) => void;
export const ended = (event: TraceEvent): Base => ({
  event,
  ok: event.ret !== null && event.ret >= 0,
  errno: event.ret !== null && event.ret < 0 ? -event.ret : 0,
});
