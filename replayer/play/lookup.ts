// Finds the recorded call that answers one of the program's: by turn, or by what it is.

import { recordFlags } from '../../schema/event.ts';
import type { TraceEvent } from '../../traces/event.ts';
import { plain } from '../../traces/trace.ts';
import { errno, fail } from '../emulator/failed.ts';
import { type Call, whyNot } from './asked-event.ts';
import type { Caller } from './machine.ts';
import type { Lane, Queue, Recording } from './recording.ts';

/** Recorded calls of one kind that are compared with a call before giving up. */
const LOOK = 64;

export class Lookup {
  private readonly recording: Recording;
  /** Told of each call that answers. */
  private readonly use: (id: number) => void;
  /** Recorded threads, by the played ones that they stand for. */
  private readonly threads = new Map<string, number>();

  constructor(recording: Recording, use: (id: number) => void) {
    this.recording = recording;
    this.use = use;
  }

  /** The threads of a process stand for none any more. */
  forget(process: number): void {
    for (const thread of this.threads.keys()) if (thread.startsWith(`${process}.`)) this.threads.delete(thread);
  }

  private event(id: number): TraceEvent {
    return this.recording.trace.event(id) ?? fail('EIO');
  }

  /** The next call that the recorded thread made on this file which stands for the caller's, if it is this one. */
  inOrder(lane: Lane, key: string, caller: Caller, call: Call): TraceEvent | undefined {
    const own = this.threads.get(caller.thread);
    const taken = new Set(this.threads.values());
    for (const [thread, queue] of lane.queues) {
      if (own !== undefined ? thread !== own : taken.has(thread)) continue;
      const id = this.nextOf(queue);
      if (id === undefined) continue;
      const e = this.event(id);
      const part = e.flags & recordFlags.VECTORED ? this.element(e, queue, call) : undefined;
      if (!part && queue.keys[queue.next] !== key) continue;
      if (whyNot(call, caller.memory, part ?? e).differences.length > 0) continue;
      if (part && !isLast(part, e, queue.moved)) queue.moved += part.ret ?? 0;
      else {
        queue.moved = 0;
        queue.next++;
      }
      this.threads.set(caller.thread, thread);
      this.use(id);
      return part ?? e;
    }
    return undefined;
  }

  /** A write from a bad address did nothing; played, it may fail before it comes here. */
  private nextOf(queue: Queue): number | undefined {
    for (; queue.next < queue.ids.length; queue.next++) {
      const id = queue.ids[queue.next] as number;
      if (this.recording.used.has(id) && queue.moved === 0) continue;
      const e = /^p?write/.test(queue.keys[queue.next] as string) ? this.event(id) : undefined;
      if (e?.ret === -errno('EFAULT') && (!e.input || e.flags & recordFlags.SHORT)) continue;
      return id;
    }
    return undefined;
  }

  /**
   * A vector call is recorded as one and asked for an element at a time: what the next element of `e` moved, as a call of
   * its own. Undefined: `call` is none.
   */
  private element(e: TraceEvent, queue: Queue, call: Call): TraceEvent | undefined {
    const { moved } = queue;
    const wanted = call.length ?? 0;
    if (e.op !== call.op || moved + wanted > (e.length ?? 0)) return undefined;
    const placed = call.op === 'pread' || call.op === 'pwrite';
    const from = this.recording.fileOffset(e);
    if (placed && (from === null || call.offset !== from + BigInt(moved))) return undefined;
    const ret = e.ret === null || e.ret < 0 ? e.ret : Math.min(wanted, e.ret - moved);
    const slice = (bytes: Buffer | null): Buffer | null => bytes?.subarray(moved, moved + wanted) ?? null;
    const at = e.a === null || !placed ? e.a : e.a + BigInt(moved);
    const input = slice(e.input);
    return {
      ...plain(e),
      ...{ flags: e.flags & ~recordFlags.INLINE, a: at, length: wanted, ret, val: null, input },
      output: slice(e.output)?.subarray(0, Math.max(ret ?? 0, 0)) ?? null,
    };
  }

  /** The first unused recorded call that is the same; after the last, that one again. */
  byKey(lane: Lane, key: string, caller: Caller, call: Call): TraceEvent | undefined {
    const kept = lane.byKey.get(key);
    if (!kept) return undefined;
    while (kept.next < kept.ids.length - 1 && this.recording.used.has(kept.ids[kept.next] as number)) kept.next++;
    // Unused ones from here on, then those before: a poll reads the same register more often than it was recorded.
    const order = [
      ...kept.ids.slice(kept.next, kept.next + LOOK),
      ...kept.ids.slice(0, kept.next).slice(-LOOK).reverse(),
    ];
    let best: { e: TraceEvent; cost: number } | undefined;
    for (const id of order) {
      const e = this.event(id);
      const { differences, masked } = whyNot(call, caller.memory, e);
      // The same buffer sizes weigh more than being unused.
      const cost = 2 * masked.length + (this.recording.used.has(id) ? 1 : 0);
      if (differences.length === 0 && (!best || cost < best.cost)) best = { e, cost };
      if (best && best.cost <= (call.op === 'ioctl' ? 0 : 1)) break;
    }
    if (best) this.use(best.e.id);
    return best?.e;
  }
}

/** No element comes behind `part`: the vector is through, or moved less than it was to. */
function isLast(part: TraceEvent, whole: TraceEvent, moved: number): boolean {
  const got = part.ret ?? -1;
  return got < (part.length ?? 0) || moved + got === (whole.length ?? 0);
}
