// A recording beside the trace that its replay wrote, or two such traces: the same event numbers stand for the same calls,
// and what the replay left out is no difference.

import { ReplayNotes } from '../replay-notes.ts';
import type { Trace } from '../trace.ts';

export class Replayed {
  readonly #notes: readonly ReplayNotes[];

  constructor(a: Trace, b: Trace) {
    const started = a.meta.get('started'); // when the recording was made, ns: a replay's trace keeps it
    const one = started !== undefined && started === b.meta.get('started');
    this.#notes = one ? [a, b].map((t) => ReplayNotes.of(t)) : [];
  }

  /** The mask of a call that one side lacks. */
  notMade(event: number): string | undefined {
    const why = this.#why('skipped', event);
    return why === undefined ? undefined : `not made again by the replay: ${why}`;
  }

  /** The mask of a pair that a replay called the same. */
  excused(a: number, b: number): string | undefined {
    return a === b ? this.#why('excused', a) : undefined;
  }

  #why(kind: 'skipped' | 'excused', event: number): string | undefined {
    for (const notes of this.#notes) {
      const why = notes.why(kind, event);
      if (why !== undefined) return why;
    }
    return undefined;
  }
}
