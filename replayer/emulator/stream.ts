// A migration data stream: the anonymous file that a state change returns. Source: linux/vfio.h; the order of checks is
// that of samples/vfio-mdev/mtty.c (6.12).

import { deviceCalls, vfio_precopy_info } from '../../schema/device.ts';
import type { Caller } from './caller.ts';
import { fail } from './failed.ts';
import { OpenFile } from './file.ts';
import { requestsOf } from './request.ts';
import { endOf, User } from './user.ts';

const call = requestsOf(deviceCalls);

/** What the device does behind a stream. Failures are thrown. */
export interface Source {
  /** The next bytes, at most `length`; empty at an end. */
  read(length: number): Buffer;
  /** Null: not in a pre-copy state. */
  precopyInfo(): { readonly initial: bigint; readonly dirty: bigint; readonly reinit: boolean } | null;
  /** MIG_PRECOPY_INFOv2 was asked for: flags are answered, not echoed. */
  readonly infoV2: boolean;
}
export interface Sink {
  write(bytes: Buffer): number;
}
export type Ends =
  | { readonly kind: 'save'; readonly source: Source }
  | { readonly kind: 'resume'; readonly sink: Sink };

export class DataFile extends OpenFile {
  readonly kind = 'data';
  private readonly ends: Ends;
  /** The session is over: ENODEV. */
  disabled = false;

  constructor(ends: Ends) {
    super();
    this.ends = ends;
  }

  override read(_caller: Caller, length: number): Buffer {
    if (this.ends.kind !== 'save') return fail('EBADF');
    if (this.disabled) fail('ENODEV');
    return this.ends.source.read(length);
  }
  override write(_caller: Caller, bytes: Buffer): number {
    if (this.ends.kind !== 'resume') return fail('EBADF');
    return this.ends.sink.write(bytes);
  }

  override ioctl(caller: Caller, request: number, arg: bigint): number {
    if (this.ends.kind !== 'save' || request !== call('VFIO_MIG_GET_PRECOPY_INFO')) return fail('ENOTTY');
    const user = new User(caller.memory, arg);
    const min = endOf(vfio_precopy_info, 'dirty_bytes');
    const info = user.copyIn(vfio_precopy_info, min);
    if (info.num('argsz') < min) fail('EINVAL');
    const { source } = this.ends;
    const now = source.precopyInfo() ?? fail('EINVAL');
    if (this.disabled) fail('ENODEV');
    if (source.infoV2) info.set('flags', now.reinit ? 1 : 0);
    user.copyOut(info.set('initial_bytes', now.initial).set('dirty_bytes', now.dirty), min);
    return 0;
  }
}
