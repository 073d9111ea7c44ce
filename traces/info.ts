// `info`: what a trace holds, on what host it was made, and what is not in it.

import { statSync } from 'node:fs';
import { noteOps, opName } from '../schema/event.ts';
import { type FdKind, kindName } from '../schema/kinds.ts';
import { callOf } from '../schema/surface.ts';
import type { Loss, Row } from './entities.ts';
import { jsonLine } from './format/json.ts';
import { hex, printable, seconds } from './format/scalar.ts';
import { type Interrupt, interruptsOf } from './interrupts.ts';
import type { Io } from './io.ts';
import { Names } from './names.ts';
import { Progress } from './progress.ts';
import { everything } from './range.ts';
import { bytes } from './states-text.ts';
import { tableText } from './table.ts';
import { openTrace, type Trace } from './trace.ts';

export interface Unknown {
  readonly kind: FdKind;
  readonly request: number;
  readonly calls: number;
}
export interface DeviceInfo {
  readonly handle: number;
  readonly name: string;
  readonly kind: FdKind;
  readonly calls: number;
  readonly failed: number;
}
export interface TraceInfo {
  readonly path: string;
  readonly format: number;
  readonly bytes: number;
  readonly events: number;
  /** Events but for the recorder's own notes. */
  readonly calls: number;
  /** ns from the first call to the end of the last. */
  readonly lasted: number;
  readonly meta: Record<string, string | number>;
  readonly processes: readonly { pid: number; parent: number | null; exe: string | null; threads: number }[];
  readonly devices: readonly DeviceInfo[];
  readonly regionAccesses: number;
  /** ioctls whose arguments the schema knows, those kept as bytes, and those of unknown requests. */
  readonly decoded: number;
  readonly raw: number;
  readonly unknown: readonly Unknown[];
  readonly failed: number;
  readonly unfinished: number;
  readonly losses: readonly Loss[];
  readonly interrupts: readonly Interrupt[];
  /** Memory that devices reach, as it was kept (--dma). */
  readonly dma: { readonly pages: number; readonly bytes: number };
  readonly context: Record<string, unknown>;
}

/** Events counted in one statement; between two the progress is shown. */
const STEP = 500_000;

interface SiteCount {
  readonly site: number;
  n: number;
  failed: number;
  unfinished: number;
  first: number;
  last: number;
}

/** ns from the first call's start to the last end. */
function spanOf(counts: ReadonlyMap<number, SiteCount>): number {
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const c of counts.values()) {
    first = Math.min(first, c.first);
    last = Math.max(last, c.last);
  }
  return counts.size > 0 ? last - first : 0;
}

/** How often each site occurs, and when. */
function countSites(trace: Trace, progress: (done: number) => void): Map<number, SiteCount> {
  const counts = new Map<number, SiteCount>();
  // From one id that exists to the next: those of a hostile trace may be far apart.
  const next = (id: number): number =>
    Number(trace.select('SELECT min(id) AS id FROM event WHERE id BETWEEN ? AND ?', id, everything.last)[0]?.id ?? 0);
  for (let from = next(1); from > 0; from = next(from + STEP)) {
    const rows = trace.select(
      `SELECT site, count(*) AS n, sum(ret < 0) AS failed, sum(dur IS NULL) AS unfinished, min(t) AS first,
       max(t + coalesce(dur, 0)) AS last FROM event WHERE id >= ? AND id < ? GROUP BY site`,
      from,
      from + STEP,
    ) as unknown as SiteCount[];
    for (const r of rows) {
      const c = counts.get(r.site);
      if (!c) counts.set(r.site, r);
      else {
        c.n += r.n;
        c.failed += r.failed;
        c.unfinished += r.unfinished;
        c.first = Math.min(c.first, r.first);
        c.last = Math.max(c.last, r.last);
      }
    }
    progress(from + STEP);
  }
  return counts;
}

