// A drained trace becomes a finished one: what only the whole shows (aliases, late regions), counts, host, indexes.
// Every step may be done twice, so that `recover` can begin again after a kill.

import type Database from 'better-sqlite3';
import { Encoder } from 'cbor-x';
import { noteOps, opName, ops } from '../schema/event.ts';
import { fdKinds, kindName } from '../schema/kinds.ts';
import { callOf } from '../schema/surface.ts';
import { indexes } from '../schema/trace.ts';
import { setMeta } from '../traces/create.ts';
import type { RingStatus } from './drain.ts';
import { cdevName, type Device, describeDevice, describeHost } from './host.ts';
import { Interrupts, interruptRequests } from './interrupts.ts';
import { findLinks, type Links } from './links.ts';

export interface Counts {
  readonly calls: number;
  readonly decoded: number;
  readonly raw: number;
  readonly unfinished: number;
  /** Known to have happened without being seen. */
  readonly missed: number;
  readonly lost: number;
}
export interface Loss {
  readonly what: string;
  readonly count: number;
  readonly detail: string;
  /** window: let go as it was older than the flight recorder's window. */
  readonly kind: 'lost' | 'missed' | 'window';
}

/** By the names of ring_status. */
const lossTexts: Readonly<Record<string, readonly ['lost' | 'missed', string, string]>> = {
  lost_quota: ['lost', 'records', 'the ring was full for too long; use a larger --quota'],
  lost_fd_range: ['missed', 'descriptors', 'their numbers are beyond what the interposer follows'],
  lost_recorder_gone: ['lost', 'records', 'the ring could not be used any more'],
  lost_nesting: ['lost', 'records', 'signal handlers interrupted the recorder too deep'],
  lost_too_big: ['lost', 'payloads', 'longer than is kept; the calls are there, their bytes are cut'],
  mapped: ['missed', 'mappings', 'loads and stores of mapped regions are not in the trace; --mmio=trap records them'],
  kind_unknown: ['missed', 'descriptors', 'a VFIO request on a descriptor of which nothing is known'],
  paused: ['missed', 'calls', 'made while recording was stopped (vfio-rr ctl stop)'],
  dma_limit: ['missed', 'looks at a page of DMA memory', 'more is mapped than --dma-limit; raise it'],
  dma_gone: ['missed', 'looks at a page of DMA memory', 'it could not be read any more'],
  unreadable: [
    'lost',
    'structures',
    'their memory could not be looked at: the program was started under a seccomp filter, or ptrace does not reach it',
  ],
  raw_unseen: [
    'missed',
    'processes or threads',
    'their system calls outside libc are not in the trace: no Syscall User Dispatch, or none under their seccomp filter or for Go; --backend=ptrace sees them',
  ],
  raw_cloned: [
    'missed',
    'threads',
    'made by clone() outside libc: their system calls outside libc are not in the trace; --backend=ptrace sees them',
  ],
  table_full: [
    'missed',
    'mappings or descriptors waited for',
    'more than the interposer follows: unmapping, or an event of epoll or select, is not in the trace',
  ],
  damaged: ['lost', 'streams', 'the ring file is damaged there'],
};

export function lossesOf(status: RingStatus, discarded: number, failure: string | null): Loss[] {
  const found = Object.entries(lossTexts).flatMap(([name, [kind, what, detail]]): Loss[] => {
    const count = status[name] ?? 0;
    return count > 0 ? [{ what, count, detail, kind }] : [];
  });
  if (failure !== null)
    found.push({ what: 'calls', count: discarded, detail: `the trace could not grow (${failure})`, kind: 'lost' });
  return found;
}

export function countCalls(db: Database.Database): Omit<Counts, 'missed' | 'lost'> {
  const rows = db
    .prepare(
      `SELECT s.kind, s.op, s.request, n, open FROM site s
       JOIN (SELECT site, count(*) AS n, sum(dur IS NULL) AS open FROM event GROUP BY site) e ON e.site = s.id`,
    )
    .all() as { kind: number; op: number; request: number | null; n: number; open: number }[];
  const counts = { calls: 0, decoded: 0, raw: 0, unfinished: 0 };
  for (const r of rows) {
    if (noteOps.has(opName(r.op) ?? 'lost')) continue;
    const call = r.op === ops.ioctl ? callOf(kindName(r.kind), r.request ?? 0) : undefined;
    const known = r.op === ops.ioctl ? call !== undefined && call.arg.kind !== 'raw' : opName(r.op) !== undefined;
    counts.calls += r.n;
    counts[known ? 'decoded' : 'raw'] += r.n;
    if (r.op !== ops.exec) counts.unfinished += r.open; // exec returns only when it fails
  }
  return counts;
}

