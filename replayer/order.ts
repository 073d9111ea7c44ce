// The order in which calls are made again. A trace has them in the order in which they returned; that is the order
// here too, but for calls that wait for what another thread's call brings about: an eventfd read may return before the
// call that raised the interrupt does.

import { constants } from 'node:os';
import type { Op } from '../schema/event.ts';
import type { FdKind } from '../schema/kinds.ts';
import type { TraceEvent } from '../traces/event.ts';

export interface Scheduled {
  readonly event: TraceEvent;
  /** The thread's next call is the same: part of a loop that waits for the device, so its answer may differ. */
  readonly looping: boolean;
  /** A poll after which the process was told of an interrupt soon: here it may come sooner. */
  readonly heeded: boolean;
}

/** Events looked ahead for calls that overlap a wait. Threads that overlap by more are reported, not hidden. */
const WINDOW = 1024;

const waitable: ReadonlySet<FdKind> = new Set(['eventfd', 'pgfault', 'veventq']);
const waitOps: ReadonlySet<Op> = new Set(['read', 'poll']);

/** Whether the call came back because something else happened. */
export function waits(e: TraceEvent): boolean {
  return waitOps.has(e.op) && (e.ret ?? 0) > 0 && (e.op === 'poll' || waitable.has(e.kind));
}

const { EAGAIN } = constants.errno;
const reads: ReadonlySet<Op> = new Set(['pread', 'load']);

/** Whether a call may be one of a loop: it asks the device, or it asked whether there is an interrupt and there was none. */
function mayLoop(e: TraceEvent): boolean {
  if (reads.has(e.op)) return (e.ret ?? -1) >= 0;
  return (e.op === 'poll' && e.ret === 0) || (e.op === 'read' && e.kind === 'eventfd' && e.ret === -EAGAIN);
}
function sameQuestion(a: TraceEvent, b: TraceEvent): boolean {
  return b.op === a.op && b.handle === a.handle && b.region === a.region && b.a === a.a && b.length === a.length;
}

/** Gives every event once. A wait comes after each call that was entered before the wait returned. */
export function* schedule(events: Iterable<TraceEvent>): Generator<Scheduled> {
  const source = events[Symbol.iterator]();
  const ahead: TraceEvent[] = [];
  let start = 0; // ahead[start..] is still to come
  const early = new Set<number>();
  const fill = (): void => {
    if (start > WINDOW) {
      ahead.splice(0, start);
      start = 0;
    }
    while (ahead.length - start < WINDOW) {
      const next = source.next();
      if (next.done) return;
      ahead.push(next.value);
    }
  };
  const looping = (e: TraceEvent, from: number): boolean => {
    if (!mayLoop(e)) return false;
    for (let i = from; i < ahead.length; i++) {
      const other = ahead[i] as TraceEvent;
      if (other.thread === e.thread) return sameQuestion(e, other);
    }
    return false;
  };
  const heeded = (e: TraceEvent, from: number): boolean => {
    if (e.op !== 'poll') return false;
    for (let i = from; i < ahead.length; i++) {
      const other = ahead[i] as TraceEvent;
      if (other.process === e.process && waits(other)) return true;
    }
    return false;
  };
  for (;;) {
    if (ahead.length - start < WINDOW / 2) fill();
    const event = ahead[start++];
    if (!event) return;
    if (early.delete(event.id)) continue;
    if (waits(event) && event.dur !== null) {
      const end = event.t + event.dur;
      for (let i = start; i < ahead.length; i++) {
        const other = ahead[i] as TraceEvent;
        if (other.dur === null || other.t >= end || other.thread === event.thread || early.has(other.id)) continue;
        if (waits(other)) continue;
        early.add(other.id);
        yield { event: other, looping: looping(other, i + 1), heeded: heeded(other, i + 1) };
      }
    }
    yield { event, looping: looping(event, start), heeded: heeded(event, start) };
  }
}
