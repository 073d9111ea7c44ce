// A trace as answers to look up: which calls were made on which open file, in which order, and what else happened between.

import { dmaPoints, recordFlags } from '../../schema/event.ts';
import type { TraceEvent } from '../../traces/event.ts';
import type { Trace } from '../../traces/trace.ts';
import { type Page, PageVersions } from './dma.ts';

/** Calls that the play server answers. Others (poll, dup, close …) the program makes on real descriptors. */
const answered: ReadonlySet<string> = new Set([
  ...['ioctl', 'pread', 'pwrite', 'read', 'write', 'mmap'],
  ...['load', 'store'], // of a trapped mapping: they come as reads and writes of the device file
]);
const played: ReadonlySet<string> = new Set(['container', 'group', 'device', 'data', 'iommufd', 'pgfault', 'veventq']);

const DMA_MAPS: ReadonlySet<string> = new Set(['VFIO_IOMMU_MAP_DMA', 'IOMMU_IOAS_MAP']);

/** What a call is looked up by: what it is, without its argument's content. */
export function keyOf(
  op: string,
  request: number | null,
  feature: number | null,
  a: bigint | null,
  length: number | null,
): string {
  if (op === 'load' || op === 'store') return keyOf(op === 'load' ? 'pread' : 'pwrite', request, feature, a, length);
  if (op === 'ioctl') return `ioctl ${request} ${feature ?? ''}`;
  if (op === 'pread' || op === 'pwrite') return `${op} ${a} ${length}`;
  return op === 'mmap' ? `mmap ${a}` : op; // read and write of a stream: in order, whatever their length
}

/** Calls of one recorded thread on one open file, by event id. */
export interface Queue {
  readonly ids: number[];
  readonly keys: string[];
  next: number;
  /** Bytes of the next call, a vector call, that its first elements have moved. */
  moved: number;
}
interface Kept {
  readonly ids: number[];
  /** Those before it are used up. */
  next: number;
}
export interface Lane {
  /** By recorded thread. */
  readonly queues: Map<number, Queue>;
  /** All calls of the same key. */
  readonly byKey: Map<string, Kept>;
  /** Loads and stores of mapped regions are among them. */
  trapped: boolean;
}
/** An eventfd was seen to be signalled: the read that found it, and how often it had been. */
export interface Wake {
  readonly handle: number;
  readonly times: number;
  /** What was in memory then. */
  readonly pages: Page[];
}

export class Recording {
  readonly trace: Trace;
  readonly lanes = new Map<number, Lane>();
  /** Successful and failed opens, by path. */
  readonly opens = new Map<string, Kept>();
  readonly wakes: Wake[] = [];
  /**
   * Interrupts that come with the answer to a call: the last one that the thread which saw the interrupt had made since
   * the one before; of a thread that only waits, the last one of all.
   */
  readonly wakesAfter = new Map<number, Wake[]>();
  /** Memory that devices had written by the next call of that thread, by the call before. */
  readonly pagesAfter = new Map<number, Page[]>();
  private readonly lastOf = new Map<number, number>();
  private readonly lastWake = new Map<number, Wake>();
  private readonly versions = new PageVersions();
  /** Pages of DMA memory that the trace has. */
  dmaPages = 0;
  /** Ids of all answerable calls in order, and which have been used. */
  readonly ids: number[] = [];
  readonly used = new Set<number>();
  private readonly maps = new Map<number, number>();
  /** Ranges that devices could write to by DMA. */
  dmaMaps = 0;
  private readonly offsets = new Map<string, bigint>();
  private readonly interned = new Map<string, string>();

  constructor(trace: Trace) {
    this.trace = trace;
    for (const r of trace.regions) this.offsets.set(`${trace.resolve(r.handle)}:${r.index}`, r.offset);
    for (const e of trace.events()) this.take(e);
  }

  private take(e: TraceEvent): void {
    if (e.op === 'open') this.takeOpen(e);
    else if (e.kind === 'eventfd' && e.op === 'read' && (e.ret ?? 0) === 8) this.takeWake(e);
    else if (e.op === 'dma') this.takePage(e);
    else if (answered.has(e.op) && played.has(e.kind)) this.takeCall(e);
  }

