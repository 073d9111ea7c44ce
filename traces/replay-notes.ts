// What a replay left out, in the trace that it wrote: calls that it did not make again, and those that it judged to be the
// same but for what it does not compare. Kept as context, so that a diff with the recording leaves out the same.

import { EventIds } from './event-ids.ts';
import type { Trace } from './trace.ts';

export const REPLAY_NOTES = 'replay.notes';
type Kind = 'skipped' | 'excused';
type Kept = Record<Kind, Record<string, number[]>>;

export class ReplayNotes {
  readonly #skipped = new Map<string, EventIds>();
  readonly #excused = new Map<string, EventIds>();

  /** Those of a trace; none if no replay wrote it. */
  static of(trace: Trace): ReplayNotes {
    const notes = new ReplayNotes();
    const kept = trace.context(REPLAY_NOTES) as Partial<Kept> | undefined;
    for (const kind of ['skipped', 'excused'] as const)
      for (const [why, pairs] of Object.entries(kept?.[kind] ?? {})) notes.#of(kind).set(why, new EventIds(pairs));
    return notes;
  }

  add(kind: Kind, event: number, why: string): void {
    const by = this.#of(kind);
    const ids = by.get(why) ?? new EventIds();
    by.set(why, ids);
    ids.add(event);
  }

  /** Why an event of a trace that was read was left out; undefined: it was not. */
  why(kind: Kind, event: number): string | undefined {
    for (const [why, ids] of this.#of(kind)) if (ids.has(event)) return why;
    return undefined;
  }

  get kept(): Kept {
    const pairs = (m: ReadonlyMap<string, EventIds>): Record<string, number[]> =>
      Object.fromEntries([...m].map(([why, ids]) => [why, ids.pairs]));
    return { skipped: pairs(this.#skipped), excused: pairs(this.#excused) };
  }

  #of(kind: Kind): Map<string, EventIds> {
    return kind === 'skipped' ? this.#skipped : this.#excused;
  }
}
