// `query`: the user's SQL on a trace, over a connection that cannot write.

import type Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { complain } from './file.ts';
import type { Io } from './io.ts';
import { Output } from './output.ts';
import { type Cell, csvLine, Table, tableText } from './table.ts';
import type { Trace } from './trace.ts';
import { openTrace } from './trace.ts';

/** Rows that decide a table's widths. */
const SAMPLE = 500;

export type QueryFormat = 'table' | 'json' | 'csv';
export interface QueryOptions {
  readonly path: string;
  /** Without it: what there is to ask for. */
  readonly sql: string | undefined;
  readonly format: QueryFormat;
}

export async function query(options: QueryOptions, io: Io): Promise<void> {
  const trace = openTrace(options.path);
  try {
    if (options.sql === undefined) io.out(schemaText(trace));
    else await run(trace, options.sql, options.format, new Output(io));
  } finally {
    trace.close();
  }
}

/** Tables and views with their columns. */
function schemaText(trace: Trace): string {
  const rows = trace.select(`SELECT m.type, m.name, group_concat(c.name, ', ') AS columns
    FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type IN ('table', 'view') GROUP BY m.name ORDER BY m.type DESC, m.name`);
  return tableText(
    ['type', 'name', 'columns'],
    rows.map((r) => [String(r.type), String(r.name), String(r.columns)]),
  );
}

function prepare(trace: Trace, sql: string): Database.Statement {
  let statement: Database.Statement;
  try {
    statement = trace.connection.prepare(sql);
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    if (code?.startsWith('SQLITE_CORRUPT')) throw error;
    throw new TraceError('USAGE', `${message}; \`vfio-rr query ${trace.path}\` lists the tables, views and columns`);
  }
  if (!statement.reader || !statement.readonly)
    throw new TraceError('USAGE', 'a trace is only read: query takes one SELECT');
  return statement.raw().safeIntegers();
}

async function run(trace: Trace, sql: string, format: QueryFormat, output: Output): Promise<void> {
  const statement = complain(trace.path, 'a query', () => prepare(trace, sql));
  const columns = statement.columns().map((c) => c.name);
  const rows = statement.iterate() as IterableIterator<Cell[]>;
  const next = (): Cell[] | undefined =>
    complain(trace.path, 'a query', () => {
      try {
        return rows.next().value;
      } catch (error) {
        if ((error as { code?: string }).code === 'SQLITE_ERROR')
          throw new TraceError('USAGE', `the query failed: ${(error as Error).message}`);
        throw error;
      }
    });
  const sample: Cell[][] = [];
  if (format === 'table') for (let row = next(); row; row = next()) if (sample.push(row) >= SAMPLE) break;
  const table = new Table(columns, sample);
  if (format === 'table') output.line(table.head());
  if (format === 'csv') output.line(csvLine(columns));
  for (const row of sample) await output.line(table.row(row));
  const text = (row: Cell[]): string =>
    format === 'table' ? table.row(row) : format === 'csv' ? csvLine(row) : jsonRow(columns, row);
  for (let row = next(); row; row = next()) await output.line(text(row));
  await output.flush();
}

/** One JSON object a line; integers beyond 2^53 as strings, bytes in hexadecimal. */
function jsonRow(columns: readonly string[], row: readonly Cell[]): string {
  const value = (c: Cell | undefined): unknown => {
    if (typeof c === 'bigint') return Number.isSafeInteger(Number(c)) ? Number(c) : String(c);
    return c instanceof Uint8Array ? Buffer.from(c).toString('hex') : c;
  };
  return JSON.stringify(Object.fromEntries(columns.map((name, i) => [name, value(row[i])])));
}
