// Moves a ring's records into a trace. Everything of one batch and the ring's new positions go in one transaction, and
// the ring's space is given back only after it: exactly once, whoever is killed when.

import type Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { requireNative } from './native.ts';
import { Rows, Structure } from './rows.ts';

export const payloadModes = ['full', 'hash', 'none'] as const;
export type PayloadMode = (typeof payloadModes)[number];

/** Events of one transaction: more gain nothing, fewer pay the commit too often. */
const BATCH = 16384;
/** Records let go at once. */
const PASS = 1 << 19;

/** soon: records are held back less for the sake of order. finish: nobody writes any more, so calls that never returned
 * come too. Numbers of native/rings/drain.h. */
const hastes = { none: 0, finish: 1, soon: 2 } as const;

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

/** The call that a dump is about. */
export interface CauseRecord {
  readonly tid: number;
  /** Ring clock; 0: no call. */
  readonly tick: bigint;
  /** With which it failed; 0: the thread's last call before the tick. */
  readonly errno: number;
}

export class Drain {
  readonly #db: Database.Database;
  readonly #batch: Database.Statement;
  readonly #pass: Database.Statement;
  readonly #done: Database.Statement;
  readonly #scarce: Database.Statement;
  readonly #limit: Database.Statement;
  readonly #cause: Database.Statement;
  readonly #forget: Database.Statement;
  readonly #positions: Database.Statement;
  readonly #begin: Database.Statement;
  readonly #commit: Database.Statement;
  readonly #rows: Rows;
  readonly #structure: Structure;
  /** Where events go while a dump is made. */
  #dump: Rows | null = null;
  /** Events that had no room on the disk, and the first reason for it. */
  discarded = 0;
  failure: string | null = null;
  /** A reader has the trace locked: the last batch waits. */
  busy = false;
  /** What was let go waits for its transaction. */
  #unsettled = false;
  /** The same for the dump that is being made. */
  undumped = 0;
  dumpFailure: string | null = null;

  /** `db` has the extension (loadRings) and a trace's tables; what it holds already is gone on from. */
  constructor(db: Database.Database, ring: string, options: DrainOptions) {
    this.#db = db;
    try {
      db.prepare('SELECT ring_open(?, ?, ?)').get(ring, options.payload, options.ahead);
    } catch (error) {
      throw new TraceError('RING', `${ring} ${(error as Error).message}`, { cause: error });
    }
    this.#batch = db.prepare('SELECT ring_batch(?, ?)').pluck();
    this.#pass = db.prepare('SELECT ring_let_go(?, ?, ?)').pluck();
    this.#done = db.prepare('SELECT ring_done()');
    this.#scarce = db.prepare('SELECT ring_scarce()').pluck();
    this.#limit = db.prepare('SELECT ring_limit(?, ?, ?)');
    this.#cause = db.prepare('SELECT ring_cause()').pluck();
    this.#rows = new Rows(db);
    this.#structure = new Structure(db);
    this.#forget = db.prepare('DELETE FROM main.drained');
    this.#positions = db.prepare('INSERT INTO main.drained SELECT * FROM ring_drained');
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
  }

  /** Moves one batch; the number of events in it. */
  step(haste: keyof typeof hastes = 'none'): number {
    if (!this.#settle()) return 0;
    const events = this.#batch.get(BATCH, hastes[haste]) as number;
    if (events > 0) {
      if (this.failure !== null) this.discarded += events;
      else if (!this.#store(events)) return 0;
    }
    this.#done.get();
    return events;
  }

  /** Lets go of calls that returned `age` ns ago, and of the oldest while more than `keep` segments are in use; how many. */
  letGo(age: number, keep: number): number {
    if (!this.#settle()) return 0;
    const calls = this.#pass.get(PASS, BigInt(age), keep) as number;
    this.#unsettled = true;
    return this.#settle(calls > 0) ? calls : 0;
  }

  #settle(store = true): boolean {
    if (!this.#unsettled) return true;
    if (store && this.failure === null && !this.#transact(0, () => this.#structure.move())) return false;
    this.#unsettled = false;
    this.#done.get();
    return true;
  }

  /** From here on events go into the trace attached as `schema`, until they end at the present moment. */
  dumpInto(schema: string, cause: CauseRecord): void {
    this.#dump = new Rows(this.#db, schema);
    this.undumped = 0;
    this.dumpFailure = null;
    this.limit(cause);
  }

  /** Later batches hold no call that returns after this moment. */
  limit(cause: CauseRecord): void {
    this.#limit.get(cause.tid, cause.tick, cause.errno);
  }

  /** The event that is the cause; 0: not moved yet; -1: calls that returned before the limit are still being written. */
  get cause(): number {
    return this.#cause.get() as number;
  }

  /** Ends the dump: the next event is the first of another trace. */
  dumpEnds(): void {
    this.#dump = null;
    this.#db.prepare('SELECT ring_restart()').get();
  }

  /** False: a reader has the file locked; the same batch comes again. */
  #store(events: number): boolean {
    const dump = this.#dump;
    if (dump === null) return this.#transact(events, () => this.#rows.move());
    if (this.dumpFailure === null) {
      const wrong = this.#attempt(() => {
        dump.move();
        this.#structure.move();
      });
      if (wrong === null || wrong.code === 'SQLITE_BUSY') return wrong === null;
      this.dumpFailure = wrong.message;
    }
    this.undumped += events;
    return this.#transact(events, () => this.#structure.move());
  }

  #transact(events: number, move: () => void): boolean {
    const wrong = this.#attempt(move);
    if (wrong === null) return true;
    if (wrong.code === 'SQLITE_BUSY') return false;
    if (!isFull(wrong)) throw wrong;
    this.failure = wrong.message;
    this.discarded += events;
    return true;
  }

  #attempt(move: () => void): { code?: string; message: string } | null {
    try {
      this.#begin.run();
      move();
      this.#forget.run();
      this.#positions.run();
      this.#commit.run();
      this.busy = false;
      return null;
    } catch (error) {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      this.busy = (error as { code?: string }).code === 'SQLITE_BUSY';
      return error as Error;
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

/** Whether the file that was opened is no longer where it was: deleted, renamed, or another put in its place. */
export function isMoved(error: unknown): boolean {
  return (error as { code?: string }).code === 'SQLITE_READONLY_DBMOVED';
}
