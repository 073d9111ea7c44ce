// An open file of the emulated kernel: what a descriptor of the caller stands for. Descriptors share it (dup, fork), and
// other open files may hold it; it is released when the last of them lets go.

import type { FdKind } from '../../schema/kinds.ts';
import type { Caller } from './caller.ts';
import { fail } from './failed.ts';
import type { Mapping } from './region.ts';

export interface MmapRequest {
  readonly length: bigint;
  readonly offset: bigint;
  readonly shared: boolean;
}

export abstract class OpenFile {
  abstract readonly kind: FdKind;
  private refs = 1;

  get(): this {
    this.refs++;
    return this;
  }
  put(): void {
    this.refs--;
    if (this.refs === 0) this.release();
  }
  get open(): boolean {
    return this.refs > 0;
  }

  /** Result of the call; failures are thrown (failed.ts). */
  ioctl(_caller: Caller, _request: number, _arg: bigint): number {
    return fail('ENOTTY');
  }
  pread(_caller: Caller, _length: number, _offset: bigint): Buffer {
    return fail('ESPIPE');
  }
  pwrite(_caller: Caller, _bytes: Buffer, _offset: bigint): number {
    return fail('ESPIPE');
  }
  read(_caller: Caller, _length: number): Buffer {
    return fail('EINVAL');
  }
  write(_caller: Caller, _bytes: Buffer): number {
    return fail('EINVAL');
  }
  mmap(_caller: Caller, _request: MmapRequest): Mapping {
    return fail('ENODEV');
  }
  /** Events of `events` that are ready now (poll.h). */
  poll(events: number): number {
    return events & (POLLIN | POLLOUT); // DEFAULT_POLLMASK: a file without a poll method is always ready
  }
  protected release(): void {}
}

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLNVAL = 32;
