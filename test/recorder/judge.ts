// What a trace of speaker.c must hold, by the program's own notes, and what it has lost, doubled, mixed up or spoilt.

import { existsSync, readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { ops } from '../../schema/event.ts';
import { codecs } from '../../schema/trace.ts';
import { unpack } from '../../traces/pack.ts';

export interface Verdict {
  readonly events: number;
  /** Calls that returned and are not there, or were never made and are. */
  readonly lost: number;
  readonly doubled: number;
  /** Calls before an earlier one of the same thread, or before one that returned earlier in another. */
  readonly reordered: number;
  /** Bytes that are not what was said. */
  readonly spoilt: number;
  readonly unfinished: number;
  /** What the trace itself says that it lacks. */
  readonly named: number;
  readonly integrity: string;
}

export interface Notes {
  readonly pid: number;
  /** Per thread, of the handler, of the waiting thread: calls begun and calls returned. */
  readonly voices: readonly { readonly begun: number; readonly returned: number }[];
}

export function readNotes(path: string, voices: number): Notes {
  const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  if (bytes.length < 8 + 16 * voices) return { pid: 0, voices: [] };
  return {
    pid: Number(bytes.readBigUInt64LE(0)),
    voices: Array.from({ length: voices }, (_, i) => ({
      begun: Number(bytes.readBigUInt64LE(8 + 16 * i)),
      returned: Number(bytes.readBigUInt64LE(16 + 16 * i)),
    })),
  };
}

interface Row {
  readonly val: bigint | null;
  readonly length: bigint;
  readonly open: bigint;
  readonly codec: bigint | null;
  readonly size: bigint | null;
  readonly data: Buffer | null;
}
const STRIDE = 0x9e3779b97f4a7c15n;

/** What the call said, and whether all its words are what its number makes of them. Killed on the way to its call, a
 * program has shown a part of them. */
function said(row: Row): { number: bigint; whole: boolean } {
  if (row.data === null) return { number: row.val ?? -1n, whole: row.val !== null };
  const bytes = Number(row.codec) === codecs.LZ4 ? unpack(row.data, Number(row.size)) : row.data;
  const number = bytes.readBigUInt64LE(0);
  let whole = row.open ? bytes.length <= Number(row.length) : bytes.length === Number(row.length);
  for (let at = 0, word = number; at + 8 <= bytes.length; at += 8, word = BigInt.asUintN(64, word + STRIDE))
    whole &&= bytes.readBigUInt64LE(at) === word;
  return { number, whole };
}

/** `killed`: the program was, so that a call under way may be cut before its record. */
export function judge(trace: string, notes: Notes, killed: boolean): Verdict {
  const db = new Database(trace, { readonly: true });
  try {
    const rows = db
      .prepare(
        `SELECT e.val, s.length, e.dur IS NULL AS open, p.codec, p.size, p.data FROM event e JOIN site s ON s.id = e.site
         LEFT JOIN payload p ON p.id = e.inp WHERE s.op = ${ops.pwrite} ORDER BY e.id`,
      )
      .safeIntegers()
      .all() as Row[];
    const reads = db
      .prepare(
        `SELECT count(*) AS n, total(e.dur IS NULL) AS open FROM event e JOIN site s ON s.id = e.site WHERE s.op = ${ops.read}`,
      )
      .get() as { n: number; open: number };
    const crossed = db
      .prepare('SELECT count(*) FROM event a JOIN event b ON b.id = a.id + 1 WHERE b.t + b.dur < a.t + a.dur - 1')
      .pluck()
      .get() as number;
    const count = { lost: 0, doubled: 0, reordered: crossed, spoilt: 0 };
    const heard = notes.voices.map(() => ({ numbers: new Set<number>(), returned: 0, last: -1 }));
    for (const row of rows) {
      const { number, whole } = said(row);
      const own = heard[Number(number >> 32n)];
      const n = Number(number & 0xffffffffn);
      if (!whole || !own) count.spoilt++;
      if (!own) continue;
      if (own.numbers.has(n)) count.doubled++;
      if (n < own.last) count.reordered++;
      own.numbers.add(n);
      own.last = n;
      if (!row.open) own.returned++;
    }
    notes.voices.forEach(({ begun, returned }, me) => {
      const own = heard[me];
      const waits = me === notes.voices.length - 1;
      const there = waits ? reads.n : (own?.numbers.size ?? 0);
      const finished = waits ? reads.n - reads.open : (own?.returned ?? 0);
      for (let i = 0; i < returned && !waits; i++) if (!own?.numbers.has(i)) count.lost++;
      if (there > begun || finished < returned) count.lost++;
      if (!killed && begun !== returned) count.lost++;
    });
    return {
      events: rows.length + reads.n,
      ...count,
      unfinished: rows.filter((r) => r.open).length + reads.open,
      named: db.prepare('SELECT total(count) FROM loss').pluck().get() as number,
      integrity: db.pragma('integrity_check', { simple: true }) as string,
    };
  } finally {
    db.close();
  }
}
