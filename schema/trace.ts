// The trace at rest: one SQLite file. Integers only in `event`; bytes once in `payload`; names in views.

import { request } from './call.ts';
import { pciIrqs } from './device.ts';
import { ops } from './event.ts';
import { features } from './features.ts';
import { fdKinds } from './kinds.ts';
import { calls } from './surface.ts';

export const APPLICATION_ID = 0x56525254; // "VRRT"
/** One row a version; every reader reads all of them. A change of the DDL below adds a row (a test hashes it). */
export const versions = [
  { version: 1, change: 'initial' },
  { version: 2, change: 'table mark; loss PAUSED' },
  {
    version: 3,
    change: 'table armed; notes of KVM and of DMA memory; losses DMA_LIMIT, DMA_GONE, UNREADABLE, RAW_* and TABLE_FULL',
  },
] as const;
export const FORMAT_VERSION = versions.length;
/** Tables that not every version has, and the first that does. */
export const addedTables: Readonly<Record<string, number>> = { mark: 2, armed: 3 };

export const codecs = {
  RAW: 0,
  LZ4: 1,
  /** Only the hash was kept (--payload=hash). */ HASH: 2,
  /** Nothing was kept (--payload=none). */ NONE: 3,
} as const;

export const ddl = `
-- What the recording is: format, tool, host, program, options, counts. Text or integer.
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
-- A process that was recorded; threads of it. t in ns since the recording's start.
CREATE TABLE process (id INTEGER PRIMARY KEY, pid INT, parent INT, exe TEXT, t INT, exit INT);
CREATE TABLE thread (id INTEGER PRIMARY KEY, process INT, tid INT, level INT, stream INT);
-- An open file of the program's: opened and closed are events. alias: the handle that the same open file has elsewhere
-- (passed over a socket, inherited through exec). name: the device's name given to GET_DEVICE_FD.
CREATE TABLE handle (id INTEGER PRIMARY KEY, kind INT, process INT, fd INT, path TEXT, name TEXT, parent INT, alias INT, opened INT, closed INT);
CREATE TABLE region (handle INT, idx INT, flags INT, size INT, offset INT, type INT, subtype INT, PRIMARY KEY (handle, idx)) WITHOUT ROWID;
-- What many events have in common. request: ioctl. feature: flags of VFIO_DEVICE_FEATURE. region: index, if known.
-- length: bytes asked for (reads, writes). flags: recordFlags.
CREATE TABLE site (id INTEGER PRIMARY KEY, thread INT, handle INT, kind INT, fd INT, op INT, request INT, feature INT, region INT, length INT, flags INT);
-- One row a call, in the order in which the calls returned. t: entered, ns since start; dur: ns, NULL: never returned.
-- a: offset in the region (file offset where region is NULL); ioctl: its argument where that is a number or could not be
-- read; other calls: the record's a (schema/event.ts), whose b is the site's length.
-- ret: result, -errno on failure. val: the bytes (at most 8) read or written, little-endian, as a signed integer of that width.
-- inp, outp: payload before and after.
CREATE TABLE event (id INTEGER PRIMARY KEY, site INT, t INT, dur INT, a INT, ret INT, val INT, inp INT, outp INT);
-- Bytes behind a pointer inside the argument. at: offset of the pointer's field, or a wheres number; phase 0 in, 1 out.
CREATE TABLE memory (event INT, at INT, phase INT, payload INT, total INT);
-- A handle that a call made.
CREATE TABLE made (event INT, handle INT, kind INT);
-- Bytes, once each. hash: XXH3 128. codec: 0 raw, 1 lz4 block, 2 hash only, 3 nothing.
CREATE TABLE payload (id INTEGER PRIMARY KEY, hash BLOB, size INT, codec INT, data BLOB);
-- What somebody wrote beside the calls (ctl mark). t: ns since the recording's start.
CREATE TABLE mark (t INT, text TEXT);
-- Eventfds that devices signal (SET_IRQS, IOEVENTFD, wakeup): from event first to event last (NULL: to the end). idx, vector:
-- IRQ index and subindex; idx NULL: armed by another call than SET_IRQS. action: flags of SET_IRQS. bypass: why signals
-- are not in the trace.
CREATE TABLE armed (id INTEGER PRIMARY KEY, device INT, idx INT, vector INT, action INT, eventfd INT, first INT, last INT, bypass TEXT);
-- What was not kept, and why.
CREATE TABLE loss (what TEXT, count INT, detail TEXT);
-- Irregular, rare: device description, reports (CBOR).
CREATE TABLE context (key TEXT PRIMARY KEY, cbor BLOB) WITHOUT ROWID;
-- Where the drain is in each segment, by ticket; empty in a finished trace. state 0: drained up to bytes; 1: read to its
-- end; 2: the call entered at bytes had not returned when what follows it was drained.
CREATE TABLE drained (ticket INT, bytes INT, state INT);
-- Names.
CREATE TABLE op_name (op INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE kind_name (kind INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE request_name (kind INT, request INT, name TEXT, PRIMARY KEY (kind, request)) WITHOUT ROWID;
CREATE TABLE feature_name (feature INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE errno_name (errno INTEGER PRIMARY KEY, name TEXT);
`;

