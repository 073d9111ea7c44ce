// From the first record in the ring to the finished trace: what `record` and `recover` have in common.

import { existsSync, rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { recordings } from '../schema/event.ts';
import { setJournal } from '../traces/create.ts';
import { Drain, isMoved, loadRings, type PayloadMode } from './drain.ts';
import { endTrace, type Meta, reserve } from './ending.ts';
import { type Counts, type Loss, lossesOf } from './finish.ts';
import { asked, type Cause, type Dump, Flight, type FlightOptions } from './flight.ts';
import { setExit, writers } from './processes.ts';
import { RingHeaderFile, ringNumber } from './ring.ts';

/** ms. The ring holds what comes meanwhile; a reader of the growing trace sees events at most this late. */
const REST_MIN = 2;
const REST_MAX = 50;
/** ms of work after which the event loop gets a turn (signals, the program's end). */
const TURN = 50;

export interface SessionOptions {
  /** The trace that `db` is. */
  readonly path: string;
  readonly ring: string;
  readonly payload: PayloadMode;
  /** Segments kept ready for writers; 0: there are none any more. */
  readonly ahead: number;
  readonly durable: boolean;
  readonly flight: FlightOptions | null;
  /** Processes may write of which the trace does not say anything yet, or any more. */
  readonly forgetful: boolean;
  /** Something that the user ought to know while it runs. */
  readonly said: (text: string) => void;
}

export interface Outcome extends Counts {
  readonly path: string;
  readonly losses: readonly Loss[];
  readonly waits: number;
  readonly waitNs: number;
}

/** How it goes, as `ctl status` shows it. */
export interface Status {
  readonly trace: string;
  readonly program: string;
  readonly recording: keyof typeof recordings;
  /** Calls in the trace so far; of a flight recorder, in the dumps only. */
  readonly events: number;
  readonly lost: Readonly<Record<string, number>>;
  /** Bytes: in use by the program and by what is not drained; most there may be. */
  readonly ringUsed: number;
  readonly ringQuota: number;
  /** null: not a flight recorder. */
  readonly window: { readonly keep: string; readonly heldNs: number } | null;
  readonly dumps: readonly Dump[];
}

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const now = (): number => performance.now();

interface Wanted {
  readonly cause: Cause;
  readonly done: (dump: Dump | null) => void;
}

export class Session {
  #db: Database.Database;
  #drain: Drain;
  #path: string;
  readonly #header: RingHeaderFile;
  readonly #flight: Flight | null;
  readonly #options: SessionOptions;
  readonly #wanted: Wanted[] = [];
  #left: number[] = [];
  #end: string | null = null;

  constructor(db: Database.Database, options: SessionOptions) {
    this.#db = db;
    this.#path = options.path;
    this.#options = options;
    this.#drain = new Drain(db, options.ring, options);
    this.#header = new RingHeaderFile(options.ring);
    reserve(db);
    this.#flight = options.flight ? new Flight(db, this.#drain, this.#header, { ...options, ...options.flight }) : null;
  }

  /** Drains while `running`, and after that while recorded processes are left, unless `stopped`. */
  async follow(running: () => boolean, stopped: () => boolean): Promise<void> {
    let rest = REST_MIN;
    let quiet = 0;
    while (!stopped() || running()) {
      const moved = this.#turn(running());
      await this.#dump();
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
    try {
      if (this.#flight) return this.#flight.turn();
      const start = now();
      let moved = 0;
      for (let n = -1; n !== 0 && now() - start < TURN; moved += n) n = this.#drain.step(running ? 'none' : 'soon');
      return moved;
    } catch (error) {
      if (!isMoved(error)) throw damaged(this.#path, this.#options.ring, error);
      this.#moveOn();
      return 0;
    }
  }

  /** The trace is no longer where it was: what we have open of it is copied, and the recording goes on in the copy. */
  #moveOn(): void {
    const { ring, durable, said } = this.#options;
    const base = this.#path.replace(/\.vrr$/, '');
    let path = this.#path;
    for (let n = 1; existsSync(path); n++) path = `${base}-${n}.vrr`;
    this.#drain.close();
    this.#db.prepare('VACUUM INTO ?').run(path);
    this.#db.close();
    this.#db = new Database(path);
    setJournal(this.#db, { durable });
    loadRings(this.#db);
    this.#drain = new Drain(this.#db, ring, this.#options);
    this.#flight?.goOn(this.#db, this.#drain);
    said(`${this.#path} was moved or deleted while it was recorded; all of it is in ${path}, where it goes on\n`);
    this.#path = path;
  }

  /** Makes the dump that somebody asked for, or that the program ran into. */
  async #dump(): Promise<void> {
    const flight = this.#flight;
    if (!flight) return;
    if (this.#end !== null && this.#writers().length > 0) {
      this.#wanted.push({ cause: asked(this.#end), done: () => {} });
      this.#end = null;
    }
    const raised = flight.raised();
    if (raised) this.#wanted.push({ cause: raised, done: () => {} });
    const first = this.#wanted.find((w) => w.cause.tick > 0n) ?? this.#wanted[0];
    if (!first) return;
    // All that was asked for by now is in this one.
    const all = this.#wanted.splice(0);
    const dump = await flight.dump(first.cause);
    const tell = (finished: Dump | null): void => {
      for (const { done } of all) done(finished);
    };
    if (dump) void dump.finished.then(tell);
    else tell(null);
  }

  #writers(): number[] {
    return this.#drain.failure === null ? writers(this.#db, this.#options.ring, this.#options.forgetful) : [];
  }

  /** Asks for a dump; it is finished when the promise is. null: none was made. */
  dump(reason: string): Promise<Dump | null> {
    if (!this.#flight)
      throw new TraceError('USAGE', 'this recording keeps everything and has no dumps; record with --keep for them');
    return new Promise((done) => this.#wanted.push({ cause: asked(reason), done }));
  }

  /** The program ended, in a way that whoever records will want to know of; others of its processes may go on. */
  ended(reason: string): void {
    this.#end = reason;
  }

  start(): void {
    this.#header.put('recording', recordings.ON);
  }

  /** Accesses and polls pass unrecorded from here on; calls that later ones need are recorded still. */
  stop(): void {
    this.#header.put('recording', recordings.PAUSED);
  }

  mark(text: string): void {
    const { now_ns: t = 0 } = this.#drain.status();
    this.#db.prepare('INSERT INTO mark VALUES (?, ?)').run(BigInt(t), text);
  }

  status(): Status {
    const status = this.#drain.status();
    const state = Number(ringNumber(this.#header.read(), 'recording'));
    const names = Object.keys(recordings) as (keyof typeof recordings)[];
    const keep = this.#options.flight?.keep.text;
    const lost = Object.entries(status).filter(([name, n]) => n > 0 && /^lost_|^paused$|^damaged$/.test(name));
    return {
      trace: this.#path,
      program: String(this.#db.prepare("SELECT value FROM meta WHERE key = 'program'").pluck().get() ?? ''),
      recording: names.find((name) => recordings[name] === state) ?? 'OFF',
      events: Number(this.#db.prepare('SELECT coalesce(max(id), 0) FROM main.event').pluck().get()),
      lost: Object.fromEntries(lost),
      ringUsed: (status.in_use ?? 0) * (status.segment_size ?? 0),
      ringQuota: (status.segments ?? 0) * (status.segment_size ?? 0),
      window: keep === undefined ? null : { keep, heldNs: status.window_ns ?? 0 },
      dumps: this.#flight?.dumps ?? [],
    };
  }

  /** Drains the rest, finishes the trace and removes the ring. `meta`: what the caller knows of the end. */
  async finish(meta: Meta & { readonly exit?: number | null }, root?: number): Promise<Outcome> {
    if (this.#left.length > 0) this.#header.put('recording', recordings.OFF);
    this.#flight?.turn();
    const { window_ns: held = 0 } = this.#drain.status();
    while (this.#drain.step('finish') > 0);
    for (const { done } of this.#wanted) done(null);
    await this.#flight?.settled();
    const status = this.#drain.status();
    const { discarded, failure } = this.#drain;
    this.#drain.close();
    this.#header.close();
    const losses = this.#flight?.losses(status, held) ?? lossesOf(status, discarded, failure);
    if (this.#left.length > 0)
      losses.push({
        what: 'processes',
        count: this.#left.length,
        detail: `still running when the recording was ended: ${this.#left.join(', ')}`,
        kind: 'missed',
      });
    const extra = {
      ...meta,
      ...this.#flight?.meta(),
      waits: status.waits ?? 0,
      wait_ns: status.wait_ns ?? 0,
      late: status.late ?? 0,
    };
    if (root !== undefined) setExit(this.#db, root, meta);
    try {
      const counts = endTrace(this.#db, losses, extra, failure !== null);
      rmSync(this.#options.ring, { force: true });
      return { ...counts, path: this.#path, losses, waits: extra.waits, waitNs: extra.wait_ns };
    } catch (error) {
      throw damaged(this.#path, this.#options.ring, error);
    }
  }

  close(): void {
    this.#db.close();
  }
}

/** What SQLite says of a trace that somebody wrote over, as a sentence; other errors as they are. */
function damaged(path: string, ring: string, error: unknown): unknown {
  const code = (error as { code?: string }).code ?? '';
  if (!/^SQLITE_(CORRUPT|NOTADB|READONLY)/.test(code)) return error;
  const what = code.startsWith('SQLITE_READONLY') ? 'moved or deleted' : 'written over';
  return new TraceError(
    'CORRUPT',
    `${path} was ${what} while it was recorded; the calls that it lacks are in ${ring}: vfio-rr recover ${ring} -o NEW.vrr`,
    { cause: error },
  );
}
