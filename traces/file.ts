// A trace's file before SQLite sees it, and SQLite's own complaints as sentences. Everything here assumes that the file
// is hostile.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { APPLICATION_ID, addedTables, ddl, FORMAT_VERSION } from '../schema/trace.ts';

const MAGIC = 'SQLite format 3\0';
/** Offsets in the SQLite file header (https://www.sqlite.org/fileformat2.html, 1.3). */
const HEADER = { size: 100, pageSize: 16, changes: 24, pages: 28, userVersion: 60, applicationId: 68, validFor: 92 };
/** Up to this size a damaged file is searched for the place of the damage. */
const SEARCH_MAX = 1 << 30;

function openError(path: string, error: unknown): TraceError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return new TraceError('USAGE', `${path}: there is no such file`);
  if (code === 'EACCES' || code === 'EPERM') return new TraceError('NOT_A_TRACE', `${path}: no permission to read it`);
  return new TraceError('NOT_A_TRACE', `${path} cannot be read: ${(error as Error).message}`);
}

/** Says what is wrong with the file's header and length; returns the format's version. */
export function inspect(path: string): number {
  const header = Buffer.alloc(HEADER.size);
  let size: number;
  try {
    const fd = openSync(path, 'r');
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw new TraceError('NOT_A_TRACE', `${path} is no regular file; a trace is one`);
      size = stat.size;
      readSync(fd, header, 0, HEADER.size, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw error instanceof TraceError ? error : openError(path, error);
  }
  if (size === 0) throw new TraceError('NOT_A_TRACE', `${path} is empty: nothing was recorded into it`);
  if (header.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new TraceError('NOT_A_TRACE', `${path} is not a trace: it is no SQLite file`);
  if (size < HEADER.size) throw new TraceError('CORRUPT', `${path} is cut off after ${size} bytes, inside its header`);
  if (header.readUInt32BE(HEADER.applicationId) !== APPLICATION_ID)
    throw new TraceError('NOT_A_TRACE', `${path} is a SQLite file, but not a trace made by vfio-rr`);
  const version = header.readUInt32BE(HEADER.userVersion);
  if (version > FORMAT_VERSION)
    throw new TraceError(
      'VERSION_TOO_NEW',
      `${path} has trace format ${version} and this vfio-rr reads up to ${FORMAT_VERSION}: install a newer vfio-rr`,
    );
  const raw = header.readUInt16BE(HEADER.pageSize);
  const pageSize = raw === 1 ? 65536 : raw;
  const pages = header.readUInt32BE(HEADER.pages);
  // The count in the header holds only if the last writer kept it.
  const kept = header.readUInt32BE(HEADER.changes) === header.readUInt32BE(HEADER.validFor);
  if (kept && size < pages * pageSize)
    throw new TraceError(
      'CORRUPT',
      `${path} is cut off: it has ${size} of ${pages * pageSize} bytes (page ${Math.floor(size / pageSize) + 1} of ${pages} is the first that is missing)`,
    );
  return version;
}

/** The read-only connection of every reader. */
export function connect(path: string): Database.Database {
  const db = complain(path, 'its first page', () => {
    const opened = new Database(path, { readonly: true, fileMustExist: true, timeout: 5000 });
    opened.pragma('trusted_schema = off');
    opened.pragma('cell_size_check = on');
    opened.pragma('mmap_size = 0'); // a file that shrinks must give an error, not SIGBUS
    opened.pragma('query_only = on');
    return opened;
  });
  try {
    complain(path, 'its schema', () => checkTables(path, db));
  } catch (error) {
    db.close();
    throw error;
  }
  return db;
}

/** Tables of the format with their columns' names, read out of the DDL. */
function tablesOf(): [string, string[]][] {
  return [...ddl.matchAll(/^CREATE TABLE (\w+) \((.*)\)/gm)].map(([, name = '', body = '']) => [
    name,
    body
      .split(/,(?![^(]*\))/)
      .map((c) => c.trim().split(/[ ,]/)[0] ?? '')
      .filter((c) => c !== 'PRIMARY'),
  ]);
}

function checkTables(path: string, db: Database.Database): void {
  const kinds = new Map(db.prepare('SELECT name, type FROM sqlite_schema').raw().all() as [string, string][]);
  const version = Number(db.pragma('user_version', { simple: true }));
  for (const [table, columns] of tablesOf()) {
    if (version < (addedTables[table] ?? 1)) continue;
    if (kinds.get(table) !== 'table')
      throw new TraceError('CORRUPT', `${path} has no table ${table}: not a whole trace`);
    const have = new Set(db.prepare(`SELECT name FROM pragma_table_xinfo('${table}')`).pluck().all() as string[]);
    const lacking = columns.find((c) => !have.has(c));
    if (lacking) throw new TraceError('CORRUPT', `${path}: table ${table} has no column ${lacking}`);
  }
}

function placeOf(path: string): string {
  try {
    const db = new Database(path, { readonly: true, fileMustExist: true });
    try {
      const size = db.prepare('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size').pluck().get();
      if (typeof size === 'number' && size > SEARCH_MAX) return '';
      const found = String(db.pragma('integrity_check(1)', { simple: true }));
      return found === 'ok' ? '' : ` (${found.replace(/\*\*\* in database main \*\*\*\n/, '').replace(/\s+/g, ' ')})`;
    } finally {
      db.close();
    }
  } catch {
    return '';
  }
}

/** Runs `work`, which reads `what` of the trace; SQLite's errors come out as sentences with the place. */
export function complain<T>(path: string, what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Database.SqliteError)) throw error;
    const { code, message } = error;
    const cause = { cause: error };
    if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' || code === 'SQLITE_FORMAT')
      throw new TraceError('CORRUPT', `${path} is damaged at ${what}${placeOf(path)}`, cause);
    if (code.startsWith('SQLITE_IOERR'))
      throw new TraceError('CORRUPT', `${path} cannot be read at ${what}: ${message}`, cause);
    if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED'))
      throw new TraceError(
        'UNFINISHED',
        `${path} is being written to; try again, or wait for the recording's end`,
        cause,
      );
    if (code.startsWith('SQLITE_READONLY') || code.startsWith('SQLITE_CANTOPEN'))
      throw new TraceError(
        'UNFINISHED',
        `${path} was left in the middle of a write by a killed recorder: run \`vfio-rr recover\` on it first`,
        cause,
      );
    throw new TraceError('CORRUPT', `${path} cannot be read at ${what}: ${message}`, cause);
  }
}
