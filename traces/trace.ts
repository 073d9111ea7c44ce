// A trace at rest, read: what it holds, and its events one after the other. Memory stays bounded whatever the trace's
// size, and whatever a hostile file says.

import type Database from 'better-sqlite3';
import { Decoder } from 'cbor-x';
import { TraceError } from '../schema/errors.ts';
import {
  type Handle,
  handleOf,
  type Loss,
  lossOf,
  type Mark,
  markOf,
  type Process,
  processOf,
  type Region,
  type Row,
  regionOf,
  type Thread,
  threadOf,
} from './entities.ts';
import type { TraceEvent } from './event.ts';
import { complain, connect, inspect } from './file.ts';
import { Page } from './page.ts';
import { Payloads } from './payloads.ts';
import { type EventRange, everything } from './range.ts';
import { type EventRow, eventColumns, RowEvent, type Site, type SiteRow, siteOf } from './row.ts';
import { SITE, selection } from './selection.ts';

export { plain } from './row.ts';

/** Events read at a time. */
const PAGE = 4096;
const SITES_KEPT = 100_000;
const ENTITIES_MAX = 1_000_000;

export interface OpenOptions {
  /** Take a trace that is still being recorded (show --follow). */
  readonly unfinished?: boolean;
}

/** Opens a trace for reading; TraceError says what is wrong with it. */
export function openTrace(path: string, options: OpenOptions = {}): Trace {
  const version = inspect(path);
  const trace = new Trace(path, version, connect(path));
  try {
    if (trace.finished || options.unfinished) return trace;
    throw new TraceError(
      'UNFINISHED',
      `${path} is unfinished: wait for its recording to end, or run \`vfio-rr recover\` if the recorder was killed`,
    );
  } catch (error) {
    trace.close();
    throw error;
  }
}

export class Trace {
  readonly path: string;
  readonly version: number;
  readonly #db: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();
  readonly #sites = new Map<number, Site>();
  readonly #payloads: Payloads;
  #handles: ReadonlyMap<number, Handle> | undefined;

  constructor(path: string, version: number, db: Database.Database) {
    this.path = path;
    this.version = version;
    this.#db = db;
    this.#payloads = new Payloads(path, db);
  }

