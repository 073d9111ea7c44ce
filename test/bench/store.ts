// What draining costs: a batch of the extension against one row at a time, bytes on disk.

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Drain, loadRings } from '../../recorder/drain.ts';
import { shrink } from '../../recorder/ending.ts';
import { describe } from '../../recorder/finish.ts';
import { recordFlags, SEGMENT_SIZE, vrr_record, wheres } from '../../schema/event.ts';
import { createTrace, setJournal } from '../../traces/create.ts';
import { encode, made, type Record, writeRing } from '../rings/ring-file.ts';

/** Numbers that are the same on every run. */
export function generator(seed: number): () => number {
  let a = seed;
  return () => {
    a = (Math.imul(a, 1664525) + 1013904223) >>> 0;
    return a;
  };
}

export const opened: Record = {
  op: 'open',
  enter: 10,
  ret: 5,
  value: made(1, 'device'),
  chunks: [{ where: wheres.PATH, phase: 'IN', bytes: Buffer.from('/dev/vfio/devices/vfio0\0') }],
};

/** Reads and writes of 4 bytes: any value, anywhere in 4 KiB, 2 to 10 µs apart. */
function accesses(count: number): Record[] {
  const random = generator(1);
  const records = [opened];
  let t = 1_000_000;
  for (let i = 0; i < count; i++) {
    t += 2000 + (random() % 8000);
    records.push({
      op: random() % 3 ? 'pread' : 'pwrite',
      enter: t,
      leave: t + 200 + (random() % 2000),
      flags: recordFlags.INLINE,
      ret: 4,
      a: BigInt((random() >>> 8) & 0xffc),
      b: 4,
      fd: 5,
      handle: 1,
      value: BigInt(random()),
    });
  }
  return records;
}

export function cpu(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) * 1000;
}

interface Drained {
  /** ns of processor time. */
  readonly ns: number;
  readonly events: number;
  readonly bytes: number;
}

export const ringOf = (records: readonly Record[], segmentSize: number): string =>
  writeRing('/dev/shm', [{ pid: 2, tid: 2, records }], segmentSize);

/** Empties the ring into a trace, and removes it. */
export function drainInto(folder: string, ring: string): Drained {
  const path = join(folder, 'drained.vrr');
  rmSync(path, { force: true });
  const db = createTrace(path);
  try {
    loadRings(db);
    const drain = new Drain(db, ring, { payload: 'full', ahead: 0 });
    let events = 0;
    const ns = cpu(() => {
      for (let n = -1; n !== 0; events += n) n = drain.step('finish');
    });
    drain.close();
    describe(db, []);
    shrink(db);
    return { ns, events, bytes: statSync(path).size };
  } finally {
    db.close();
    rmSync(ring);
  }
}

const recordSize = 64; // region accesses are records without chunks

/** The same records by better-sqlite3, decoded and inserted one by one, in transactions of as many, with the same settings. */
function rowByRow(folder: string, records: readonly Record[]): number {
  const ring = Buffer.concat(records.slice(1).map(encode));
  const count = ring.length / recordSize;
  const at = Object.fromEntries(vrr_record.fields.map((f) => [f.name, f.at])) as { [field: string]: number };
  const { enter = 0, leave = 0, a = 0, b = 0, ret = 0, fd = 0, handle = 0, value = 0 } = at;
  const wide = (offset: number): number => ring.readUInt32LE(offset) + ring.readUInt32LE(offset + 4) * 2 ** 32;
  const path = join(folder, 'rows.db');
  rmSync(path, { force: true });
  const db = new Database(path);
  db.pragma('page_size = 16384');
  setJournal(db, {});
  db.exec(
    'CREATE TABLE event (id INTEGER PRIMARY KEY, site INT, t INT, dur INT, a INT, ret INT, val INT, inp INT, outp INT)',
  );
  const insert = db.prepare('INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const sites = new Map<string, number>();
  const ns = cpu(() => {
    for (let first = 0; first < count; first += 16384)
      db.transaction(() => {
        for (let i = first; i < Math.min(count, first + 16384); i++) {
          const r = i * recordSize;
          const key = `${ring[r + 4]} ${ring[r + 5]} ${ring.readInt32LE(r + fd)} ${ring.readUInt32LE(r + handle)} ${wide(r + b)}`;
          let site = sites.get(key);
          if (site === undefined) {
            site = sites.size + 1;
            sites.set(key, site);
          }
          const t = wide(r + enter);
          insert.run(
            i + 1,
            site,
            t,
            wide(r + leave) - t,
            wide(r + a),
            wide(r + ret),
            ring.readInt32LE(r + value),
            null,
            null,
          );
        }
      })();
  });
  db.close();
  return ns / count;
}

export interface StoreCost {
  /** ns of processor time an event. */
  readonly drain: number;
  readonly rows: number;
  readonly bytes: number;
}

export function accessCosts(count: number, rounds: number): StoreCost[] {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-bench-'));
  try {
    const records = accesses(count);
    return Array.from({ length: rounds }, () => {
      const d = drainInto(folder, ringOf(records, SEGMENT_SIZE));
      return {
        drain: d.ns / d.events,
        rows: rowByRow(folder, records),
        bytes: d.bytes / d.events,
      };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
