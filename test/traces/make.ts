// Traces made row by row through the format's own DDL, for tests of the readers.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { request } from '../../schema/call.ts';
import { errnos } from '../../schema/errno.ts';
import { type Op, ops } from '../../schema/event.ts';
import { type FdKind, fdKinds } from '../../schema/kinds.ts';
import { calls } from '../../schema/surface.ts';
import { APPLICATION_ID, codecs, ddl, FORMAT_VERSION, indexes, names, views } from '../../schema/trace.ts';

export interface EventSpec {
  readonly op?: Op;
  readonly thread?: number;
  readonly handle?: number;
  readonly kind?: FdKind;
  readonly fd?: number;
  /** An ioctl's name: stands for op, kind (unless given) and request. */
  readonly name?: string;
  readonly request?: number;
  readonly feature?: number;
  readonly region?: number;
  readonly length?: number;
  readonly flags?: number;
  readonly t?: number;
  readonly dur?: number | null;
  readonly a?: bigint | number | null;
  readonly ret?: number | null;
  readonly val?: bigint | number | null;
  readonly input?: Buffer;
  readonly output?: Buffer;
  readonly memory?: readonly { at: number; phase: 0 | 1; bytes: Buffer; total?: number }[];
  readonly made?: { handle: number; kind: FdKind };
}

export class TraceMaker {
  readonly db: Database.Database;
  #t = 0;
  readonly #sites = new Map<string, number>();

  constructor(path: string) {
    this.db = new Database(path);
    this.db.pragma(`application_id = ${APPLICATION_ID}`);
    this.db.pragma(`user_version = ${FORMAT_VERSION}`);
    this.db.exec('BEGIN');
    this.db.exec(ddl + views);
    const n = names();
    const fill = (sql: string, rows: readonly unknown[][]): void => {
      const insert = this.db.prepare(sql);
      for (const row of rows) insert.run(...row);
    };
    fill('INSERT INTO op_name VALUES (?, ?)', n.ops);
    fill('INSERT INTO kind_name VALUES (?, ?)', n.kinds);
    fill('INSERT INTO request_name VALUES (?, ?, ?)', n.requests);
    fill('INSERT INTO feature_name VALUES (?, ?)', n.features);
    fill('INSERT INTO errno_name VALUES (?, ?)', errnos());
    this.process(1, 100, '/usr/bin/client');
    this.thread(1, 1, 100);
  }

  meta(key: string, value: string | number): this {
    this.db.prepare('INSERT INTO meta VALUES (?, ?)').run(key, value);
    return this;
  }

  process(id: number, pid: number, exe: string): this {
    this.db.prepare('INSERT INTO process VALUES (?, ?, 1, ?, 0, 0)').run(id, pid, exe);
    return this;
  }

  thread(id: number, process: number, tid: number): this {
    this.db.prepare('INSERT INTO thread VALUES (?, ?, ?, 0, ?)').run(id, process, tid, id);
    return this;
  }

  handle(
    id: number,
    kind: FdKind,
    more: { fd?: number; path?: string; name?: string; parent?: number; alias?: number } = {},
  ): this {
    const { fd = null, path = null, name = null, parent = null, alias = null } = more;
    this.db
      .prepare('INSERT INTO handle VALUES (?, ?, 1, ?, ?, ?, ?, ?, NULL, NULL)')
      .run(id, fdKinds[kind], fd, path, name, parent, alias);
    return this;
  }

  region(
    handle: number,
    index: number,
    more: { size?: bigint; offset?: bigint; type?: number; subtype?: number } = {},
  ): this {
    const { size = 0x1000n, offset = BigInt(index) << 40n, type = null, subtype = null } = more;
    this.db.prepare('INSERT INTO region VALUES (?, ?, 3, ?, ?, ?, ?)').run(handle, index, size, offset, type, subtype);
    return this;
  }

  loss(what: string, count: number, detail: string): this {
    this.db.prepare('INSERT INTO loss VALUES (?, ?, ?)').run(what, count, detail);
    return this;
  }

  payload(bytes: Buffer): number {
    const { lastInsertRowid } = this.db
      .prepare('INSERT INTO payload (hash, size, codec, data) VALUES (NULL, ?, ?, ?)')
      .run(bytes.length, codecs.RAW, bytes);
    return Number(lastInsertRowid);
  }

  /** Adds the event and returns its id. */
  event(e: EventSpec): number {
    const call = e.name === undefined ? undefined : calls.find((c) => c.name === e.name);
    if (e.name !== undefined && !call) throw new Error(`no call ${e.name}`);
    const kind = e.kind ?? (call?.kind as FdKind | undefined) ?? 'device';
    const op = ops[e.op ?? 'ioctl'];
    const req = e.request ?? (call ? request(call.nr) : null);
    const key = [e.thread ?? 1, e.handle ?? 0, fdKinds[kind], e.fd ?? 3, op, req, e.feature ?? null];
    const site = this.#site([...key, e.region ?? null, e.length ?? null, e.flags ?? 0]);
    const t = e.t ?? this.#t;
    const dur = e.dur === undefined ? 500 : e.dur;
    this.#t = t + 1000;
    const inp = e.input ? this.payload(e.input) : null;
    const outp = e.output ? this.payload(e.output) : null;
    const ret = e.ret === undefined ? 0 : e.ret;
    const val = e.val === undefined || e.val === null ? null : BigInt.asIntN(64, BigInt(e.val));
    const { lastInsertRowid } = this.db
      .prepare('INSERT INTO event (site, t, dur, a, ret, val, inp, outp) VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
      .run(site, t, dur, e.a ?? null, ret, val, inp, outp);
    const id = Number(lastInsertRowid);
    for (const m of e.memory ?? [])
      this.db
        .prepare('INSERT INTO memory VALUES (?, ?, ?, ?, ?)')
        .run(id, m.at, m.phase, this.payload(m.bytes), m.total ?? m.bytes.length);
    if (e.made) this.db.prepare('INSERT INTO made VALUES (?, ?, ?)').run(id, e.made.handle, fdKinds[e.made.kind]);
    return id;
  }

  finish(): void {
    this.db.exec(indexes);
    this.db.exec('COMMIT');
    this.db.close();
  }

  #site(row: (number | null)[]): number {
    const key = row.join();
    const known = this.#sites.get(key);
    if (known) return known;
    const id = this.#sites.size + 1;
    this.db.prepare('INSERT INTO site VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)').run(id, ...row);
    this.#sites.set(key, id);
    return id;
  }
}

/** Runs `body` with the path of a new directory, which is gone afterwards. */
export function inTemporary<T>(body: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-test-'));
  const clean = (): void => rmSync(dir, { recursive: true, force: true });
  let result: T;
  try {
    result = body(dir);
  } catch (error) {
    clean();
    throw error;
  }
  if (result instanceof Promise) return result.finally(clean) as T;
  clean();
  return result;
}
