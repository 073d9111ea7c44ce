// The same calls read from a trace by SQL alone, so that a fault of the trace's readers cannot hide one of the recorder.
import Database from 'better-sqlite3';

import type { Call } from './strace.ts';

const VFIO_KINDS = ['container', 'group', 'device', 'data', 'iommufd'];
const OPS = ['ioctl', 'pread', 'pwrite', 'read', 'write', 'open', 'close', 'dup', 'mmap'];
/** close() of one descriptor; what close_range() closed is marked 1 in the event's argument. */
const CLOSE_RANGE = 1;

interface Row {
  tid: number;
  op: string;
  kind: string | null;
  fd: number;
  request: number | null;
  a: number | null;
  ret: number | null;
}

/** The calls on VFIO files in the order in which each thread made them. */
export function traceCalls(path: string): Call[] {
  const db = new Database(path, { readonly: true });
  try {
    const rows = db
      .prepare(
        `SELECT th.tid, o.name AS op, k.name AS kind, s.fd, s.request, e.a, e.ret
         FROM event e JOIN site s ON s.id = e.site JOIN thread th ON th.id = s.thread
         JOIN op_name o ON o.op = s.op LEFT JOIN kind_name k ON k.kind = s.kind ORDER BY e.t, e.id`,
      )
      .all() as Row[];
    return rows
      .filter((r) => OPS.includes(r.op) && VFIO_KINDS.includes(r.kind ?? ''))
      .filter((r) => !(r.op === 'close' && r.a === CLOSE_RANGE))
      .map((r) => ({
        tid: r.tid,
        op: r.op,
        fd: r.op === 'open' ? null : r.fd,
        request: r.op === 'ioctl' ? r.request : null,
        ret: r.ret,
      }));
  } finally {
    db.close();
  }
}
