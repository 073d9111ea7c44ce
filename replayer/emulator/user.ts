// The caller's argument, read and written field by field through schema layouts: copy_from_user and copy_to_user.

import { fieldOf, type Placed, type Scalar, type Struct } from '../../schema/layout.ts';
import type { CallerMemory } from './caller.ts';
import { fail } from './failed.ts';

const placedByLayout = new WeakMap<Struct, Map<string, Placed>>();
function placed(layout: Struct, name: string): Placed {
  let fields = placedByLayout.get(layout);
  if (!fields) {
    fields = new Map(layout.fields.map((f) => [f.name, f]));
    placedByLayout.set(layout, fields);
  }
  return fields.get(name) ?? fieldOf(layout, name);
}

/** Offset just behind `name` in its structure (the kernel's offsetofend). */
export function endOf(layout: Struct, name: string): number {
  const f = placed(layout, name);
  return f.at + f.size;
}

interface Access {
  readonly get: (bytes: Buffer, at: number) => bigint;
  readonly put: (bytes: Buffer, at: number, value: bigint) => void;
}
const accesses: Readonly<Record<Scalar, Access>> = {
  u8: {
    get: (b, at) => BigInt(b.readUInt8(at)),
    put: (b, at, v) => b.writeUInt8(Number(BigInt.asUintN(8, v)), at),
  },
  u16: {
    get: (b, at) => BigInt(b.readUInt16LE(at)),
    put: (b, at, v) => b.writeUInt16LE(Number(BigInt.asUintN(16, v)), at),
  },
  u32: {
    get: (b, at) => BigInt(b.readUInt32LE(at)),
    put: (b, at, v) => b.writeUInt32LE(Number(BigInt.asUintN(32, v)), at),
  },
  s32: {
    get: (b, at) => BigInt(b.readInt32LE(at)),
    put: (b, at, v) => b.writeInt32LE(Number(BigInt.asIntN(32, v)), at),
  },
  u64: { get: (b, at) => b.readBigUInt64LE(at), put: (b, at, v) => b.writeBigUInt64LE(BigInt.asUintN(64, v), at) },
  s64: { get: (b, at) => b.readBigInt64LE(at), put: (b, at, v) => b.writeBigInt64LE(BigInt.asIntN(64, v), at) },
};

/** A kernel structure in memory of our own. Bytes that were not copied in are zero. */
export class Fields {
  readonly layout: Struct;
  readonly bytes: Buffer;
  constructor(layout: Struct, bytes: Buffer = Buffer.alloc(layout.size)) {
    this.layout = layout;
    this.bytes = bytes;
  }
  /** A field of at most 32 bits. */
  num(name: string): number {
    return Number(this.big(name));
  }
  big(name: string): bigint {
    const f = placed(this.layout, name);
    return accesses[f.type].get(this.bytes, f.at);
  }
  set(name: string, value: number | bigint): this {
    const f = placed(this.layout, name);
    accesses[f.type].put(this.bytes, f.at, BigInt(value));
    return this;
  }
}

/** A pointer into the caller's memory: an ioctl's argument, or what a field of it points at. */
export class User {
  readonly memory: CallerMemory;
  readonly address: bigint;
  constructor(memory: CallerMemory, address: bigint) {
    this.memory = memory;
    this.address = BigInt.asUintN(64, address);
  }
  at(offset: number | bigint): User {
    return new User(this.memory, this.address + BigInt(offset));
  }
  /** `length` bytes; fails with EFAULT. */
  read(length: number): Buffer {
    if (length === 0) return Buffer.alloc(0);
    return this.memory.read(this.address, length) ?? fail('EFAULT');
  }
  write(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.memory.write(this.address, bytes)) fail('EFAULT');
  }
  /** The first `length` bytes of a structure (default: all of its fixed part). */
  copyIn(layout: Struct, length = layout.size): Fields {
    const bytes = Buffer.alloc(layout.size);
    this.read(length).copy(bytes);
    return new Fields(layout, bytes);
  }
  /** The first `length` bytes of a structure back to the caller. */
  copyOut(fields: Fields, length = fields.layout.size): void {
    this.write(fields.bytes.subarray(0, length));
  }
  /** A NUL-terminated string of at most `max` bytes with the NUL; EINVAL when longer (strndup_user). */
  string(max: number): string {
    const bytes: number[] = [];
    while (bytes.length < max) {
      const [byte] = this.at(bytes.length).read(1);
      if (byte === 0) return Buffer.from(bytes).toString('latin1');
      bytes.push(byte as number);
    }
    return fail('EINVAL');
  }
}
