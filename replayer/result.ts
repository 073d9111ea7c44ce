// The replay's own answers as a trace: the recorded calls with the results, bytes and times that they had here, under
// the recording's event numbers, so that show, query and diff work on it and line up with the original.

import { existsSync, realpathSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import type Database from 'better-sqlite3';
import { encode } from 'cbor-x';
import { TraceError } from '../schema/errors.ts';
import { phases } from '../schema/event.ts';
import { codecs, indexes } from '../schema/trace.ts';
import { createTrace, setMeta } from '../traces/create.ts';
import type { Memory, TraceEvent } from '../traces/event.ts';
import { pack } from '../traces/pack.ts';
import { REPLAY_NOTES, ReplayNotes } from '../traces/replay-notes.ts';
import type { Trace } from '../traces/trace.ts';
import type { Verdict } from './verdict.ts';

/** Tables that a replay does not change. */
const copied = ['process', 'thread', 'handle', 'region', 'site', 'payload', 'context'] as const;
const COMMIT = 10_000;
/** How much of an answer is the recorded one. */
const Same = { NOTHING: 0, BYTES: 1, ALL: 2 } as const;

export interface Result {
  /** To be filled with what the replay leaves out. */
  readonly notes: ReplayNotes;
  /** `actual` is null when it was the same; `dur` in ns. */
  add(expected: TraceEvent, actual: TraceEvent | null, dur: number): void;
  finish(verdict: Verdict): void;
  abandon(): void;
}

/** TraceError when the file is not to be written. */
export function refuseExisting(path: string, force: boolean): void {
  if (!force && existsSync(path)) throw new TraceError('USAGE', `${path} exists; --force overwrites it`);
}

export function createResult(trace: Trace, path: string): Result {
  if (existsSync(path) && realpathSync(path) === realpathSync(trace.path))
    throw new TraceError('USAGE', `${path} is the trace that is replayed: write the result to another file`);
  for (const file of [path, `${path}-journal`]) rmSync(file, { force: true });
  return new Writer(trace, path);
}

const equal = (a: Buffer | null, b: Buffer | null): boolean => a === b || (a !== null && b !== null && a.equals(b));

class Writer implements Result {
  readonly notes = new ReplayNotes();
  readonly #path: string;
  readonly #source: string;
  readonly #db: Database.Database;
  readonly #row: Database.Statement;
  readonly #memory: Database.Statement;
  readonly #payload: Database.Statement;
  #clock = 0;
  #pending = 0;

  constructor(trace: Trace, path: string) {
    this.#path = path;
    this.#source = trace.path;
    this.#db = createTrace(path);
    this.#db.prepare('ATTACH ? AS source').run(trace.path);
    for (const table of copied) this.#db.exec(`INSERT INTO main.${table} SELECT * FROM source.${table}`);
    this.#db.exec(`INSERT OR IGNORE INTO main.meta SELECT * FROM source.meta;
      CREATE TEMP TABLE answer (id INTEGER PRIMARY KEY, t INT, dur INT, ret INT, val INT, outp INT, same INT);
      CREATE TEMP TABLE remembered (event INT, at INT, phase INT, payload INT, total INT)`);
    this.#row = this.#db.prepare('INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)');
    this.#memory = this.#db.prepare(`INSERT INTO remembered VALUES (?, ?, ${phases.OUT}, ?, ?)`);
    this.#payload = this.#db.prepare('INSERT INTO payload (hash, size, codec, data) VALUES (NULL, ?, ?, ?)');
  }

  add(expected: TraceEvent, actual: TraceEvent | null, dur: number): void {
    if (this.#pending++ % COMMIT === 0) this.#commit();
    if (actual) this.#answer(expected, actual, dur);
    else this.#row.run(expected.id, this.#clock, dur, null, null, null, Same.ALL);
    this.#clock += dur;
  }

  #answer(expected: TraceEvent, actual: TraceEvent, dur: number): void {
    const same = equal(expected.output, actual.output);
    const outp = same || !actual.output || actual.val !== null ? null : this.#keep(actual.output);
    const width = Math.min(8, actual.output?.length ?? 8); // val is signed, of its own width
    const val = actual.val === null ? null : BigInt.asIntN(8 * (width || 8), actual.val);
    this.#row.run(expected.id, this.#clock, dur, actual.ret, val, outp, same ? Same.BYTES : Same.NOTHING);
    for (const m of actual.memory) if (m.phase === 'out' && m.bytes) this.#remember(expected, m);
  }

  #remember(expected: TraceEvent, m: Memory): void {
    const before = expected.memory.find((o) => o.at === m.at && o.phase === 'out')?.bytes ?? null;
    if (m.bytes && !equal(before, m.bytes)) this.#memory.run(expected.id, m.at, this.#keep(m.bytes), m.total);
  }

  #keep(bytes: Buffer): number {
    const packed = pack(bytes);
    const codec = packed ? codecs.LZ4 : codecs.RAW;
    return Number(this.#payload.run(bytes.length, codec, packed ?? bytes).lastInsertRowid);
  }

  #commit(): void {
    if (this.#db.inTransaction) this.#db.exec('COMMIT');
    this.#db.exec('BEGIN');
  }

  finish(verdict: Verdict): void {
    this.#db.exec(`INSERT INTO main.event SELECT e.id, e.site, a.t, a.dur, e.a,
        iif(a.same = ${Same.ALL}, e.ret, a.ret), iif(a.same = ${Same.ALL}, e.val, a.val),
        e.inp, iif(a.same = ${Same.NOTHING}, a.outp, e.outp)
        FROM answer a JOIN source.event e ON e.id = a.id ORDER BY e.id;
      INSERT INTO main.made SELECT m.* FROM source.made m JOIN answer a ON a.id = m.event;
      INSERT INTO main.memory SELECT m.* FROM source.memory m JOIN answer a ON a.id = m.event
        WHERE NOT EXISTS (SELECT 1 FROM remembered r WHERE r.event = m.event AND r.at = m.at AND r.phase = m.phase);
      INSERT INTO main.memory SELECT * FROM remembered;
      DELETE FROM main.payload WHERE id NOT IN (SELECT inp FROM main.event WHERE inp NOT NULL
        UNION SELECT outp FROM main.event WHERE outp NOT NULL UNION SELECT payload FROM main.memory WHERE payload NOT NULL);`);
    // Nothing of this run alone: the same replay gives the same file.
    const { seconds: _, ...lasting } = { ...verdict, trace: basename(verdict.trace) };
    const context = this.#db.prepare('INSERT OR REPLACE INTO main.context VALUES (?, ?)');
    context.run('replay', encode(lasting));
    context.run(REPLAY_NOTES, encode(this.notes.kept));
    setMeta(this.#db, {
      ...{
        state: 'finished',
        replay_of: basename(this.#source),
        target: verdict.target,
        calls: verdict.compared + verdict.followed,
      },
      ...{ clock: 'agent', unfinished: 0 },
    });
    if (this.#db.inTransaction) this.#db.exec('COMMIT');
    this.#db.exec(indexes);
    this.#db.exec('DETACH source');
    this.#db.pragma('journal_mode = delete');
    this.#db.close();
  }

  abandon(): void {
    this.#db.close();
    for (const file of [this.#path, `${this.#path}-journal`]) rmSync(file, { force: true });
  }
}