/** Accesses whose region was told later, or to another handle of the same open file, get it now. */
function placeRegions(db: Database.Database): void {
  const late = db
    .prepare(
      `SELECT s.id AS site, r.idx AS region, r.offset AS start, r.size AS size FROM site s
       JOIN handle h ON h.id = s.handle JOIN region r ON r.handle IN (h.id, h.alias)
       WHERE s.region IS NULL AND s.kind = ${fdKinds.device} AND r.size > 0
       AND s.op IN (${ops.pread}, ${ops.pwrite}, ${ops.mmap}, ${ops.load}, ${ops.store})`,
    )
    .safeIntegers()
    .all() as { site: bigint; region: bigint; start: bigint; size: bigint }[];
  const inside = db.prepare('SELECT 1 FROM event WHERE site = ? AND a >= ? AND a - ? < ? LIMIT 1');
  const copy = db.prepare(
    `INSERT INTO site SELECT NULL, thread, handle, kind, fd, op, request, feature, ?, length, flags FROM site WHERE id = ?`,
  );
  const move = db.prepare('UPDATE event SET site = ?, a = a - ? WHERE site = ? AND a >= ? AND a - ? < ?');
  for (const { site, region, start, size } of late) {
    if (inside.get(site, start, start, size) === undefined) continue;
    const made = copy.run(region, site).lastInsertRowid;
    move.run(made, start, site, start, start, size);
  }
}

function link(db: Database.Database, interrupts: Interrupts): Links['away'] {
  const { alias, closed, away } = findLinks(db, interruptRequests, interrupts.see);
  const setAlias = db.prepare('UPDATE handle SET alias = ? WHERE id = ?');
  const setClosed = db.prepare('UPDATE handle SET closed = ? WHERE id = ?');
  for (const [handle, original] of alias) setAlias.run(original, handle);
  for (const [handle, event] of closed) setClosed.run(event, handle);
  return away;
}

function nameDevices(db: Database.Database): Record<string, Device> {
  const handles = db.prepare(`SELECT id, path, name FROM handle WHERE kind = ${fdKinds.device}`).all() as {
    id: number;
    path: string | null;
    name: string | null;
  }[];
  const rename = db.prepare('UPDATE handle SET name = ? WHERE id = ?');
  // A device may have been opened a million times: asked for once.
  const names = new Map<string, string | null>();
  const named = (path: string): string | null => {
    let name = names.get(path);
    if (name === undefined) {
      name = cdevName(path);
      names.set(path, name);
    }
    return name;
  };
  const devices = new Map<string, Device | null>();
  for (const { id, path, name: given } of handles) {
    const name = given ?? (path ? named(path) : null);
    if (name === null) continue;
    if (given === null) rename.run(name, id);
    if (!devices.has(name)) devices.set(name, describeDevice(name));
  }
  return Object.fromEntries([...devices].filter((d): d is [string, Device] => d[1] !== null));
}

/** So many descriptors that went away are named one by one. */
const AWAY_NAMED = 16;

function awayTexts(db: Database.Database, away: Links['away']): { detail: string; count: number }[] {
  const name = db.prepare('SELECT coalesce(name, path, id) FROM handle WHERE id = ?').pluck();
  const named = away.slice(0, AWAY_NAMED).map(({ event, handle }) => ({
    detail: `${name.get(handle) ?? handle} went over a socket to a process that is not recorded (event ${event}): what is done with it there is not in the trace`,
    count: 1,
  }));
  const more = away.slice(AWAY_NAMED);
  const detail = `more went over sockets to processes that are not recorded (events ${more[0]?.event} to ${more.at(-1)?.event})`;
  return more.length > 0 ? [...named, { detail, count: more.length }] : named;
}

/** All but `state`, in one transaction. Adds to the losses what bypassed the trace. */
export function describe(db: Database.Database, losses: Loss[]): Counts {
  const sum = (kind: Loss['kind']): number => losses.filter((l) => l.kind === kind).reduce((n, l) => n + l.count, 0);
  return db.transaction(() => {
    db.exec(indexes.replaceAll('CREATE INDEX ', 'CREATE INDEX IF NOT EXISTS '));
    const interrupts = new Interrupts(db);
    const away = link(db, interrupts);
    placeRegions(db);
    const encoder = new Encoder({ useRecords: false });
    const context = db.prepare('INSERT OR REPLACE INTO context VALUES (?, ?)');
    const devices = nameDevices(db);
    const seen = new Set(losses.map((l) => l.detail));
    const miss = (what: string, detail: string, count = 1): void => {
      if (!seen.has(detail)) losses.push({ what, count, detail, kind: 'missed' });
    };
    for (const detail of interrupts.store()) miss('eventfd', detail);
    for (const { detail, count } of awayTexts(db, away)) miss('descriptor', detail, count);
    context.run('host', encoder.encode(describeHost()));
    if (Object.keys(devices).length > 0) context.run('devices', encoder.encode(devices));
    return putCounts(db, losses, { ...countCalls(db), missed: sum('missed'), lost: sum('lost') });
  })();
}

export function putCounts(db: Database.Database, losses: readonly Loss[], counts: Counts): Counts {
  db.exec('DELETE FROM loss');
  const put = db.prepare('INSERT INTO loss VALUES (?, ?, ?)');
  for (const l of losses) put.run(l.what, l.count, l.detail);
  setMeta(db, { ...counts });
  return counts;
}
