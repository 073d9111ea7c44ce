// What the flight recorder is told: how much to hold, and what to dump it at.

import { errnoNumber } from '../schema/errno.ts';
import { TraceError } from '../schema/errors.ts';
import { SEGMENT_SIZE, triggers } from '../schema/event.ts';
import { segmentsAhead } from './ring.ts';
import { parseBytes } from './size.ts';

/** A window: of time, or of the ring's memory. */
export interface Keep {
  readonly text: string;
  readonly ns: number | null;
  readonly bytes: number | null;
}

/** `60s`, `500ms`, `10m`, `1h`; or a size. */
export function parseKeep(text: string): Keep {
  const time = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)$/.exec(text);
  if (!time) {
    if (!/^\d+[KMG]/i.test(text))
      throw new TraceError('USAGE', `--keep ${text} is neither a time nor a size; write it like 60s, 10m or 256M`);
    return { text, ns: null, bytes: parseBytes(text) };
  }
  const unit = { ms: 1e6, s: 1e9, m: 60e9, min: 60e9, h: 3600e9 }[time[2] ?? ''] ?? 1e9;
  const ns = Number(time[1]) * unit;
  if (ns <= 0 || ns > 365 * 86400e9) throw new TraceError('USAGE', `--keep ${text} is no time that can be kept`);
  return { text, ns, bytes: null };
}

/** What the interposer notices, as the ring's header holds it. */
export interface DumpOn {
  readonly bits: number;
  readonly errnos: readonly number[];
}

const named: Readonly<Record<string, number>> = { error: triggers.ERROR, reset: triggers.RESET };

/** `errno:EIO`, `error`, `reset`; lists with commas, and several of them. */
export function parseDumpOn(texts: readonly string[]): DumpOn {
  let bits = 0;
  const errnos: number[] = [];
  for (const text of texts.flatMap((t) => t.split(',')).filter((t) => t !== '')) {
    const name = /^errno:(\w+)$/.exec(text)?.[1];
    const errno = name && (/^\d+$/.test(name) ? Number(name) : errnoNumber(name.toUpperCase()));
    if (name !== undefined && !errno)
      throw new TraceError('USAGE', `--dump-on ${text}: there is no error ${name}; write it like errno:EIO`);
    if (name === undefined && named[text] === undefined)
      throw new TraceError('USAGE', `--dump-on ${text} is no trigger; there are errno:NAME, error and reset`);
    bits |= errno ? triggers.ERRNO : (named[text] ?? 0);
    if (errno) errnos.push(errno);
  }
  return { bits, errnos };
}

/** The ring of a window: it never has more than `quota` bytes, of which `keep` segments hold the window. */
export interface WindowRing {
  readonly quota: number;
  readonly segmentSize: number;
  readonly ahead: number;
  readonly keep: number;
}

/** Least and most segments that a window is made of: the oldest is let go a segment at a time, a thread has one at least. */
const PARTS = 64;
const SEGMENT_LEAST = 64 << 10;

/** `quota`: as the user named it, or undefined; `standard`: what it is else. */
export function windowRing(keep: Keep, folder: string, quota: number | undefined, standard: number): WindowRing {
  const bytes = keep.bytes;
  if (bytes !== null && bytes < 16 * SEGMENT_LEAST)
    throw new TraceError('USAGE', `--keep ${keep.text} is too little; the least is 1M`);
  // Half as much again for what comes while a dump is made.
  const total = quota ?? (bytes === null ? standard : Math.max(bytes * 1.5, bytes + (16 << 20)));
  let segmentSize = SEGMENT_SIZE;
  while (segmentSize > SEGMENT_LEAST && (bytes ?? total) / segmentSize < PARTS) segmentSize /= 2;
  const ahead = segmentsAhead(folder, total, segmentSize);
  const room = Math.floor(total / segmentSize) - ahead;
  const wanted = bytes === null ? room : Math.floor(bytes / segmentSize);
  if (wanted > room)
    throw new TraceError(
      'USAGE',
      `--keep ${keep.text} does not fit the ring: --quota has to be ${Math.ceil((wanted + ahead) / ((1 << 20) / segmentSize))}M or more`,
    );
  return { quota: total, segmentSize, ahead, keep: wanted };
}
