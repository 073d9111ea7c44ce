// The side tables' rows of the events that are read together.

import { TraceError } from '../schema/errors.ts';
import { phases } from '../schema/event.ts';
import type { Row } from './entities.ts';
import type { Memory } from './event.ts';
import type { Source } from './row.ts';

/** More rows of a side table than this for one page of events is no recording. */
const SIDE_MAX = 1_000_000;

/** What of the trace a page needs. */
interface Reader {
  readonly path: string;
  payload(id: number): Buffer | null;
  resolve(handle: number): number;
  select(sql: string, ...params: number[]): Row[];
}

export class Page implements Source {
  readonly #trace: Reader;
  readonly #first: number;
  readonly #last: number;
  #memory: Map<number, Memory[]> | undefined;
  #made: Map<number, number> | undefined;

  constructor(trace: Reader, first: number, last: number) {
    this.#trace = trace;
    this.#first = first;
    this.#last = last;
  }

  payload(id: number): Buffer | null {
    return this.#trace.payload(id);
  }

  memory(event: number): readonly Memory[] {
    if (!this.#memory) {
      this.#memory = new Map();
      const rows = this.#side('SELECT event, at, phase, payload, total FROM memory WHERE event BETWEEN ? AND ?');
      for (const r of rows) {
        const list = this.#memory.get(Number(r.event)) ?? [];
        list.push(new PayloadMemory(this.#trace, r));
        this.#memory.set(Number(r.event), list);
      }
    }
    return this.#memory.get(event) ?? [];
  }

  made(event: number): number {
    if (!this.#made) {
      const rows = this.#side('SELECT event, handle FROM made WHERE event BETWEEN ? AND ? ORDER BY rowid DESC');
      this.#made = new Map(rows.map((r) => [Number(r.event), this.#trace.resolve(Number(r.handle))]));
    }
    return this.#made.get(event) ?? 0;
  }

  #side(sql: string): Row[] {
    const rows = this.#trace.select(`${sql} LIMIT ${SIDE_MAX + 1}`, this.#first, this.#last);
    if (rows.length > SIDE_MAX)
      throw new TraceError(
        'CORRUPT',
        `${this.#trace.path}: events ${this.#first} to ${this.#last} have over ${SIDE_MAX} side rows`,
      );
    return rows;
  }
}

class PayloadMemory implements Memory {
  readonly at: number;
  readonly phase: 'in' | 'out';
  readonly total: number;
  readonly #trace: Reader;
  readonly #payload: number | null;

  constructor(trace: Reader, row: Row) {
    this.at = Number(row.at);
    this.phase = row.phase === phases.OUT ? 'out' : 'in';
    this.total = Number(row.total);
    this.#trace = trace;
    this.#payload = typeof row.payload === 'number' ? row.payload : null;
  }

  get bytes(): Buffer | null {
    return this.#payload === null ? null : this.#trace.payload(this.#payload);
  }
}
