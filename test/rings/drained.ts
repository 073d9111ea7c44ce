// Drains a hand-written ring into a trace and gives its rows.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import { Drain, loadRings, type PayloadMode, type RingStatus } from '../../recorder/drain.ts';
import { createTrace } from '../../traces/create.ts';
import { type Stream, writeRing } from './ring-file.ts';

export interface Row {
  readonly id: number;
  readonly op: string;
  readonly t: number;
  readonly dur: number | null;
  readonly tid: number;
  readonly a: number | null;
  readonly val: number | null;
  readonly ret: number | null;
  readonly region: number | null;
  readonly handle: number;
  readonly kind: number;
  readonly inp: Buffer | null;
  readonly outp: Buffer | null;
}

export interface Result {
  readonly rows: Row[];
  readonly status: RingStatus;
  readonly db: Database.Database;
}

const select = `SELECT e.id, o.name AS op, e.t, e.dur, th.tid, e.a, e.val, e.ret, s.region, s.handle, s.kind,
  i.data AS inp, p.data AS outp
  FROM event e JOIN site s ON s.id = e.site JOIN thread th ON th.id = s.thread JOIN op_name o ON o.op = s.op
  LEFT JOIN payload i ON i.id = e.inp LEFT JOIN payload p ON p.id = e.outp ORDER BY e.id`;

export function withDrained(
  streams: readonly Stream[],
  use: (result: Result) => void,
  options: { payload?: PayloadMode; segmentSize?: number } = {},
): void {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-rings-'));
  const ring = writeRing(folder, streams, options.segmentSize);
  const db = createTrace(join(folder, 't.vrr'));
  try {
    loadRings(db);
    const drain = new Drain(db, ring, { payload: options.payload ?? 'full', ahead: 0 });
    while (drain.step('finish') > 0);
    const status = drain.status();
    drain.close();
    use({ rows: db.prepare(select).all() as Row[], status, db });
  } finally {
    db.close();
    rmSync(folder, { recursive: true });
  }
}
