// The one door to lz4: block API, no index arguments (a wrong index crashes the process), and a head of our own, for the
// frame API cuts truncated input short without an error:
//
//   raw length u32 | XXH32 of the block u32 | lz4 block
//
// The recorder packs with the same liblz4, without a detour through JavaScript: native/rings/pack.c.

import lz4 from 'lz4';
import { TraceError } from '../schema/errors.ts';
import { PAYLOAD_MAX } from '../schema/event.ts';

const HEAD = 8;
/** Shorter payloads are kept as they are. */
const PACK_MIN = 64;
/** Packed only where it saves a sixteenth: what does not shrink is faster to read as it is. */
const SAVES = 16;
let room = Buffer.alloc(0);

/** The packed bytes, or null where packing does not pay. The result is good until the next call. */
export function pack(raw: Buffer): Buffer | null {
  if (raw.length < PACK_MIN || raw.length > PAYLOAD_MAX) return null;
  const bound = HEAD + lz4.encodeBound(raw.length);
  if (room.length < bound) room = Buffer.allocUnsafeSlow(bound);
  const length = lz4.encodeBlock(raw, room.subarray(HEAD));
  if (length <= 0 || HEAD + length > raw.length - raw.length / SAVES) return null;
  const packed = room.subarray(0, HEAD + length);
  packed.writeUInt32LE(raw.length, 0);
  packed.writeUInt32LE(lz4.utils.blockChecksum(packed.subarray(HEAD)) >>> 0, 4);
  return packed;
}

/** The `rawLength` bytes that were packed into `packed`. */
export function unpack(packed: Buffer, rawLength: number): Buffer {
  if (!(rawLength >= 0 && rawLength <= PAYLOAD_MAX))
    throw new TraceError('CORRUPT', `a payload claims ${rawLength} bytes; no recording keeps that many`);
  if (packed.length <= HEAD || packed.readUInt32LE(0) !== rawLength)
    throw new TraceError('CORRUPT', 'a packed payload has not the length that its row says');
  const block = packed.subarray(HEAD);
  if (lz4.utils.blockChecksum(block) >>> 0 !== packed.readUInt32LE(4))
    throw new TraceError('CORRUPT', 'a packed payload fails its checksum');
  const out = Buffer.alloc(rawLength);
  if (lz4.decodeBlock(block, out) !== rawLength)
    throw new TraceError('CORRUPT', 'a packed payload does not unpack to its length');
  return out;
}
