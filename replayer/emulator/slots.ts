// Numbered slots of a replay: descriptors, object ids and memory, and the parts of a request that name them.

import type { Part, Slot } from '../target.ts';
import type { AddressSpaceOfCaller, Range } from './address-space.ts';

export type Kept =
  | { readonly kind: 'fd'; readonly fd: number }
  | { readonly kind: 'id'; readonly id: number }
  | { readonly kind: 'memory'; readonly range: Range };

export class Slots {
  private readonly slots = new Map<Slot, Kept>();

  set(slot: Slot, kept: Kept): void {
    this.slots.set(slot, kept);
  }
  delete(slot: Slot): void {
    this.slots.delete(slot);
  }
  fd(slot: Slot): number | undefined {
    const kept = this.slots.get(slot);
    return kept?.kind === 'fd' ? kept.fd : undefined;
  }
  range(slot: Slot): Range | undefined {
    const kept = this.slots.get(slot);
    return kept?.kind === 'memory' ? kept.range : undefined;
  }

  /**
   * Writes the numbers and addresses that `parts` name into the argument, and puts what they point at into `memory` and
   * `buffers`. The errno's name where a slot is empty: then the request is not performed.
   */
  prepare(
    parts: readonly Part[],
    arg: Buffer,
    memory: AddressSpaceOfCaller,
    buffers: Map<number, Buffer>,
  ): string | null {
    for (const part of parts) {
      if (part.kind === 'buffer' || part.kind === 'zeroes') {
        const bytes = part.kind === 'buffer' ? Buffer.from(part.bytes) : Buffer.alloc(part.length);
        buffers.set(part.at, bytes);
        arg.writeBigUInt64LE(memory.pass(bytes), part.at);
      } else if (part.kind === 'fd' && part.at !== 'ret') {
        const fd = this.fd(part.slot);
        if (fd === undefined) return 'EBADF';
        arg.writeInt32LE(fd, part.at);
      } else if (part.kind === 'id' && part.at !== 'ret') {
        const kept = this.slots.get(part.slot);
        if (kept?.kind !== 'id') return 'ENOENT';
        arg.writeUInt32LE(kept.id, part.at);
      } else if (part.kind === 'address') {
        const range = this.range(part.slot);
        if (!range) return 'EFAULT';
        arg.writeBigUInt64LE(BigInt.asUintN(64, range.start + part.delta), part.at);
      }
    }
    return null;
  }

  /** After success: keeps what the call made. */
  keep(parts: readonly Part[], arg: Buffer | null, ret: number): void {
    for (const part of parts) {
      if (part.kind !== 'keepFd' && part.kind !== 'keepId') continue;
      const value = part.at === 'ret' ? ret : (arg?.readInt32LE(part.at) ?? -1);
      if (part.kind === 'keepId') this.set(part.slot, { kind: 'id', id: value >>> 0 });
      else if (value >= 0) this.set(part.slot, { kind: 'fd', fd: value });
    }
  }
}