export function traceInfo(trace: Trace, progress: (done: number) => void = () => {}): TraceInfo {
  const counted = countSites(trace, progress);
  const sites = trace.select('SELECT id, handle, kind, op, request, region, length FROM site').flatMap((s) => {
    const c = counted.get(Number(s.id));
    return c ? [{ ...s, ...c } as Row] : [];
  });
  const sum = (pick: (r: (typeof sites)[number]) => number): number => sites.reduce((n, r) => n + pick(r), 0);
  const unknown = new Map<string, { kind: FdKind; request: number; calls: number }>();
  const devices = new Map<number, { calls: number; failed: number }>();
  const counts = { decoded: 0, raw: 0 };
  for (const r of sites) {
    const n = Number(r.n);
    const kind = kindName(Number(r.kind));
    const handle = trace.resolve(Number(r.handle ?? 0));
    const device = devices.get(handle) ?? { calls: 0, failed: 0 };
    devices.set(handle, { calls: device.calls + n, failed: device.failed + Number(r.failed ?? 0) });
    if (opName(Number(r.op)) !== 'ioctl' || r.request === null) continue;
    const call = callOf(kind, Number(r.request));
    if (!call) {
      const key = `${kind}:${r.request}`;
      unknown.set(key, { kind, request: Number(r.request), calls: (unknown.get(key)?.calls ?? 0) + n });
    } else counts[call.arg.kind === 'raw' ? 'raw' : 'decoded'] += n;
  }
  const names = new Names(trace);
  const threads = [...trace.threads.values()];
  return {
    path: trace.path,
    format: trace.version,
    bytes: statSync(trace.path).size,
    events: trace.count(),
    calls: sum((r) => (noteOps.has(opName(Number(r.op)) ?? 'lost') ? 0 : Number(r.n))),
    lasted: spanOf(counted),
    meta: Object.fromEntries(trace.meta),
    processes: [...trace.processes.values()].map((p) => ({
      pid: p.pid,
      parent: p.parent,
      exe: p.exe,
      threads: threads.filter((t) => t.process === p.id).length,
    })),
    devices: [...devices].flatMap(([handle, counted]) => {
      const kind = trace.handles.get(handle)?.kind;
      return kind === undefined ? [] : [{ handle, name: names.handle(handle), kind, ...counted }];
    }),
    regionAccesses: sum((r) => (r.region !== null && opName(Number(r.op)) !== 'ioctl' ? Number(r.n) : 0)),
    ...counts,
    unknown: [...unknown.values()],
    failed: sum((r) => Number(r.failed ?? 0)),
    unfinished: sum((r) => Number(r.unfinished ?? 0)),
    losses: trace.losses,
    interrupts: interruptsOf(trace),
    dma: {
      pages: sum((r) => (opName(Number(r.op)) === 'dma' ? Number(r.n) : 0)),
      bytes: sum((r) => (opName(Number(r.op)) === 'dma' ? Number(r.n) * Number(r.length) : 0)),
    },
    context: Object.fromEntries(trace.contextKeys().map((key) => [key, trace.context(key)])),
  };
}

export function info(options: { readonly path: string; readonly json: boolean }, io: Io): void {
  const trace = openTrace(options.path);
  try {
    const progress = new Progress(io, 'counting', trace.count());
    const found = traceInfo(trace, (done) => progress.update(done));
    progress.end();
    io.out(options.json ? jsonLine(found) : infoText(found));
  } finally {
    trace.close();
  }
}

