// Moves a ring's records into a trace. Everything of one batch and the ring's new positions go in one transaction, and
// the ring's space is given back only after it: exactly once, whoever is killed when.

import type Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { requireNative } from './native.ts';

export const payloadModes = ['full', 'hash', 'none'] as const;
export type PayloadMode = (typeof payloadModes)[number];

/** Events of one transaction: more gain nothing, fewer pay the commit too often. */
const BATCH = 16384;

/** soon: records are held back less for the sake of order. finish: nobody writes any more, so calls that never returned
 * come too. Numbers of native/rings/drain.h. */
const hastes = { none: 0, finish: 1, soon: 2 } as const;

/** In the order of `nonempty` in native/rings/rings.c; the bit after them: some event has bytes in `payload`. */
const batchTables = ['process', 'thread', 'handle', 'region', 'site', 'payload', 'memory', 'made'] as const;

const inserts: Readonly<Record<(typeof batchTables)[number], string>> = {
  process: 'INSERT INTO process SELECT * FROM ring_process',
  thread: 'INSERT INTO thread SELECT * FROM ring_thread',
  handle: 'INSERT INTO handle SELECT * FROM ring_handle',
  region: 'INSERT OR REPLACE INTO region SELECT * FROM ring_region',
  site: 'INSERT INTO site SELECT * FROM ring_site',
  payload: 'INSERT INTO payload SELECT * FROM ring_payload',
  memory: 'INSERT INTO memory SELECT * FROM ring_memory',
  made: 'INSERT INTO made SELECT * FROM ring_made',
};

/** Loads the extension; `db` can then be asked for its clock and open a ring. */
export function loadRings(db: Database.Database): void {
  db.loadExtension(requireNative('rings.so'));
}

export interface DrainOptions {
  readonly payload: PayloadMode;
  /** Segments kept ready for writers; 0: there are none any more. */
  readonly ahead: number;
}

/** What the ring counted besides records. */
export type RingStatus = Readonly<Record<string, number>>;

export class Drain {
  readonly #db: Database.Database;
  readonly #batch: Database.Statement;
  readonly #tables: Database.Statement;
  readonly #done: Database.Statement;
  readonly #scarce: Database.Statement;
  readonly #inserts: readonly Database.Statement[];
  readonly #event: Database.Statement;
  /** For a batch of nothing but region accesses. */
  readonly #access: Database.Statement;
  readonly #forget: Database.Statement;
  readonly #positions: Database.Statement;
  readonly #begin: Database.Statement;
  readonly #commit: Database.Statement;
  /** Events that had no room on the disk, and the first reason for it. */
  discarded = 0;
  failure: string | null = null;

  /** `db` has the extension (loadRings) and a trace's tables; what it holds already is gone on from. */
  constructor(db: Database.Database, ring: string, options: DrainOptions) {
    this.#db = db;
    try {
      db.prepare('SELECT ring_open(?, ?, ?)').get(ring, options.payload, options.ahead);
    } catch (error) {
      throw new TraceError('RING', `${ring} ${(error as Error).message}`, { cause: error });
    }
    this.#batch = db.prepare('SELECT ring_batch(?, ?)').pluck();
    this.#tables = db.prepare('SELECT ring_tables()').pluck();
    this.#done = db.prepare('SELECT ring_done()');
    this.#scarce = db.prepare('SELECT ring_scarce()').pluck();
    this.#inserts = batchTables.map((table) => db.prepare(inserts[table]));
    // The id is the next one anyhow; naming it would make SQLite look for it first.
    const insert = (columns: string): Database.Statement =>
      db.prepare(`INSERT INTO event (${columns}) SELECT ${columns} FROM ring_event`);
    this.#event = insert('site, t, dur, a, ret, val, inp, outp');
    this.#access = insert('site, t, dur, a, ret, val');
    this.#forget = db.prepare('DELETE FROM drained');
    this.#positions = db.prepare('INSERT INTO drained SELECT * FROM ring_drained');
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
  }

  /** Moves one batch; the number of events in it. */
  step(haste: keyof typeof hastes = 'none'): number {
    const events = this.#batch.get(BATCH, hastes[haste]) as number;
    if (events > 0) {
      if (this.failure !== null) this.discarded += events;
      else if (!this.#store(events)) return 0;
    }
    this.#done.get();
    return events;
  }

  /** False: a reader has the file locked; the same batch comes again. */
  #store(events: number): boolean {
    try {
      this.#begin.run();
      const nonempty = this.#tables.get() as number;
      this.#inserts.forEach((insert, bit) => {
        if (nonempty & (1 << bit)) insert.run();
      });
      (nonempty & (1 << batchTables.length) ? this.#event : this.#access).run();
      this.#forget.run();
      this.#positions.run();
      this.#commit.run();
      return true;
    } catch (error) {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      if ((error as { code?: string }).code === 'SQLITE_BUSY') return false;
      if (!isFull(error)) throw error;
      this.failure = (error as Error).message;
      this.discarded += events;
      return true;
    }
  }

  /** Whether writers soon find no segment: do not rest then. */
  get scarce(): boolean {
    return this.#scarce.get() === 1;
  }

  status(): RingStatus {
    const rows = this.#db.prepare('SELECT name, value FROM ring_status').raw().all() as [string, number][];
    return Object.fromEntries(rows);
  }

  close(): void {
    this.#db.prepare('SELECT ring_close()').get();
  }
}

/** Whether the file could not grow: the program must go on all the same. */
function isFull(error: unknown): boolean {
  const code = (error as { code?: string }).code ?? '';
  return code === 'SQLITE_FULL' || code.startsWith('SQLITE_IOERR');
}
