// What a device's own memory accesses go through: an address space (a container's or an IOAS's maps) that leads to the
// memory of the process that made the map, and the dirty tracking of both.

import type { CallerMemory } from './caller.ts';

export interface Segment {
  readonly memory: CallerMemory;
  readonly vaddr: bigint;
  /** Bytes from the address asked for to the map's end. */
  readonly length: bigint;
}

export interface AddressSpace {
  /** Where `iova` leads, or null: not mapped, or not for this direction. */
  translate(iova: bigint, write: boolean): Segment | null;
  /** The device wrote `length` bytes there. */
  dirtied(iova: bigint, length: bigint): void;
}

/** Reads or, with `bytes`, writes through `space`; null and false where any byte is out of reach. */
export function dmaRead(space: AddressSpace | null, iova: bigint, length: number): Buffer | null {
  const parts: Buffer[] = [];
  for (let done = 0; done < length; ) {
    const segment = space?.translate(iova + BigInt(done), false);
    if (!segment) return null;
    const take = Number(segment.length < BigInt(length - done) ? segment.length : BigInt(length - done));
    const bytes = segment.memory.read(segment.vaddr, take);
    if (!bytes) return null;
    parts.push(bytes);
    done += take;
  }
  return Buffer.concat(parts);
}

export function dmaWrite(space: AddressSpace | null, iova: bigint, bytes: Buffer): boolean {
  for (let done = 0; done < bytes.length; ) {
    const at = iova + BigInt(done);
    const segment = space?.translate(at, true);
    if (!segment) return false;
    const left = BigInt(bytes.length - done);
    const take = Number(segment.length < left ? segment.length : left);
    if (!segment.memory.write(segment.vaddr, bytes.subarray(done, done + take))) return false;
    space?.dirtied(at, BigInt(take));
    done += take;
  }
  return true;
}

/** Pages written, by page frame of 4 KiB: the log of one device (VFIO_DEVICE_FEATURE_DMA_LOGGING_*). */
export class DmaLog {
  private readonly ranges: readonly { readonly first: bigint; readonly last: bigint }[];
  private readonly frames = new Set<bigint>();
  constructor(ranges: DmaLog['ranges']) {
    this.ranges = ranges;
  }
  dirtied(iova: bigint, length: bigint): void {
    for (let frame = iova >> 12n; frame <= (iova + length - 1n) >> 12n; frame++) {
      const start = frame << 12n;
      if (this.ranges.some((r) => start <= r.last && start + 4095n >= r.first)) this.frames.add(frame);
    }
  }
  /** Frames of [iova, iova + length) in order; they are clean afterwards. */
  take(iova: bigint, length: bigint): bigint[] {
    const taken = [...this.frames]
      .filter((f) => f << 12n >= iova && f << 12n < iova + length)
      .sort((a, b) => (a < b ? -1 : 1));
    for (const f of taken) this.frames.delete(f);
    return taken;
  }
}
