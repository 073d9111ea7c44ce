// The one door to lz4: block API, no index arguments, the raw length kept by us and checked (a wrong index crashes the
// process, and the frame API cuts truncated input short without an error).

import lz4 from 'lz4';
import { TraceError } from '../schema/errors.ts';
import { PAYLOAD_MAX } from '../schema/event.ts';

/** The `rawLength` bytes that were packed into `block`. */
export function unpack(block: Buffer, rawLength: number): Buffer {
  if (!(rawLength >= 0 && rawLength <= PAYLOAD_MAX))
    throw new TraceError('CORRUPT', `a payload claims ${rawLength} bytes; no recording keeps that many`);
  const out = Buffer.alloc(rawLength);
  if (rawLength === 0) return out;
  if (lz4.decodeBlock(block, out) !== rawLength)
    throw new TraceError('CORRUPT', 'a packed payload does not unpack to its length');
  return out;
}