const irqCase = `CASE a.idx ${Object.entries(pciIrqs)
  .map(([name, idx]) => `WHEN ${idx} THEN '${name}'`)
  .join(' ')} ELSE a.idx END`;

export const views = `
CREATE VIEW call AS
SELECT e.id, e.t / 1e9 AS seconds, e.dur / 1e3 AS microseconds, p.pid, th.tid, s.fd, k.name AS kind, s.handle,
  coalesce(h.name, h.path) AS device,
  CASE WHEN s.op = ${ops.ioctl} THEN coalesce(r.name || coalesce(' ' || f.name, ''), printf('ioctl 0x%x', s.request)) ELSE o.name END AS name,
  s.region, e.a AS offset, s.length, e.val & ((1 << 8 * s.length) - 1) AS value, e.ret AS result, en.name AS error, e.inp AS input, e.outp AS output
FROM event e JOIN site s ON s.id = e.site
LEFT JOIN thread th ON th.id = s.thread LEFT JOIN process p ON p.id = th.process
LEFT JOIN handle h ON h.id = s.handle
LEFT JOIN op_name o ON o.op = s.op LEFT JOIN kind_name k ON k.kind = s.kind
LEFT JOIN request_name r ON r.kind = s.kind AND r.request = s.request
LEFT JOIN feature_name f ON f.feature = s.feature & 65535
LEFT JOIN errno_name en ON e.ret < 0 AND en.errno = -e.ret;
-- Which calls, how often, how long, which failed.
CREATE VIEW call_summary AS
SELECT name, kind, count(*) AS calls, sum(result < 0) AS failed, sum(result IS NULL) AS unfinished,
  round(sum(microseconds), 1) AS total_us, round(avg(microseconds), 2) AS mean_us, round(max(microseconds), 1) AS max_us
FROM call GROUP BY name, kind ORDER BY calls DESC;
CREATE VIEW ioctl_summary AS SELECT * FROM call_summary WHERE name LIKE 'VFIO%' OR name LIKE 'IOMMU%' OR name LIKE 'ioctl 0x%';
CREATE VIEW failed_call AS SELECT * FROM call WHERE result < 0;
CREATE VIEW region_summary AS
SELECT device, region, name, length, count(*) AS calls, min(offset) AS first, max(offset) AS last, sum(result < 0) AS failed
FROM call WHERE region IS NOT NULL GROUP BY device, region, name, length;
-- Each eventfd that a device was given: how many signals the program took from it by reading, when first and last.
CREATE VIEW interrupt AS
SELECT coalesce(d.name, d.path) AS device, ${irqCase} AS irq, a.vector, b.name AS armed_by, a.eventfd, a.first, a.last,
  count(e.id) AS reads, coalesce(sum(e.val), 0) AS signals, min(e.t) / 1e9 AS first_seconds, max(e.t) / 1e9 AS last_seconds, a.bypass
FROM armed a JOIN handle d ON d.id = a.device
LEFT JOIN call b ON b.id = a.first
LEFT JOIN handle h ON a.eventfd IN (h.id, h.alias)
LEFT JOIN site s ON s.handle = h.id AND s.op = ${ops.read} AND s.kind = ${fdKinds.eventfd}
LEFT JOIN event e ON e.site = s.id AND e.ret > 0 AND e.id > a.first
  AND e.id < coalesce((SELECT min(n.first) FROM armed n WHERE n.eventfd = a.eventfd AND n.first > a.first), e.id + 1)
GROUP BY a.id;
`;

export const indexes = `
-- Region accesses are left out: they are many, and an index of them would double the file. Order by id is order in time.
CREATE INDEX event_site ON event (site) WHERE val IS NULL;
CREATE INDEX memory_event ON memory (event);
CREATE INDEX made_event ON made (event);
`;

/** Rows of the name tables. Containers' requests are names on an iommufd too (iommufd_vfio_ioctl). */
export function names(): {
  ops: [number, string][];
  kinds: [number, string][];
  requests: [number, number, string][];
  features: [number, string][];
} {
  const requests = calls.flatMap((c): [number, number, string][] => {
    if (c.kind === 'spapr') return [];
    const row: [number, number, string] = [fdKinds[c.kind], request(c.nr), c.name];
    return c.kind === 'container' ? [row, [fdKinds.iommufd, request(c.nr), c.name]] : [row];
  });
  return {
    ops: Object.entries(ops).map(([name, nr]) => [nr, name]),
    kinds: Object.entries(fdKinds).map(([name, nr]) => [nr, name]),
    requests,
    features: features.map((f) => [f.id, f.name]),
  };
}
