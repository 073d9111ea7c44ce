// Memory of a process that does not exist: ranges that are filled page by page as they are written, buffers that live as
// long as one call, and mapped device regions.

import type { CallerMemory } from './caller.ts';
import type { Mapping } from './region.ts';

const PAGE = 4096;

interface Backing {
  read(at: number, length: number): Buffer;
  write(at: number, bytes: Uint8Array): void;
}

/** Zeroes until written; only written pages take memory. */
class Sparse implements Backing {
  private readonly pages = new Map<number, Buffer>();

  private *spans(at: number, length: number): Generator<{ page: number; from: number; to: number; offset: number }> {
    for (let done = 0; done < length; ) {
      const from = (at + done) % PAGE;
      const take = Math.min(PAGE - from, length - done);
      yield { page: Math.floor((at + done) / PAGE), from, to: from + take, offset: done };
      done += take;
    }
  }
  read(at: number, length: number): Buffer {
    const out = Buffer.alloc(length);
    for (const s of this.spans(at, length)) this.pages.get(s.page)?.copy(out, s.offset, s.from, s.to);
    return out;
  }
  write(at: number, bytes: Uint8Array): void {
    for (const s of this.spans(at, bytes.length)) {
      let page = this.pages.get(s.page);
      if (!page) {
        page = Buffer.alloc(PAGE);
        this.pages.set(s.page, page);
      }
      page.set(bytes.subarray(s.offset, s.offset + s.to - s.from), s.from);
    }
  }
}

class Fixed implements Backing {
  private readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  read(at: number, length: number): Buffer {
    return Buffer.from(this.bytes.subarray(at, at + length));
  }
  write(at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, at);
  }
}

class Mapped implements Backing {
  private readonly mapping: Mapping;
  constructor(mapping: Mapping) {
    this.mapping = mapping;
  }
  read(at: number, length: number): Buffer {
    return this.mapping.load(at, length);
  }
  write(at: number, bytes: Uint8Array): void {
    this.mapping.store(at, Buffer.from(bytes));
  }
}

export interface Range {
  readonly start: bigint;
  readonly length: bigint;
  readonly backing: Backing;
}

/** Ranges that last begin here, those of one call there; between any two is a page that is not. */
const LASTING = 0x10_0000_0000n;
const LOW = 0x1000_0000n;
const PASSING = 0x7f00_0000_0000n;
const above = (r: Range): bigint => ((r.start + r.length + 0xfffn) & ~0xfffn) + 0x1000n;

export class AddressSpaceOfCaller implements CallerMemory {
  private ranges: Range[] = [];
  private passing: Range[] = [];
  private next = LASTING;
  private nextLow = LOW;
  private nextPassing = PASSING;

  /** Zeroed memory; `low`: below 4 GiB. */
  reserve(length: bigint, low: boolean): Range {
    return this.add(length, new Sparse(), low);
  }
  map(mapping: Mapping): Range {
    return this.add(BigInt(mapping.length), new Mapped(mapping), false);
  }
  free(range: Range): void {
    this.ranges = this.ranges.filter((r) => r !== range);
  }

  /** Memory for one call: `bytes`, which the call may change, at the address given back. */
  pass(bytes: Buffer): bigint {
    const range: Range = { start: this.nextPassing, length: BigInt(bytes.length), backing: new Fixed(bytes) };
    this.passing.push(range);
    this.nextPassing = above(range);
    return range.start;
  }
  endCall(): void {
    this.passing = [];
    this.nextPassing = PASSING;
  }

  private add(length: bigint, backing: Backing, low: boolean): Range {
    const range: Range = { start: low ? this.nextLow : this.next, length, backing };
    if (low) this.nextLow = above(range);
    else this.next = above(range);
    this.ranges.push(range);
    return range;
  }

  private find(address: bigint, length: bigint): Range | undefined {
    const inside = (r: Range): boolean => address >= r.start && address + length <= r.start + r.length;
    return address >= PASSING ? this.passing.find(inside) : this.ranges.find(inside);
  }
  read(address: bigint, length: number): Buffer | null {
    const range = this.find(address, BigInt(length));
    return range?.backing.read(Number(address - range.start), length) ?? null;
  }
  write(address: bigint, bytes: Uint8Array): boolean {
    const range = this.find(address, BigInt(bytes.length));
    range?.backing.write(Number(address - range.start), bytes);
    return range !== undefined;
  }
  covers(address: bigint, length: bigint): boolean {
    return this.find(address, length) !== undefined;
  }
}
