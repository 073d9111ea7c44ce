// What a trace holds besides its events: handles, processes, threads, regions, losses.

import { type FdKind, kindName } from '../schema/kinds.ts';

/** An open file of the program's. */
export interface Handle {
  readonly id: number;
  readonly kind: FdKind;
  readonly process: number | null;
  readonly fd: number | null;
  readonly path: string | null;
  /** The device's name as given to VFIO_GROUP_GET_DEVICE_FD. */
  readonly name: string | null;
  /** Handle of the group, container or device that it was made by. */
  readonly parent: number | null;
  /** The same open file's number elsewhere. */
  readonly alias: number | null;
  /** Events. */
  readonly opened: number | null;
  readonly closed: number | null;
}

export interface Process {
  readonly id: number;
  readonly pid: number;
  readonly parent: number | null;
  readonly exe: string | null;
  /** ns since the recording's start. */
  readonly t: number | null;
  readonly exit: number | null;
}

export interface Thread {
  readonly id: number;
  readonly process: number;
  readonly tid: number;
  readonly level: number;
  readonly stream: number;
}

/** A device's region as GET_REGION_INFO told it. */
export interface Region {
  readonly handle: number;
  readonly index: number;
  readonly flags: number;
  readonly size: bigint;
  readonly offset: bigint;
  readonly type: number | null;
  readonly subtype: number | null;
}

/** What somebody wrote beside the calls. */
export interface Mark {
  /** ns since the recording's start. */
  readonly t: number;
  readonly text: string;
}

export interface Loss {
  readonly what: string;
  readonly count: number;
  readonly detail: string | null;
}

export type Row = Readonly<Record<string, unknown>>;
const int = (x: unknown): number | null => (typeof x === 'number' ? x : typeof x === 'bigint' ? Number(x) : null);
const text = (x: unknown): string | null => (typeof x === 'string' ? x : null);
const wide = (x: unknown): bigint =>
  typeof x === 'bigint' ? BigInt.asUintN(64, x) : typeof x === 'number' ? BigInt(Math.trunc(x)) : 0n;

export const handleOf = (r: Row): Handle => ({
  id: int(r.id) ?? 0,
  kind: kindName(int(r.kind) ?? -1),
  process: int(r.process),
  fd: int(r.fd),
  path: text(r.path),
  name: text(r.name),
  parent: int(r.parent),
  alias: int(r.alias),
  opened: int(r.opened),
  closed: int(r.closed),
});
export const processOf = (r: Row): Process => ({
  id: int(r.id) ?? 0,
  pid: int(r.pid) ?? 0,
  parent: int(r.parent),
  exe: text(r.exe),
  t: int(r.t),
  exit: int(r.exit),
});
export const threadOf = (r: Row): Thread => ({
  id: int(r.id) ?? 0,
  process: int(r.process) ?? 0,
  tid: int(r.tid) ?? 0,
  level: int(r.level) ?? 0,
  stream: int(r.stream) ?? 0,
});
export const regionOf = (r: Row): Region => ({
  handle: int(r.handle) ?? 0,
  index: int(r.idx) ?? 0,
  flags: int(r.flags) ?? 0,
  size: wide(r.size),
  offset: wide(r.offset),
  type: int(r.type),
  subtype: int(r.subtype),
});
export const markOf = (r: Row): Mark => ({ t: int(r.t) ?? 0, text: text(r.text) ?? '' });
export const lossOf = (r: Row): Loss => ({
  what: text(r.what) ?? String(r.what),
  count: int(r.count) ?? 0,
  detail: text(r.detail),
});
