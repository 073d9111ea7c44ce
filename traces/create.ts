// Makes a trace file: tables, views, names. The recorder fills it; a replay's result is one too.

import Database from 'better-sqlite3';
import { errnos } from '../schema/errno.ts';
import { TraceError } from '../schema/errors.ts';
import { APPLICATION_ID, ddl, FORMAT_VERSION, names, views } from '../schema/trace.ts';

export interface CreateOptions {
  /** Survive the loss of power too, not only of the process: each transaction waits for the disk. */
  readonly durable?: boolean;
}

/** Bytes: 16 KiB cost small rows nothing and let large payloads go twice as fast as 4 KiB. */
const PAGE_SIZE = 16384;

/** `path` must not exist. The trace is unfinished until meta.state says otherwise. */
export function createTrace(path: string, options: CreateOptions = {}): Database.Database {
  let db: Database.Database;
  try {
    db = new Database(path);
  } catch (error) {
    throw new TraceError('HOST', `cannot make ${path}: ${(error as Error).message}`, { cause: error });
  }
  try {
    db.pragma(`page_size = ${PAGE_SIZE}`);
    setJournal(db, options);
    db.transaction(() => {
      // With the tables or not at all: a file that says it is a trace has them, whenever its maker was killed.
      db.pragma(`application_id = ${APPLICATION_ID}`);
      db.pragma(`user_version = ${FORMAT_VERSION}`);
      db.exec(ddl);
      db.exec(views);
      fillNames(db);
      db.prepare("INSERT INTO meta VALUES ('state', 'recording')").run();
    })();
    return db;
  } catch (error) {
    db.close();
    throw new TraceError('HOST', `cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** As while recording: a rollback journal, so that appended pages are written once (WAL: twice). */
export function setJournal(db: Database.Database, options: CreateOptions): void {
  db.pragma('journal_mode = truncate');
  db.pragma(`synchronous = ${options.durable ? 'normal' : 'off'}`);
}

function fillNames(db: Database.Database): void {
  const tables = names();
  const fill = (sql: string, rows: readonly (readonly (string | number)[])[]): void => {
    const insert = db.prepare(sql);
    for (const row of rows) insert.run(...row);
  };
  fill('INSERT INTO op_name VALUES (?, ?)', tables.ops);
  fill('INSERT INTO kind_name VALUES (?, ?)', tables.kinds);
  fill('INSERT INTO request_name VALUES (?, ?, ?)', tables.requests);
  fill('INSERT INTO feature_name VALUES (?, ?)', tables.features);
  fill('INSERT INTO errno_name VALUES (?, ?)', errnos());
}

export function setMeta(db: Database.Database, values: Readonly<Record<string, string | number | null>>): void {
  const put = db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)');
  // A bound number is a REAL where the column has no type.
  for (const [key, value] of Object.entries(values)) put.run(key, Number.isInteger(value) ? BigInt(value ?? 0) : value);
}
