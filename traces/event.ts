// One recorded call as the readers of a trace see it: a row of `event` with its site, handles and bytes put together.

import type { Call } from '../schema/call.ts';
import type { Op } from '../schema/event.ts';
import type { FdKind } from '../schema/kinds.ts';

export interface Memory {
  /** Offset of the pointer's field in the argument, or one of `wheres`. */
  readonly at: number;
  readonly phase: 'in' | 'out';
  readonly bytes: Buffer | null;
  readonly total: number;
}

export interface TraceEvent {
  /** Rank in the order in which calls returned, from 1. */
  readonly id: number;
  /** Entered, ns since the recording's start. */
  readonly t: number;
  /** ns; null: the call never returned. */
  readonly dur: number | null;
  readonly op: Op;
  readonly process: number;
  readonly thread: number;
  readonly pid: number;
  readonly tid: number;
  readonly fd: number;
  readonly kind: FdKind;
  /** Open file it was made on; 0 unknown. Aliases are resolved: one open file has one number. */
  readonly handle: number;
  /** ioctl only. `call`: undefined when the schema does not know the request. */
  readonly request: number | null;
  readonly call: Call | undefined;
  /** Flags of VFIO_DEVICE_FEATURE. */
  readonly feature: number | null;
  /** Region index of a region access, null when no GET_REGION_INFO told it. */
  readonly region: number | null;
  /** Offset in the region (in the file where region is null), the ioctl's number argument, open's flags. */
  readonly a: bigint | null;
  /** Bytes asked for. */
  readonly length: number | null;
  readonly flags: number;
  /** Result, -errno on failure; null: never returned. */
  readonly ret: number | null;
  /** The bytes of a read or write of at most 8, little-endian, unsigned. */
  readonly val: bigint | null;
  /** The argument before and after: structure, bytes read or written, path. null: none or not kept. */
  readonly input: Buffer | null;
  readonly output: Buffer | null;
  readonly memory: readonly Memory[];
  /** Handle that the call made, 0 none. */
  readonly made: number;
}
