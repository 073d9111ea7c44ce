// The statements that move a batch of the drain (native/rings) into the tables of a trace.

import type Database from 'better-sqlite3';

/** In the order of `nonempty` in native/rings/rings.c; the bit after them: some event has bytes in `payload`. */
const tables = ['process', 'thread', 'handle', 'region', 'site', 'payload', 'memory', 'made'] as const;
/** The first of them are what later events need, whether or not the events before them are kept. */
const STRUCTURE = 4;

/** Of a handle whose opening is in no table of this trace. */
const unopened = 'id, kind, process, fd, path, name, parent, alias, NULL, closed';

function insert(schema: string, table: (typeof tables)[number], columns = '*'): string {
  return `INSERT${table === 'region' ? ' OR REPLACE' : ''} INTO ${schema}.${table} SELECT ${columns} FROM ring_${table}`;
}

/** Moves a batch into the trace attached as `schema`. */
export class Rows {
  readonly #nonempty: Database.Statement;
  readonly #inserts: readonly Database.Statement[];
  readonly #event: Database.Statement;
  /** For a batch of nothing but region accesses. */
  readonly #access: Database.Statement;

  constructor(db: Database.Database, schema = 'main') {
    this.#nonempty = db.prepare('SELECT ring_tables()').pluck();
    this.#inserts = tables.map((table) => db.prepare(insert(schema, table)));
    // The id is the next one anyhow; naming it would make SQLite look for it first.
    const events = (columns: string): Database.Statement =>
      db.prepare(`INSERT INTO ${schema}.event (${columns}) SELECT ${columns} FROM ring_event`);
    this.#event = events('site, t, dur, a, ret, val, inp, outp');
    this.#access = events('site, t, dur, a, ret, val');
  }

  move(): void {
    const nonempty = this.#nonempty.get() as number;
    this.#inserts.forEach((statement, bit) => {
      if (nonempty & (1 << bit)) statement.run();
    });
    (nonempty & (1 << tables.length) ? this.#event : this.#access).run();
  }
}

/** Moves of a batch only what later events need: its events go elsewhere, or nowhere. */
export class Structure {
  readonly #nonempty: Database.Statement;
  readonly #inserts: readonly Database.Statement[];

  constructor(db: Database.Database) {
    this.#nonempty = db.prepare('SELECT ring_tables()').pluck();
    this.#inserts = tables
      .slice(0, STRUCTURE)
      .map((table) => db.prepare(insert('main', table, table === 'handle' ? unopened : '*')));
  }

  move(): void {
    const nonempty = this.#nonempty.get() as number;
    this.#inserts.forEach((statement, bit) => {
      if (nonempty & (1 << bit)) statement.run();
    });
  }
}
