// Which open file is which: one that was passed over a socket, or inherited through exec, got a second number where it
// arrived. Follows every descriptor of every process through the trace once, at the recording's end.

import type Database from 'better-sqlite3';
import { ops, phases, wheres } from '../schema/event.ts';
import { fdKinds } from '../schema/kinds.ts';
import { codecs } from '../schema/trace.ts';
import { unpack } from '../traces/pack.ts';

export interface Step {
  readonly id: number;
  readonly t: number;
  readonly dur: number | null;
  readonly ret: number | null;
  readonly a: number | null;
  readonly op: number;
  readonly fd: number;
  readonly handle: number;
  readonly process: number;
  readonly request: number | null;
  /** Payload of the argument. */
  readonly inp: number | null;
}
interface Process {
  readonly id: number;
  readonly pid: number;
  readonly parent: number | null;
}
interface Passed {
  readonly event: number;
  readonly handle: number;
  readonly kind: number;
  readonly t: number;
}
export interface Links {
  /** handle → the handle that it is. */
  readonly alias: ReadonlyMap<number, number>;
  /** handle → event that closed its last descriptor. */
  readonly closed: ReadonlyMap<number, number>;
  /** Sent over a socket, and received by nobody who was recorded: not eventfds, which go to all sorts of processes. */
  readonly away: readonly { readonly event: number; readonly handle: number }[];
}

const followed = [ops.open, ops.close, ops.dup, ops.attach, ops.eventfd, ops.fork, ops.process, ops.fcntl, ops.kvm];

/** Descriptors of one process by number: handles. */
export type Table = ReadonlyMap<number, number>;

/** The steps that move descriptors, and those that name them: ioctls only where they made one or are `watched`. */
function steps(db: Database.Database, watched: readonly number[]): IterableIterator<Step> {
  return db
    .prepare(
      `SELECT e.id, e.t, e.dur, e.ret, e.a, s.op, s.fd, s.handle, s.request, e.inp, th.process
       FROM event e JOIN site s ON s.id = e.site JOIN thread th ON th.id = s.thread
       WHERE e.val IS NULL AND (e.site IN (SELECT id FROM site WHERE op IN (${followed})
         OR op = ${ops.ioctl} AND kind = ${fdKinds.device} AND request IN (${watched}))
         OR e.id IN (SELECT event FROM made)) ORDER BY e.id`,
    )
    .iterate() as IterableIterator<Step>;
}

/** The descriptors of one sendmsg or recvmsg: {s32 fd, u32 handle} each. */
function passedBy(db: Database.Database, op: number, phase: number, kinds: ReadonlyMap<number, number>): Passed[] {
  const rows = db
    .prepare(
      `SELECT e.id, e.t AS t, p.size, p.codec, p.data FROM event e JOIN memory m ON m.event = e.id AND m.at = ${wheres.ARRAY}
       AND m.phase = ${phase} JOIN payload p ON p.id = m.payload
       WHERE e.val IS NULL AND e.site IN (SELECT id FROM site WHERE op = ${op}) ORDER BY e.t`,
    )
    .all() as { id: number; t: number; size: number; codec: number; data: Buffer | null }[];
  return rows.flatMap(({ id, t, size, codec, data }) => {
    const bytes = codec === codecs.LZ4 && data ? unpack(data, size) : (data ?? Buffer.alloc(0));
    const list: Passed[] = [];
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      const handle = bytes.readUInt32LE(at + 4);
      if (handle) list.push({ event: id, handle, kind: kinds.get(handle) ?? fdKinds.unknown, t });
    }
    return list;
  });
}

/** First sent, first received, by kind: a socket keeps its messages' order, and each end sees its own. Returns what nobody received. */
function linkPassed(sent: readonly Passed[], received: readonly Passed[], alias: Map<number, number>): Passed[] {
  const byKind = new Map<number, { list: Passed[]; first: number }>();
  for (const s of sent) {
    const queue = byKind.get(s.kind) ?? { list: [], first: 0 };
    queue.list.push(s);
    byKind.set(s.kind, queue);
  }
  const arrived = new Set<Passed>();
  for (const r of received) {
    const queue = byKind.get(r.kind);
    if (!queue) continue;
    while (arrived.has(queue.list[queue.first] as Passed)) queue.first++;
    let at = queue.first;
    for (let s = queue.list[at]; s && (arrived.has(s) || s.handle === r.handle); ) s = queue.list[++at];
    const found = queue.list[at];
    if (!found) continue;
    arrived.add(found);
    if (!alias.has(r.handle)) alias.set(r.handle, found.handle);
  }
  return sent.filter((s) => !arrived.has(s));
}

