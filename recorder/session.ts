// From the first record in the ring to the finished trace: what `record` and `recover` have in common.

import { closeSync, existsSync, openSync, rmSync, writeSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { vrr_ring } from '../schema/event.ts';
import { fieldOf } from '../schema/layout.ts';
import { setMeta } from '../traces/create.ts';
import { Drain, type DrainOptions } from './drain.ts';
import { type Counts, countCalls, describe, type Loss, lossesOf, putCounts } from './finish.ts';
import { writers } from './processes.ts';

/** ms. The ring holds what comes meanwhile; a reader of the growing trace sees events at most this late. */
const REST_MIN = 2;
const REST_MAX = 50;
/** ms of work after which the event loop gets a turn (signals, the program's end). */
const TURN = 50;
/** Kept free in the file, so that a trace whose disk is full can still say so. */
const RESERVE = 256 << 10;
/** Bytes up to which a finished trace is packed anew. */
const SMALL = 8 << 20;

export interface Outcome extends Counts {
  readonly losses: readonly Loss[];
  readonly waits: number;
  readonly waitNs: number;
}

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const now = (): number => performance.now();

export class Session {
  readonly #db: Database.Database;
  readonly #ring: string;
  readonly #drain: Drain;
  #left: number[] = [];

  constructor(db: Database.Database, ring: string, options: DrainOptions) {
    this.#db = db;
    this.#ring = ring;
    this.#drain = new Drain(db, ring, options);
    db.exec(`CREATE TABLE IF NOT EXISTS reserve (bytes);
      INSERT INTO reserve SELECT zeroblob(${RESERVE}) WHERE NOT EXISTS (SELECT 1 FROM reserve)`);
  }

  /** Drains while `running`, and after that while recorded processes are left, unless `stopped`. */
  async follow(running: () => boolean, stopped: () => boolean): Promise<void> {
    let rest = REST_MIN;
    let quiet = 0;
    while (!stopped() || running()) {
      const moved = this.#turn(running());
      if (!running()) {
        // Gone three times in a row: a child may be between exec and its first record.
        quiet = moved > 0 || this.#writers().length > 0 ? 0 : quiet + 1;
        if (quiet >= 3) return;
        rest = quiet ? 10 : rest;
      }
      rest = moved > 1000 || this.#drain.scarce ? REST_MIN : Math.min(REST_MAX, rest * 1.5);
      await sleep(rest);
    }
    this.#left = this.#writers();
  }

  #turn(running: boolean): number {
    const start = now();
    let moved = 0;
    for (let n = -1; n !== 0 && now() - start < TURN; moved += n) n = this.#drain.step(running ? 'none' : 'soon');
    return moved;
  }

  #writers(): number[] {
    return this.#drain.failure === null ? writers(this.#db, this.#ring) : [];
  }

  /** Drains the rest, finishes the trace and removes the ring. `meta`: what the caller knows of the end. */
  finish(meta: Readonly<Record<string, string | number | null>>): Outcome {
    if (this.#left.length > 0) stopWriters(this.#ring);
    while (this.#drain.step('finish') > 0);
    const status = this.#drain.status();
    const { discarded, failure } = this.#drain;
    this.#drain.close();
    const losses = lossesOf(status, discarded, failure);
    if (this.#left.length > 0)
      losses.push({
        what: 'processes',
        count: this.#left.length,
        detail: `still running when the recording was ended: ${this.#left.join(', ')}`,
        kind: 'missed',
      });
    const extra = { ...meta, waits: status.waits ?? 0, wait_ns: status.wait_ns ?? 0, late: status.late ?? 0 };
    const counts = failure === null ? this.#complete(losses, extra) : this.#rescue(losses, extra);
    if (failure === null) shrink(this.#db);
    this.#db.pragma('journal_mode = delete');
    this.#db.close();
    rmSync(this.#ring, { force: true });
    return { ...counts, losses, waits: extra.waits, waitNs: extra.wait_ns };
  }

  #complete(losses: Loss[], meta: Readonly<Record<string, string | number | null>>): Counts {
    this.#db.exec('DROP TABLE IF EXISTS reserve');
    try {
      const counts = describe(this.#db, losses);
      this.#close(meta);
      return counts;
    } catch (error) {
      // The indexes did not fit any more.
      if ((error as { code?: string }).code !== 'SQLITE_FULL') throw error;
      return this.#rescue(losses, meta);
    }
  }

  /** The disk is full: the pages held in reserve take the counts, and nothing else is added. */
  #rescue(losses: readonly Loss[], meta: Readonly<Record<string, string | number | null>>): Counts {
    this.#db.pragma('journal_mode = memory');
    this.#db.exec('DROP TABLE IF EXISTS reserve');
    const sum = (kind: Loss['kind']): number => losses.filter((l) => l.kind === kind).reduce((n, l) => n + l.count, 0);
    const counts = { ...countCalls(this.#db), missed: sum('missed'), lost: sum('lost') };
    putCounts(this.#db, losses, counts);
    this.#close(meta);
    return counts;
  }

  #close(meta: Readonly<Record<string, string | number | null>>): void {
    this.#db.transaction(() => {
      setMeta(this.#db, { ...meta, state: 'finished', ended: String(BigInt(Date.now()) * 1000000n) });
      this.#db.exec("DELETE FROM drained; DELETE FROM meta WHERE key = 'ring'");
    })();
  }
}

/** A small trace need not have the large pages that a fast drain wants: each table takes at least one. */
export function shrink(db: Database.Database): void {
  const pages = Number(db.pragma('page_count', { simple: true }));
  if (pages * Number(db.pragma('page_size', { simple: true })) > SMALL) return;
  db.pragma('page_size = 4096');
  db.exec('VACUUM');
}

/** From here on the interposer passes calls through unrecorded. */
function stopWriters(ring: string): void {
  if (!existsSync(ring)) return;
  const fd = openSync(ring, 'r+');
  try {
    writeSync(fd, Buffer.alloc(4), 0, 4, fieldOf(vrr_ring, 'recording').at);
  } finally {
    closeSync(fd);
  }
}
