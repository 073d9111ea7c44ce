// The end of a trace, or of a dump: counts, losses, indexes, state.

import type Database from 'better-sqlite3';
import { setMeta } from '../traces/create.ts';
import { type Counts, countCalls, describe, type Loss, putCounts } from './finish.ts';

export type Meta = Readonly<Record<string, string | number | null>>;

/** Kept free in the file, so that a trace whose disk is full can still say so. */
const RESERVE = 256 << 10;
/** Bytes up to which a finished trace is packed anew. */
const SMALL = 8 << 20;

export function reserve(db: Database.Database): void {
  db.exec(`CREATE TABLE IF NOT EXISTS reserve (bytes);
    INSERT INTO reserve SELECT zeroblob(${RESERVE}) WHERE NOT EXISTS (SELECT 1 FROM reserve)`);
}

/** Makes `db` a finished trace and closes it. full: it could not grow any more. */
export function endTrace(db: Database.Database, losses: Loss[], meta: Meta, full: boolean): Counts {
  const counts = full ? rescue(db, losses, meta) : complete(db, losses, meta);
  if (!full) shrink(db);
  db.pragma('journal_mode = delete');
  db.close();
  return counts;
}

function complete(db: Database.Database, losses: Loss[], meta: Meta): Counts {
  db.exec('DROP TABLE IF EXISTS reserve');
  try {
    const counts = describe(db, losses);
    close(db, meta);
    return counts;
  } catch (error) {
    // The indexes did not fit any more.
    if ((error as { code?: string }).code !== 'SQLITE_FULL') throw error;
    return rescue(db, losses, meta);
  }
}

/** The disk is full: the pages held in reserve take the counts, and nothing else is added. */
function rescue(db: Database.Database, losses: Loss[], meta: Meta): Counts {
  db.pragma('journal_mode = memory');
  db.exec('DROP TABLE IF EXISTS reserve');
  const sum = (kind: Loss['kind']): number => losses.filter((l) => l.kind === kind).reduce((n, l) => n + l.count, 0);
  const counts = { ...countCalls(db), missed: sum('missed'), lost: sum('lost') };
  putCounts(db, losses, counts);
  close(db, meta);
  return counts;
}

/** ns from the first call to the end of the last. */
function spanOf(db: Database.Database): number {
  const of = (order: string): number =>
    Number(
      db
        .prepare(`SELECT t + coalesce(dur, 0) * ${order === 'DESC' ? 1 : 0} FROM event ORDER BY id ${order} LIMIT 1`)
        .pluck()
        .get() ?? 0,
    );
  return of('DESC') - of('ASC');
}

function close(db: Database.Database, meta: Meta): void {
  db.transaction(() => {
    if (meta.keep) setMeta(db, { window_ns: spanOf(db) });
    setMeta(db, { ...meta, state: 'finished', ended: String(BigInt(Date.now()) * 1000000n) });
    db.exec("DELETE FROM drained; DELETE FROM meta WHERE key = 'ring'");
  })();
}

/** A small trace need not have the large pages that a fast drain wants: each table takes at least one. */
export function shrink(db: Database.Database): void {
  const pages = Number(db.pragma('page_count', { simple: true }));
  if (pages * Number(db.pragma('page_size', { simple: true })) > SMALL) return;
  db.pragma('page_size = 4096');
  db.exec('VACUUM');
}