/** Descriptor tables of all processes, event by event. */
class Tables {
  readonly alias = new Map<number, number>();
  readonly closed = new Map<number, number>();
  readonly #byProcess = new Map<number, Map<number, number>>();
  readonly #held = new Map<number, number>();
  readonly #processes: ReadonlyMap<number, Process>;
  readonly #kinds: ReadonlyMap<number, number>;
  readonly #latest = new Map<number, number>();

  constructor(processes: readonly Process[], kinds: ReadonlyMap<number, number>) {
    this.#processes = new Map(processes.map((p) => [p.id, p]));
    this.#kinds = kinds;
  }

  /** What a new process begins with: its own descriptors from before exec, else its parent's. */
  of(process: number): Map<number, number> {
    const known = this.#byProcess.get(process);
    if (known) return known;
    const row = this.#processes.get(process);
    const before = row && (this.#latest.get(row.pid) ?? this.#latest.get(row.parent ?? -1));
    const table = new Map<number, number>();
    for (const [fd, handle] of (before && this.#byProcess.get(before)) || []) this.put(table, fd, handle, 0);
    this.#byProcess.set(process, table);
    if (row) this.#latest.set(row.pid, process);
    return table;
  }

  put(table: Map<number, number>, fd: number, handle: number, event: number): void {
    this.drop(table, fd, event);
    table.set(fd, handle);
    this.#held.set(handle, (this.#held.get(handle) ?? 0) + 1);
    this.closed.delete(handle);
  }

  drop(table: Map<number, number>, fd: number, event: number): void {
    const handle = table.get(fd);
    if (handle === undefined) return;
    table.delete(fd);
    const left = (this.#held.get(handle) ?? 1) - 1;
    this.#held.set(handle, left);
    if (left === 0 && event) this.closed.set(handle, event);
  }

  /** A descriptor that was there already: what the process had under this number before exec, or its parent had. */
  attach(table: Map<number, number>, fd: number, handle: number, event: number): void {
    const before = table.get(fd);
    if (before !== undefined && before !== handle && this.#kinds.get(before) === this.#kinds.get(handle))
      this.alias.set(handle, this.alias.get(before) ?? before);
    this.put(table, fd, handle, event);
  }
}

/** `see`: told of each step that names descriptors without moving them (KVM's, and device ioctls `watched`). */
export function findLinks(
  db: Database.Database,
  watched: readonly number[] = [],
  see: (step: Step, table: Table) => void = () => {},
): Links {
  const handles = db.prepare('SELECT id, kind, fd FROM handle').all() as {
    id: number;
    kind: number;
    fd: number | null;
  }[];
  const kinds = new Map(handles.map((h) => [h.id, h.kind]));
  const fds = new Map(handles.map((h) => [h.id, h.fd]));
  const processes = db.prepare('SELECT id, pid, parent FROM process').all() as Process[];
  const made = new Map<number, number[]>();
  for (const m of db.prepare('SELECT event, handle FROM made').all() as { event: number; handle: number }[])
    made.set(m.event, [...(made.get(m.event) ?? []), m.handle]);

  const tables = new Tables(processes, kinds);
  const sent = passedBy(db, ops.sendmsg, phases.IN, kinds);
  const received = passedBy(db, ops.recvmsg, phases.OUT, kinds);
  const arrived = new Set(received.map((r) => r.handle));
  for (const step of steps(db, watched)) {
    const table = tables.of(step.process);
    if (step.op === ops.kvm || (step.op === ops.ioctl && step.request !== null && watched.includes(step.request)))
      see(step, table);
    if (step.op === ops.close) {
      if (step.ret !== null) tables.drop(table, step.fd, step.id);
    } else if (step.op === ops.dup || step.op === ops.fcntl) {
      // fcntl: only F_DUPFD answers with a descriptor, and those are recorded as dup.
      if (step.op === ops.dup && step.ret !== null && step.ret >= 0) {
        if (step.handle) tables.put(table, step.ret, step.handle, step.id);
        else tables.drop(table, step.ret, step.id);
      }
    } else {
      for (const handle of made.get(step.id) ?? []) {
        const fd = fds.get(handle) ?? step.fd;
        if (step.op === ops.attach && !arrived.has(handle)) tables.attach(table, fd, handle, step.id);
        else tables.put(table, fd, handle, step.id);
      }
    }
  }
  const away = linkPassed(sent, received, tables.alias).filter((p) => p.kind !== fdKinds.eventfd);
  return { alias: tables.alias, closed: tables.closed, away };
}