  private takeWake(e: TraceEvent): void {
    const wake = { handle: e.handle, times: Number(e.val ?? 1n), pages: [] };
    const cause = this.lastOf.get(e.thread) ?? this.ids.at(-1) ?? 0;
    this.lastOf.delete(e.thread);
    const known = this.wakesAfter.get(cause);
    if (known) known.push(wake);
    else this.wakesAfter.set(cause, [wake]);
    this.wakes.push(wake);
    this.lastWake.set(e.thread, wake);
  }

  private takePage(e: TraceEvent): void {
    const page = this.versions.take(e);
    if (!page) return;
    this.dmaPages++;
    if (e.ret === dmaPoints.interrupt) {
      this.lastWake.get(e.thread)?.pages.push(page);
      return;
    }
    const cause = this.lastOf.get(e.thread) ?? this.ids.at(-1) ?? 0;
    const known = this.pagesAfter.get(cause);
    if (known) known.push(page);
    else this.pagesAfter.set(cause, [page]);
  }

  private takeOpen(e: TraceEvent): void {
    const path = e.input?.toString('utf8').replace(/\0.*$/s, '');
    if (!path || !/^\/dev\/(vfio\/|iommu$)/.test(path)) return;
    const kept = this.opens.get(path);
    if (kept) kept.ids.push(e.id);
    else this.opens.set(path, { ids: [e.id], next: 0 });
    this.ids.push(e.id);
  }

  private takeCall(e: TraceEvent): void {
    const key = this.intern(keyOf(e.op, e.request, e.feature, this.fileOffset(e), e.length));
    let lane = this.lanes.get(e.handle);
    if (!lane) {
      lane = { queues: new Map(), byKey: new Map(), trapped: false };
      this.lanes.set(e.handle, lane);
    }
    let queue = lane.queues.get(e.thread);
    if (!queue) {
      queue = { ids: [], keys: [], next: 0, moved: 0 };
      lane.queues.set(e.thread, queue);
    }
    queue.ids.push(e.id);
    queue.keys.push(key);
    const kept = lane.byKey.get(key);
    if (kept) kept.ids.push(e.id);
    else lane.byKey.set(key, { ids: [e.id], next: 0 });
    this.ids.push(e.id);
    this.lastOf.set(e.thread, e.id);
    this.versions.see(e);
    if (e.call && DMA_MAPS.has(e.call.name) && e.ret === 0) this.dmaMaps++;
    if (e.op === 'load' || e.op === 'store') lane.trapped = true;
    if (e.op === 'mmap' && (e.ret ?? -1) >= 0 && e.kind === 'device')
      this.maps.set(e.handle, (this.maps.get(e.handle) ?? 0) + 1);
  }

  private intern(key: string): string {
    const known = this.interned.get(key);
    if (known !== undefined) return known;
    this.interned.set(key, key);
    return key;
  }

  /** Device mappings whose loads and stores are not in the trace. */
  get unseenMaps(): number {
    let n = 0;
    for (const [handle, maps] of this.maps) if (!this.lanes.get(handle)?.trapped) n += maps;
    return n;
  }

  /** Offset of a region access in the device file; a mapping's too. */
  fileOffset(e: TraceEvent): bigint | null {
    if (e.a === null || e.region === null) return e.a;
    return e.a + (this.offsets.get(`${e.handle}:${e.region}`) ?? 0n);
  }

  /** The event whose handle was made by `e`, by number; 0 none. */
  madeBy(e: TraceEvent): number {
    return e.made === 0 ? 0 : this.trace.resolve(e.made);
  }

  /** The eventfd that a descriptor of the recorded program was at an event; 0: not known. */
  eventfdAt(e: TraceEvent, fd: number): number {
    let found = 0;
    let opened = -1;
    for (const h of this.trace.handles.values()) {
      if (h.kind !== 'eventfd' || h.fd !== fd || h.process !== e.process) continue;
      if ((h.opened ?? 0) > e.id || (h.closed !== null && h.closed < e.id) || (h.opened ?? 0) < opened) continue;
      opened = h.opened ?? 0;
      found = this.trace.resolve(h.id);
    }
    return found;
  }

  /** Whether the program was given this GET_REGION_INFO answer without its MMAP flag (--mmio=hide). */
  hid(e: TraceEvent): boolean {
    return (e.flags & recordFlags.HIDDEN) !== 0;
  }
}