function infoText(t: TraceInfo): string {
  const unknown = t.unknown.reduce((n, u) => n + u.calls, 0);
  const sections = [
    t.losses.length > 0
      ? `NOT COMPLETE:\n${t.losses.map((l) => `  ${l.count} ${printable(l.what)}${l.detail ? `: ${printable(l.detail)}` : ''}\n`).join('')}`
      : '',
    `${t.path}: ${t.calls} calls over ${seconds(t.lasted)} s, ${bytes(t.bytes) || '0 B'}, trace format ${t.format}\n` +
      `  ioctls decoded ${t.decoded}, kept as bytes ${t.raw}, unknown ${unknown}; region accesses ${t.regionAccesses}; ` +
      `failed ${t.failed}; never returned ${t.unfinished}\n` +
      t.unknown.map((u) => `  unknown: ${hex(u.request)} on ${u.kind}, ${u.calls} times\n`).join('') +
      (t.losses.length === 0 ? '  nothing lost\n' : ''),
    `recording\n${recordingText(t.meta)}`,
    `processes\n${indent(
      tableText(
        ['pid', 'parent', 'threads', 'program'],
        t.processes.map((p) => [p.pid, p.parent, p.threads, p.exe]),
      ),
    )}`,
    `files\n${indent(
      tableText(
        ['handle', 'kind', 'calls', 'failed', 'name'],
        t.devices.map((d) => [d.handle, d.kind, d.calls, d.failed, d.name]),
      ),
    )}`,
    interruptsText(t.interrupts),
    t.dma.pages > 0 ? `DMA memory\n  ${t.dma.pages} pages that had changed, ${bytes(t.dma.bytes)}\n` : '',
    ...Object.entries(t.context).map(([key, value]) => `${printable(key)}\n${nested(value, 1)}`),
  ];
  return sections.filter(Boolean).join('\n');
}

/** Vectors said; a device may have 2048. */
const VECTORS = 32;

function interruptsText(interrupts: readonly Interrupt[]): string {
  if (interrupts.length === 0) return '';
  const table = tableText(
    ['device', 'irq', 'vector', 'from', 'to', 'reads', 'signals', ''],
    interrupts
      .slice(0, VECTORS)
      .map((i) => [
        ...[i.device, i.irq ?? i.armed_by, i.vector, i.first, i.last ?? '', i.reads, i.signals],
        i.bypass === null ? '' : 'not all in the trace',
      ]),
  );
  const rest = interrupts.length - VECTORS;
  return `interrupts\n${indent(table)}${rest > 0 ? `  and ${rest} more: SELECT * FROM interrupt\n` : ''}`;
}

const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');
/** Said elsewhere in the text, or only of use to programs. */
const unsaid = new Set(['calls', 'decoded', 'raw', 'unfinished', 'missed', 'lost', 'state', 'cmdline', 'clock_hz']);
const first = ['program', 'argv', 'cwd', 'started', 'ended', 'exit', 'signal', 'mmio', 'dma', 'payload'];

function recordingText(meta: Record<string, string | number>): string {
  const keys = [...first, ...Object.keys(meta).filter((k) => !first.includes(k))];
  return keys
    .filter((k) => meta[k] !== undefined && meta[k] !== '' && !unsaid.has(k))
    .map((k) => `  ${printable(k)}: ${printable(metaText(k, meta[k] ?? ''))}\n`)
    .join('');
}

/** `started` and `ended` are CLOCK_REALTIME ns. */
function metaText(key: string, value: string | number): string {
  const date = new Date(Number(value) / 1e6);
  const isTime = (key === 'started' || key === 'ended') && !Number.isNaN(date.getTime());
  if (key === 'dma' && value === 'none') return 'none: what devices and program write to memory is not in the trace';
  return isTime ? date.toISOString() : String(value);
}

/** A decoded CBOR value as indented lines; deep or long ones are cut, `--json` has them whole. */
function nested(value: unknown, depth: number): string {
  const pad = '  '.repeat(depth);
  if (depth > 6) return `${pad}…\n`;
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return `${pad}${leaf(value)}\n`;
  return Object.entries(value)
    .slice(0, 100)
    .map(([k, v]) =>
      typeof v === 'object' && v !== null && !(v instanceof Uint8Array)
        ? `${pad}${printable(k)}:\n${nested(v, depth + 1)}`
        : `${pad}${printable(k)}: ${leaf(v)}\n`,
    )
    .join('');
}

function leaf(value: unknown): string {
  const text = value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value);
  return printable(text.length > 200 ? `${text.slice(0, 200)}… ${text.length} characters` : text);
}
