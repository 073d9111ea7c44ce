// What devices wrote to memory, as a trace recorded with --dma=pages has it: written into the played program's memory where
// that has mapped the same IOVA.

import { type Call, request } from '../../schema/call.ts';
import { containerCalls } from '../../schema/container.ts';
import { iommufdCalls } from '../../schema/iommufd.ts';
import { fieldOf, type Struct } from '../../schema/layout.ts';
import type { TraceEvent } from '../../traces/event.ts';
import type { CallerMemory } from '../emulator/caller.ts';

/** A page that was kept: its event, and the one that kept the page before; 0: none did. */
export interface Page {
  readonly event: number;
  readonly before: number;
}

interface Request {
  readonly request: number;
  readonly layout: Struct;
  /** Names of its fields. */
  readonly size: string;
  readonly address?: string;
}
function found(calls: readonly Call[], name: string, size: string, address?: string): Request {
  const call = calls.find((c) => c.name === name);
  if (call?.arg.kind !== 'struct') throw new Error(`${name} is no call with a structure`);
  return { request: request(call.nr), layout: call.arg.layout, size, ...(address ? { address } : {}) };
}
const maps = [
  found(containerCalls, 'VFIO_IOMMU_MAP_DMA', 'size', 'vaddr'),
  found(iommufdCalls, 'IOMMU_IOAS_MAP', 'length', 'user_va'),
];
const unmaps = [
  found(containerCalls, 'VFIO_IOMMU_UNMAP_DMA', 'size'),
  found(iommufdCalls, 'IOMMU_IOAS_UNMAP', 'length'),
];

/** Pairs each page with the one before it. */
export class PageVersions {
  private readonly latest = new Map<number, Map<bigint, number>>();
  /** Undefined: only its hash was kept. */
  take(e: TraceEvent): Page | undefined {
    const pages = this.latest.get(e.handle) ?? new Map<bigint, number>();
    this.latest.set(e.handle, pages);
    const before = pages.get(e.a ?? 0n) ?? 0;
    pages.set(e.a ?? 0n, e.id);
    return e.output ? { event: e.id, before } : undefined;
  }
  /** Memory that is mapped anew begins anew. */
  see(e: TraceEvent): void {
    if (unmaps.some((u) => u.request === e.request)) this.latest.delete(e.handle);
  }
}

interface Mapped {
  readonly handle: number;
  readonly iova: bigint;
  readonly size: bigint;
  readonly address: bigint;
  readonly memory: CallerMemory;
}

/** What the played program has mapped for DMA, and what is still to be written there. */
export class PlayedDma {
  private readonly event: (id: number) => TraceEvent;
  private mapped: Mapped[] = [];
  /** Pages whose memory the program has not mapped yet. */
  private waiting: Page[] = [];

  constructor(event: (id: number) => TraceEvent) {
    this.event = event;
  }

  /** After an ioctl that succeeded, with its argument as the program has it then. */
  answered(handle: number, asked: number, memory: CallerMemory, arg: bigint): void {
    const read = (layout: Struct, name: string): bigint =>
      memory.read(arg + BigInt(fieldOf(layout, name).at), 8)?.readBigUInt64LE(0) ?? 0n;
    const map = maps.find((m) => m.request === asked);
    if (map) {
      const [iova, size, address] = [
        read(map.layout, 'iova'),
        read(map.layout, map.size),
        read(map.layout, map.address ?? ''),
      ];
      this.mapped.push({ handle, iova, size, address, memory });
      const late = this.waiting;
      this.waiting = [];
      this.write(late);
    }
    const unmap = unmaps.find((u) => u.request === asked);
    if (unmap) {
      const [iova, size] = [read(unmap.layout, 'iova'), read(unmap.layout, unmap.size)];
      this.mapped = this.mapped.filter((m) => m.handle !== handle || m.iova < iova || m.iova + m.size > iova + size);
    }
  }

  /** What changed in these pages; of a page that was never kept before, all of it. */
  write(pages: readonly Page[]): void {
    for (const page of pages) {
      const e = this.event(page.event);
      const iova = e.a ?? 0n;
      const m = this.mapped.find((x) => x.handle === e.handle && iova >= x.iova && iova - x.iova < x.size);
      if (!m) this.waiting.push(page);
      else if (e.output) {
        const before = page.before ? this.event(page.before).output : null;
        for (const [from, to] of changes(before, e.output))
          m.memory.write(m.address + (iova - m.iova) + BigInt(from), e.output.subarray(from, to));
      }
    }
  }
}

/** Runs of bytes that differ. */
function changes(before: Buffer | null, now: Buffer): [number, number][] {
  if (!before || before.length !== now.length) return [[0, now.length]];
  const runs: [number, number][] = [];
  for (let at = 0; at < now.length; at++) {
    if (before[at] === now[at]) continue;
    const last = runs.at(-1);
    if (last && last[1] === at) last[1] = at + 1;
    else runs.push([at, at + 1]);
  }
  return runs;
}