  /** False: still being recorded, or its recorder was killed. */
  get finished(): boolean {
    const drained = complain(this.path, 'table drained', () => this.#prepare('SELECT 1 FROM drained LIMIT 1').get());
    return drained === undefined && this.meta.get('state') !== 'recording';
  }

  get meta(): ReadonlyMap<string, string | number> {
    const rows = this.#rows('meta', 'SELECT key, value FROM meta');
    return new Map(
      rows.map((r) => [String(r.key), typeof r.value === 'number' || typeof r.value === 'string' ? r.value : '']),
    );
  }

  get handles(): ReadonlyMap<number, Handle> {
    this.#handles ??= new Map(this.#rows('handle', 'SELECT * FROM handle').map((r) => [Number(r.id), handleOf(r)]));
    return this.#handles;
  }

  get processes(): ReadonlyMap<number, Process> {
    return new Map(this.#rows('process', 'SELECT * FROM process').map((r) => [Number(r.id), processOf(r)]));
  }

  get threads(): ReadonlyMap<number, Thread> {
    return new Map(this.#rows('thread', 'SELECT * FROM thread').map((r) => [Number(r.id), threadOf(r)]));
  }

  get regions(): readonly Region[] {
    const columns = 'handle, idx, flags, type, subtype, CAST(size AS TEXT) AS size, CAST(offset AS TEXT) AS offset';
    return this.#rows('region', `SELECT ${columns} FROM region ORDER BY handle, idx`).map((r) =>
      regionOf({ ...r, size: big(r.size), offset: big(r.offset) }),
    );
  }

  get losses(): readonly Loss[] {
    return this.#rows('loss', 'SELECT * FROM loss').map(lossOf);
  }

  /** In order of time; formats before 2 have none. */
  get marks(): readonly Mark[] {
    return this.version < 2 ? [] : this.#rows('mark', 'SELECT t, text FROM mark ORDER BY t').map(markOf);
  }

  /** An irregular, rare record (host, device description, report). */
  context(key: string): unknown {
    return complain(this.path, `context ${key}`, () => {
      const cbor = this.#prepare('SELECT cbor FROM context WHERE key = ?').pluck().get(key);
      if (!Buffer.isBuffer(cbor)) return undefined;
      try {
        return new Decoder({ mapsAsObjects: true, useRecords: false }).decode(cbor);
      } catch {
        throw new TraceError('CORRUPT', `${this.path}: context ${key} is damaged`);
      }
    });
  }

  contextKeys(): string[] {
    return this.#rows('context', 'SELECT key FROM context ORDER BY key').map((r) => String(r.key));
  }

  /** The number that stands for all numbers of one open file. */
  resolve(handle: number): number {
    const seen = new Set<number>();
    let at = handle;
    while (!seen.has(at)) {
      seen.add(at);
      const alias = this.handles.get(at)?.alias;
      if (!alias) return at;
      at = alias;
    }
    return Math.min(...seen); // a loop, which no recorder writes: any fixed member will do
  }

  /** Number of events, in the whole trace or of a range. */
  count(range: EventRange = everything): number {
    const { sql, params } = selection('count(*)', range);
    const all = this.#user(range, () =>
      Number(
        this.#prepare(sql)
          .pluck()
          .get(...params),
      ),
    );
    return range.tail === null ? all : Math.min(all, range.tail);
  }

  event(id: number): TraceEvent | undefined {
    for (const e of this.events({ ...everything, first: id, last: id })) return e;
    return undefined;
  }

  /**
   * Events in order of their ids. Their bytes are read when asked for, so an event is good until close(); plain() makes
   * a copy that lasts.
   */
  *events(range: EventRange = everything): Generator<TraceEvent> {
    const { sql, params } = selection(eventColumns, range);
    const select = this.#user(range, () => this.#prepare(`${sql} ORDER BY e.id LIMIT ${PAGE}`).raw());
    let first = range.tail === null ? range.first : this.#tailStart(range, range.tail);
    for (;;) {
      const from = first;
      const rows = this.#user(
        range,
        () => select.all(from, ...params.slice(1)) as EventRow[],
        () => `the events after ${this.#lastGood(from)}`,
      );
      const last = rows.at(-1)?.[0];
      if (last === undefined) return;
      const page = new Page(this, from, last);
      for (const row of rows) yield new RowEvent(row, this.#site(row[1], row[0]), page);
      if (rows.length < PAGE) return;
      first = last + 1;
    }
  }

  /** The bytes, null when they were not kept (--payload=hash|none). They are shared: do not write to them. */
  payload(id: number): Buffer | null {
    return complain(this.path, `payload ${id}`, () => this.#payloads.get(id));
  }

  /** Size, kept or not. */
  payloadSize(id: number): number {
    return complain(this.path, `payload ${id}`, () => this.#payloads.size(id));
  }

  /** Rows of a query of the reader's own; the connection is read-only. */
  select(sql: string, ...params: (string | number | bigint)[]): Row[] {
    return complain(this.path, 'a query', () => this.#prepare(sql).all(...params) as Row[]);
  }

  /** The connection itself, for commands that run SQL of the user's. */
  get connection(): Database.Database {
    return this.#db;
  }

  /** Forgets what may have changed while the trace is being recorded. */
  refresh(): void {
    this.#handles = undefined;
    this.#sites.clear();
  }

  close(): void {
    this.#db.close();
  }

  #prepare(sql: string): Database.Statement {
    let s = this.#statements.get(sql);
    if (!s) {
      s = this.#db.prepare(sql);
      this.#statements.set(sql, s);
    }
    return s;
  }

  #rows(table: string, sql: string): Row[] {
    return complain(this.path, `table ${table}`, () => {
      const rows = this.#prepare(`${sql} LIMIT ${ENTITIES_MAX + 1}`).all() as Row[];
      if (rows.length > ENTITIES_MAX)
        throw new TraceError(
          'CORRUPT',
          `${this.path}: table ${table} has over ${ENTITIES_MAX} rows; no recording makes that many`,
        );
      return rows;
    });
  }

  /** `work` runs a condition that the user wrote: what SQLite says of it is a matter of usage. */
  #user<T>(range: EventRange, work: () => T, what: () => string = () => 'its events'): T {
    const written = range.conditions.find((c) => c.written !== undefined)?.written;
    try {
      return work();
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (written !== undefined && code === 'SQLITE_ERROR')
        throw new TraceError(
          'USAGE',
          `sql:${written}: ${(error as Error).message}; its columns are those of the view \`call\``,
        );
      return complain(this.path, what(), () => {
        throw error;
      });
    }
  }

  #tailStart(range: EventRange, tail: number): number {
    if (tail <= 0) return Number.MAX_SAFE_INTEGER;
    const { sql, params } = selection('e.id', range);
    const first = this.#user(range, () =>
      this.#prepare(`SELECT min(id) FROM (${sql} ORDER BY e.id DESC LIMIT ?)`)
        .pluck()
        .get(...params, tail),
    );
    return typeof first === 'number' ? first : Number.MAX_SAFE_INTEGER;
  }

  /** The last event that can be read from `first` on: the place of a damage. */
  #lastGood(first: number): number {
    let good = first - 1;
    try {
      for (const id of this.#db.prepare('SELECT id FROM event WHERE id >= ?').pluck().iterate(first)) good = Number(id);
    } catch {
      // the damage itself
    }
    return good;
  }

  #site(id: number, event: number): Site {
    const known = this.#sites.get(id);
    if (known) return known;
    const row = complain(this.path, `site ${id}`, () => this.#prepare(SITE).get(id)) as SiteRow | undefined;
    if (!row || Object.values(row).some((x) => x !== null && typeof x !== 'number'))
      throw new TraceError(
        'CORRUPT',
        `${this.path}: event ${event} refers to site ${id}, which is ${row ? 'damaged' : 'missing'}`,
      );
    if (this.#sites.size >= SITES_KEPT) this.#sites.clear();
    const site = siteOf(row, (h) => this.resolve(h));
    this.#sites.set(id, site);
    return site;
  }
}

const big = (text: unknown): bigint => (typeof text === 'string' && /^-?\d{1,20}$/.test(text) ? BigInt(text) : 0n);
