// Single fields of a recorded structure, by name: what a fold over a million calls reads instead of decoding all of it.

import { fieldOf, type Struct } from '../../schema/layout.ts';

/** Reads a field of at most 32 bits; undefined when the bytes were not kept or end before it. */
export function small(layout: Struct, name: string, base = 0): (bytes: Buffer | null) => number | undefined {
  const f = fieldOf(layout, name);
  const at = base + f.at;
  const signed = f.type === 's32';
  return (bytes) => {
    if (!bytes || bytes.length < at + f.size) return undefined;
    if (f.size === 2) return bytes.readUInt16LE(at);
    if (f.size === 1) return bytes.readUInt8(at);
    return signed ? bytes.readInt32LE(at) : bytes.readUInt32LE(at);
  };
}

/** Reads a field of 64 bits. */
export function wide(layout: Struct, name: string, base = 0): (bytes: Buffer | null) => bigint | undefined {
  const at = base + fieldOf(layout, name).at;
  return (bytes) => (bytes && bytes.length >= at + 8 ? bytes.readBigUInt64LE(at) : undefined);
}
