// Capability chains behind info structures (vfio_info_cap_add, vfio_info_cap_shift in vfio_main.c).

import { vfio_info_cap_header } from '../../schema/container.ts';
import { Fields, type User } from './user.ts';

export interface Capability {
  readonly id: number;
  readonly version: number;
  /** What follows the header. */
  readonly body: Buffer;
}

const HEADER = vfio_info_cap_header.size;
const aligned = (n: number): number => Math.ceil(n / 8) * 8;

/** Bytes that the chain takes behind the structure. */
export const chainSize = (caps: readonly Capability[]): number =>
  caps.reduce((size, cap) => size + aligned(HEADER + cap.body.length), 0);

/** The chain as it lies at offset `start` of the answer. */
export function chain(caps: readonly Capability[], start: number): Buffer {
  const out = Buffer.alloc(chainSize(caps));
  let at = 0;
  caps.forEach((cap, i) => {
    const size = aligned(HEADER + cap.body.length);
    const header = new Fields(vfio_info_cap_header, out.subarray(at, at + HEADER));
    header.set('id', cap.id).set('version', cap.version);
    header.set('next', i + 1 < caps.length ? start + at + size : 0);
    cap.body.copy(out, at + HEADER);
    at += size;
  });
  return out;
}

/**
 * Answers an info call whose structure ends in a chain: where argsz is too small for it, argsz says what is needed and
 * cap_offset is 0, and the call succeeds all the same. `length`: bytes of the fixed part to write.
 */
export function answer(user: User, info: Fields, length: number, caps: readonly Capability[], capsFlag: number): void {
  const size = info.layout.size;
  if (caps.length > 0) {
    info.set('flags', info.num('flags') | capsFlag);
    if (info.num('argsz') < size + chainSize(caps)) info.set('argsz', size + chainSize(caps)).set('cap_offset', 0);
    else {
      user.at(size).write(chain(caps, size));
      info.set('cap_offset', size);
    }
  }
  user.copyOut(info, length);
}
