// poll() made again: only the descriptors that the replay has, until they are as ready as they were.

import { wheres } from '../schema/event.ts';
import type { TraceEvent } from '../traces/event.ts';
import type { Planned, Planning } from './planned.ts';
import type { Part } from './target.ts';

const POLLFD = 8; // {s32 fd, s16 events, s16 revents}
export const REVENTS = 6;

const arrayOf = (e: TraceEvent, phase: 'in' | 'out'): Buffer | null =>
  e.memory.find((m) => m.at === wheres.ARRAY && m.phase === phase)?.bytes ?? null;

/** The recorded pollfds with the readiness they came back with; null when it was not kept. */
export function pollfdsOf(e: TraceEvent): Buffer | null {
  const before = arrayOf(e, 'in');
  const after = arrayOf(e, 'out');
  return after ?? before;
}

export function pollOf(e: TraceEvent, planner: Planning): Planned {
  const recorded = pollfdsOf(e);
  if (!recorded) return { kind: 'skipped', why: 'what it polled was not kept' };
  if ((e.ret ?? -1) < 0) return { kind: 'skipped', why: 'a signal ended it, or its arguments were wrong' };
  const bytes = Buffer.from(recorded);
  const parts: Part[] = [{ kind: 'arg', bytes }];
  for (let at = 0; at + POLLFD <= bytes.length; at += POLLFD) {
    const handle = planner.names.handleOf(e.process, bytes.readInt32LE(at));
    const unheard = planner.names.eventfds.has(handle) && !planner.names.armed.has(handle);
    const slot = handle === 0 || unheard || planner.dead.has(handle) ? undefined : planner.names.slotOf(handle);
    if (slot !== undefined) parts.push({ kind: 'fd', at, slot });
    else {
      bytes.writeInt32LE(-1, at); // poll() passes over it
      bytes.writeInt16LE(0, at + REVENTS);
    }
  }
  if (parts.length === 1) return { kind: 'noted', before: [] };
  const timeout = (e.ret ?? 0) > 0 ? planner.patience : 0;
  return { kind: 'run', before: [], main: planner.own('poll', 0, { timeout, parts }), after: [] };
}
