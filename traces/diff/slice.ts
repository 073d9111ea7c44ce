// What led to a difference: the calls before it that last wrote what it read, on both sides.

import type { TraceEvent } from '../event.ts';
import { eventLine } from '../format/line.ts';
import { Names } from '../names.ts';
import { everything } from '../range.ts';
import type { Trace } from '../trace.ts';
import type { Difference } from './differences.ts';

export interface Told {
  readonly id: number;
  readonly text: string;
}
export interface Slice {
  /** Events, oldest first. */
  readonly a: readonly Told[];
  readonly b: readonly Told[];
}

/** Calls looked back through for each side. */
const LOOK_BACK = 500;
const KEPT = 5;

const writes = (e: TraceEvent): boolean => e.op === 'pwrite' || e.op === 'store' || e.op === 'write';
const overlaps = (x: TraceEvent, y: TraceEvent): boolean => {
  if (x.region !== y.region || x.a === null || y.a === null) return false;
  return x.a < y.a + BigInt(y.length ?? 0) && y.a < x.a + BigInt(x.length ?? 0);
};
/** Calls that change what later ones see: all but queries. */
const changes = (e: TraceEvent): boolean =>
  writes(e) || (e.op === 'ioctl' && !/_GET_|CHECK_EXTENSION|GET_INFO/.test(e.call?.name ?? ''));

function before(trace: Trace, id: number | null): TraceEvent[] {
  if (id === null) return [];
  const e = trace.event(id);
  if (!e) return [];
  const range = {
    ...everything,
    last: id - 1,
    tail: LOOK_BACK,
    conditions: [{ sql: 's.handle = ?', params: [e.handle] }],
  };
  const earlier = id > 1 ? [...trace.events(range)] : [];
  const register = e.region !== null ? earlier.filter((x) => writes(x) && overlaps(x, e)) : [];
  const causes = new Set([
    ...register.slice(-KEPT),
    ...earlier.filter((x) => changes(x) && x.region === null).slice(-KEPT),
  ]);
  if (causes.size < KEPT) for (const x of earlier.filter(writes).slice(-KEPT + causes.size)) causes.add(x);
  return [...[...causes].sort((x, y) => x.id - y.id).slice(-2 * KEPT), e];
}

export function sliceOf(d: Difference, a: Trace, b: Trace): Slice {
  const told = (trace: Trace, id: number | null): Told[] => {
    const names = new Names(trace);
    return before(trace, id).map((e) => ({ id: e.id, text: eventLine(e, names) }));
  };
  return { a: told(a, d.a), b: told(b, d.b) };
}
