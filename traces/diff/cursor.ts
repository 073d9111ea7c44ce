// Events of a trace by their ids, mostly in rising order: near ones are walked to, far ones asked for.

import type { TraceEvent } from '../event.ts';
import { everything } from '../range.ts';
import type { Trace } from '../trace.ts';

/** Apart by at most so many events are near: a query costs about as much as reading these. */
const NEAR = 16;
/** Near ones in a row after which walking begins: it reads a page of events at once. */
const RUN = 8;
/** Passed over by a walk that goes on: most of them are read already. */
const PASSED = 512;

export class Cursor {
  readonly #trace: Trace;
  #walk: Generator<TraceEvent> | undefined;
  #at = 0; // the last event asked for
  #run = 0;

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  event(id: number): TraceEvent | undefined {
    const step = id - this.#at;
    this.#at = id;
    this.#run = step > 0 && step <= NEAR ? this.#run + 1 : 0;
    if (step <= 0 || step > PASSED) this.#walk = undefined;
    if (!this.#walk && this.#run < RUN) return this.#trace.event(id);
    this.#walk ??= this.#trace.events({ ...everything, first: id });
    for (let next = this.#walk.next(); !next.done; next = this.#walk.next())
      if (next.value.id >= id) return next.value.id === id ? next.value : undefined;
    return undefined;
  }
}
