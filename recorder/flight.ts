// The flight recorder: the ring holds the last calls, older ones are let go, and what it holds is dumped when asked for.

import { existsSync, rmSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type Database from 'better-sqlite3';
import { errnoName } from '../schema/errno.ts';
import { dumpStates, triggers } from '../schema/event.ts';
import type { CauseRecord, Drain, RingStatus } from './drain.ts';
import type { DumpWork } from './dump-worker.ts';
import type { Meta } from './ending.ts';
import { type Counts, type Loss, lossesOf } from './finish.ts';
import type { DumpOn, Keep } from './keep.ts';
import { type RingHeaderFile, ringNumber } from './ring.ts';

export interface FlightOptions {
  readonly keep: Keep;
  /** Segments of the window. */
  readonly segments: number;
  readonly on: DumpOn;
  /** Most dumps that are made. */
  readonly dumps: number;
}

export interface Cause extends CauseRecord {
  /** As the trace has it: `errno EIO`, `migration ERROR`, `reset`, `SIGUSR2`, `ctl`, `signal SIGSEGV`. */
  readonly reason: string;
}
export const asked = (reason: string): Cause => ({ reason, tid: 0, tick: 0n, errno: 0 });

export interface Dump {
  readonly path: string;
  readonly reason: string;
  /** null: it could not be finished. */
  readonly calls: number | null;
}

/** ms of work after which the event loop gets a turn. */
const TURN = 50;
/** Fewer calls than this are not worth another look at once. */
const FEW = 4096;
/** ms that a dump waits for calls that have returned and are still being written. */
const SETTLE = 10;
const PATIENCE = 2000;
const ANY_AGE = 2 ** 62;

const now = (): number => performance.now();
const breathe = (ms = 0): Promise<void> => new Promise((done) => setTimeout(done, ms));

export class Flight {
  #db: Database.Database;
  #drain: Drain;
  readonly #header: RingHeaderFile;
  readonly #path: string;
  readonly #durable: boolean;
  readonly #options: FlightOptions;
  readonly #said: (text: string) => void;
  readonly #working = new Set<Promise<unknown>>();
  #lossBase: RingStatus = {};
  #claimed = 0;
  #number = 0;
  #refused = 0;
  readonly dumps: Dump[] = [];

  constructor(
    db: Database.Database,
    drain: Drain,
    header: RingHeaderFile,
    options: FlightOptions & { path: string; durable: boolean; said: (text: string) => void },
  ) {
    this.#db = db;
    this.#drain = drain;
    this.#header = header;
    this.#path = options.path;
    this.#durable = options.durable;
    this.#options = options;
    this.#said = options.said;
    options.on.errnos.forEach((errno) => {
      this.#setErrno(errno);
    });
    header.put('dump_on', options.on.bits);
  }

  /** The trace goes on in another file. */
  goOn(db: Database.Database, drain: Drain): void {
    this.#db = db;
    this.#drain = drain;
  }

  #setErrno(errno: number): void {
    const at = Math.floor(errno / 64);
    const word = ringNumber(this.#header.read(), 'dump_errnos', at);
    this.#header.put('dump_errnos', word | (1n << BigInt(errno % 64)), at);
  }

  /** Lets go of what is older than the window; how many calls. */
  turn(): number {
    const start = now();
    const age = this.#options.keep.ns ?? ANY_AGE;
    let moved = 0;
    for (let n = FEW; n >= FEW && now() - start < TURN; moved += n) n = this.#drain.letGo(age, this.#options.segments);
    return moved;
  }

  /** What the program ran into since the last look, or null. */
  raised(): Cause | null {
    const header = this.#header.read();
    const state = Number(ringNumber(header, 'dump_state'));
    // Claimed and not raised: its thread was interrupted there, or killed.
    this.#claimed = state === dumpStates.CLAIMED ? this.#claimed + 1 : 0;
    if (state !== dumpStates.RAISED && this.#claimed < 5) return null;
    this.#claimed = 0;
    const number = (name: string): number => Number(ringNumber(header, name));
    const reason = number('dump_reason');
    const errno = reason === triggers.ERRNO ? number('dump_detail') : 0;
    const cause = { tid: number('dump_tid'), tick: ringNumber(header, 'dump_tick'), errno };
    // What comes from here on asks for the next dump.
    this.#header.put('dump_state', dumpStates.NONE);
    if (state !== dumpStates.RAISED) return asked('unknown');
    const text =
      reason === triggers.ERRNO
        ? `errno ${errnoName(errno)}`
        : reason === triggers.ERROR
          ? 'migration ERROR'
          : reason === triggers.RESET
            ? 'reset'
            : 'unknown';
    return { reason: text, ...cause };
  }

  /** Writes what is held, and what happened since the dump before. Resolves when
   * it has all of them; `finished` when it is a trace. null: enough of them were made, or no room. */
  async dump(cause: Cause): Promise<{ readonly finished: Promise<Dump> } | null> {
    if (this.#number >= this.#options.dumps) {
      if (this.#refused++ === 0)
        this.#said(`${cause.reason}: no dump, ${this.#options.dumps} were made; --dumps allows more\n`);
      return null;
    }
    const path = this.#nextPath();
    const { window_ns: held = 0 } = this.#drain.status();
    try {
      this.#db.prepare('VACUUM INTO ?').run(path);
      this.#db.prepare('ATTACH ? AS dump').run(path);
      this.#db.exec(`PRAGMA dump.journal_mode = truncate; PRAGMA dump.synchronous = ${this.#durable ? 'normal' : 'off'};
        DELETE FROM dump.drained; DELETE FROM dump.meta WHERE key = 'ring'`);
      this.#db.prepare("INSERT OR REPLACE INTO dump.meta VALUES ('dump', ?)").run(BigInt(this.#number));
    } catch (error) {
      rmSync(path, { force: true });
      this.#said(`${cause.reason}: ${path} could not be written (${(error as Error).message}); the window is kept\n`);
      return null;
    }
    this.#drain.dumpInto('dump', cause);
    const event = await this.#fill(cause);
    const status = this.#drain.status();
    const { undumped, dumpFailure } = this.#drain;
    this.#drain.dumpEnds();
    this.#db.exec('DETACH dump; DELETE FROM main.mark');
    const losses = this.#losses(status, held, undumped, dumpFailure);
    const meta = {
      ...this.meta(),
      dump: this.#number,
      dump_reason: cause.reason,
      dump_event: event > 0 ? event : null,
      late: status.late ?? 0,
    };
    const work = this.#finish({ path, losses, meta, durable: this.#durable, full: dumpFailure !== null }, cause);
    this.#working.add(work);
    void work.finally(() => this.#working.delete(work));
    return { finished: work };
  }

  /** Moves everything up to this moment into the dump; the event that is the cause. */
  async #fill(cause: Cause): Promise<number> {
    const start = now();
    for (;;) {
      const turn = now();
      let events = 1;
      while (events > 0 && now() - turn < TURN) events = this.#drain.step('soon');
      const waited = now() - start;
      const found = this.#drain.cause;
      const complete = found > 0 || (found === 0 && cause.tick === 0n);
      if (events === 0 && !this.#drain.busy && waited > SETTLE && (complete || waited > PATIENCE)) return found;
      if (events === 0 && found === 0) this.#drain.limit(cause);
      await breathe(events === 0 ? 2 : 0);
    }
  }

  #finish(work: DumpWork, cause: Cause): Promise<Dump> {
    const name = import.meta.url.endsWith('.ts') ? './dump-worker.ts' : './dump-worker.js';
    return new Promise<Dump>((done) => {
      const end = (calls: number | null, text: string): void => {
        const dump = { path: work.path, reason: cause.reason, calls };
        this.dumps.push(dump);
        this.#said(`${cause.reason}: ${work.path}: ${text}\n`);
        done(dump);
      };
      const worker = new Worker(new URL(name, import.meta.url), { workerData: work });
      worker.once('message', (counts: Counts) => end(counts.calls, `${counts.calls} calls`));
      worker.once('error', (error) => end(null, `not finished (${error.message}); vfio-rr recover finishes it`));
    });
  }

  /** Dumps that are still being finished. */
  async settled(): Promise<void> {
    await Promise.all(this.#working);
  }

  /** What a window's trace says of itself. */
  meta(): Meta {
    return { keep: this.#options.keep.text };
  }

  /** What is missing from the trace that ends now. */
  losses(status: RingStatus, held: number): Loss[] {
    const losses = this.#losses(status, held, 0, null);
    if (this.#refused > 0)
      losses.push({ what: 'dumps', count: this.#refused, detail: 'beyond what --dumps allows', kind: 'missed' });
    return losses;
  }

  #losses(status: RingStatus, held: number, undumped: number, failure: string | null): Loss[] {
    const since = (name: string): number => (status[name] ?? 0) - (this.#lossBase[name] ?? 0);
    const own = Object.keys(status).filter((name) => /^lost_|^paused$|^damaged$/.test(name));
    const counted = { ...status, ...Object.fromEntries(own.map((name) => [name, since(name)])) };
    this.#lossBase = status;
    const losses = lossesOf(counted, undumped, failure);
    const let_go = status.let_go ?? 0;
    if (let_go > 0) {
      const { ns, text } = this.#options.keep;
      const squeezed = ns !== null && held < ns * 0.9;
      const detail = squeezed
        ? `before the last ${(held / 1e9).toFixed(1)} s: --quota has no room for --keep ${text}`
        : `before the window (--keep ${text})`;
      losses.push({ what: 'calls', count: let_go, detail, kind: 'window' });
    }
    return losses;
  }

  #nextPath(): string {
    const base = this.#path.replace(/\.vrr$/, '');
    for (let n = this.#number + 1; ; n++) {
      const path = `${base}-${n}.vrr`;
      if (existsSync(path)) continue;
      this.#number++;
      return path;
    }
  }
}
