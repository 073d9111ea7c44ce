// One row of `event` as a TraceEvent. Numbers are there at once; bytes and wide integers are fetched when asked for,
// because most readers of most events do not ask.

import type { Call } from '../schema/call.ts';
import { TraceError } from '../schema/errors.ts';
import { type Op, opName, recordFlags } from '../schema/event.ts';
import { type FdKind, kindName } from '../schema/kinds.ts';
import { callOf } from '../schema/surface.ts';
import type { Memory, TraceEvent } from './event.ts';

/** A row of `site` with its thread and process, handles resolved. */
export interface Site {
  readonly id: number;
  readonly op: Op;
  readonly process: number;
  readonly thread: number;
  readonly pid: number;
  readonly tid: number;
  readonly fd: number;
  readonly kind: FdKind;
  readonly handle: number;
  readonly request: number | null;
  readonly call: Call | undefined;
  readonly feature: number | null;
  readonly region: number | null;
  readonly length: number | null;
  readonly flags: number;
}

export type SiteRow = Readonly<Record<keyof Omit<Site, 'call' | 'process'> | 'process', number | null>>;

export function siteOf(row: SiteRow, resolve: (handle: number) => number): Site {
  const kind = kindName(row.kind ?? -1);
  return {
    id: row.id ?? 0,
    op: opName(row.op ?? 0) ?? 'lost',
    process: row.process ?? 0,
    thread: row.thread ?? 0,
    pid: row.pid ?? 0,
    tid: row.tid ?? 0,
    fd: row.fd ?? -1,
    kind,
    handle: resolve(row.handle ?? 0),
    request: row.request,
    call: row.request === null ? undefined : callOf(kind, row.request),
    feature: row.feature,
    region: row.region,
    length: row.length,
    flags: row.flags ?? 0,
  };
}

/** Where an event's bytes come from: the events read together, so that side tables are read once for all of them. */
export interface Source {
  payload(id: number): Buffer | null;
  memory(event: number): readonly Memory[];
  made(event: number): number;
}

/** id, site, t, dur, ret, inp, outp; a, val: as text where a double is not exact. */
export type EventRow = [number, number, number, number | null, number | null, number | null, number | null, Wide, Wide];
export type Wide = number | string | null;
const wideSql = (column: string): string =>
  `CASE WHEN ${column} BETWEEN -9007199254740991 AND 9007199254740991 THEN ${column} ELSE CAST(${column} AS TEXT) END`;
export const eventColumns = `e.id, e.site, e.t, e.dur, e.ret, e.inp, e.outp, ${wideSql('e.a')}, ${wideSql('e.val')}`;

function unsigned(x: Wide, event: number): bigint | null {
  if (x === null) return null;
  try {
    return BigInt.asUintN(64, BigInt(x));
  } catch {
    throw new TraceError('CORRUPT', `event ${event} has a value that is no integer: the trace is damaged`);
  }
}
const nullable = (x: unknown): boolean => x === null || typeof x === 'number';
const readers: ReadonlySet<Op> = new Set(['pread', 'read', 'load']);
const writers: ReadonlySet<Op> = new Set(['pwrite', 'write', 'store']);

export class RowEvent implements TraceEvent {
  readonly id: number;
  readonly t: number;
  readonly dur: number | null;
  readonly ret: number | null;
  readonly #site: Site;
  readonly #source: Source;
  readonly #row: EventRow;

  constructor(row: EventRow, site: Site, source: Source) {
    if (typeof row[2] !== 'number' || !nullable(row[3]) || !nullable(row[4]) || !nullable(row[5]) || !nullable(row[6]))
      throw new TraceError('CORRUPT', `event ${row[0]} has a field that is no integer: the trace is damaged`);
    this.id = row[0];
    this.t = row[2];
    this.dur = row[3];
    this.ret = row[4];
    this.#row = row;
    this.#site = site;
    this.#source = source;
  }

  get op(): Op {
    return this.#site.op;
  }
  get process(): number {
    return this.#site.process;
  }
  get thread(): number {
    return this.#site.thread;
  }
  get pid(): number {
    return this.#site.pid;
  }
  get tid(): number {
    return this.#site.tid;
  }
  get fd(): number {
    return this.#site.fd;
  }
  get kind(): FdKind {
    return this.#site.kind;
  }
  get handle(): number {
    return this.#site.handle;
  }
  get request(): number | null {
    return this.#site.request;
  }
  get call(): Call | undefined {
    return this.#site.call;
  }
  get feature(): number | null {
    return this.#site.feature;
  }
  get region(): number | null {
    return this.#site.region;
  }
  get length(): number | null {
    return this.#site.length;
  }
  get flags(): number {
    return this.#site.flags;
  }
  get a(): bigint | null {
    return unsigned(this.#row[7], this.id);
  }
  get val(): bigint | null {
    const val = unsigned(this.#row[8], this.id);
    // Stored as a signed integer of its width.
    const width = (readers.has(this.op) ? this.ret : this.length) ?? 8;
    return val === null || width <= 0 || width >= 8 ? val : BigInt.asUintN(8 * width, val);
  }
  get input(): Buffer | null {
    return this.#bytes(this.#row[5]) ?? this.#inline(writers, this.length);
  }
  get output(): Buffer | null {
    // The recorder leaves out an argument that the call did not change.
    const after = this.#row[6] ?? (this.op === 'ioctl' && this.ret !== null ? this.#row[5] : null);
    return this.#bytes(after) ?? this.#inline(readers, this.ret);
  }
  get memory(): readonly Memory[] {
    return this.#source.memory(this.id);
  }
  get made(): number {
    return this.#source.made(this.id);
  }

  #bytes(payload: number | null): Buffer | null {
    return payload === null ? null : this.#source.payload(payload);
  }

  /** The bytes kept in `val` (recordFlags.INLINE): what a read gave, what a write was given. */
  #inline(ops: ReadonlySet<Op>, length: number | null): Buffer | null {
    const val = this.val;
    if (val === null || !ops.has(this.op) || !(this.flags & recordFlags.INLINE)) return null;
    if (length === null || length < 0) return null;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(val);
    return bytes.subarray(0, Math.min(8, length));
  }
}

/** An event as an object of its own, whose fields outlive the trace and can be spread. */
export function plain(e: TraceEvent): TraceEvent {
  const { id, t, dur, op, process, thread, pid, tid, fd, kind, handle, request, call, feature, region } = e;
  const { a, length, flags, ret, val, input, output, memory, made } = e;
  return {
    ...{ id, t, dur, op, process, thread, pid, tid, fd, kind, handle, request, call, feature, region },
    ...{ a, length, flags, ret, val, input, output, memory, made },
  };
}
