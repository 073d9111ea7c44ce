// What a trace tells of one device: its answers, register by register and in order, for an emulated device that gives
// them again.

import type { Call } from '../../schema/call.ts';
import { leaves } from '../../schema/decode.ts';
import { irqSetFlags, pciRegions, vfio_irq_info, vfio_irq_set } from '../../schema/device.ts';
import { fieldOf, type Means, type Struct } from '../../schema/layout.ts';
import type { TraceEvent } from '../../traces/event.ts';
import type { Trace } from '../../traces/trace.ts';

export interface Answer {
  readonly ret: number;
  readonly output: Buffer | null;
  /** Handle of a data stream that the call made; 0: none. */
  readonly stream: number;
}
/** The same request each time, but for what stands for something else in another process. */
export interface Asked {
  /** Normalised; its length is what the caller's bytes are compared by. */
  readonly input: Buffer;
  readonly argsz: number;
  readonly answers: Answer[];
}
export interface RecordedRegion {
  readonly offset: bigint;
  readonly size: bigint;
  readonly flags: number;
}
/** Reads, writes and ioctls of a data stream, each kind in its order. */
export interface RecordedStream {
  readonly reads: Answer[];
  readonly writes: Answer[];
  readonly ioctls: Answer[];
}
export interface RecordedDevice {
  /** Vendor and device as in the first four bytes of the configuration space; null: never read. */
  readonly id: number | null;
  readonly regions: ReadonlyMap<number, RecordedRegion>;
  /** Interrupts by index. */
  readonly irqs: ReadonlyMap<number, number>;
  /** ioctls by request and feature flags. */
  readonly asked: ReadonlyMap<string, readonly Asked[]>;
  /** By placeKey; region -1 is a place in the file that no region is known for. */
  readonly reads: ReadonlyMap<string, readonly Answer[]>;
  /** Writes that did not take all bytes. */
  readonly writes: ReadonlyMap<string, readonly Answer[]>;
  /** Counts that were read from the eventfd of an interrupt, by INDEX:VECTOR. */
  readonly interrupts: ReadonlyMap<string, readonly bigint[]>;
  readonly streams: ReadonlyMap<number, RecordedStream>;
}

export const requestKey = (request: number, feature: number | null): string => `${request}:${feature ?? ''}`;
export const placeKey = (region: number, offset: bigint, length: number): string => `${region}:${offset}:${length}`;

const renamed: ReadonlySet<Means> = new Set(['argsz', 'fd', 'object', 'address', 'pointer', 'reserved']);

/** The bytes without what differs from run to run: sizes, descriptors, ids, addresses, and what only the kernel writes. */
export function normalised(layout: Struct | undefined, input: Buffer): Buffer {
  const bytes = Buffer.from(input);
  if (!layout) return bytes;
  for (const leaf of leaves(layout, input))
    if (renamed.has(leaf.field.means) || leaf.field.dir === 'out')
      bytes.fill(0, leaf.at, leaf.at + widthOf(leaf.field.type));
  return bytes;
}
const widthOf = (type: string): number => Number(/\d+/.exec(type)?.[0] ?? 0) / 8;
export const layoutOf = (call: Call | undefined): Struct | undefined =>
  call?.arg.kind === 'struct' ? call.arg.layout : undefined;

function pushTo<V>(map: Map<string, V[]>, key: string, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
const at = (layout: Struct, name: string): number => fieldOf(layout, name).at;
const answerOf = (e: TraceEvent): Answer => ({
  ret: e.ret ?? 0,
  output: e.output ? Buffer.from(e.output) : null,
  stream: e.made !== 0 && e.call?.name === 'VFIO_DEVICE_FEATURE' ? e.made : 0,
});

export class Recording {
  private readonly regions = new Map<number, RecordedRegion>();
  private readonly irqs = new Map<number, number>();
  private readonly asked = new Map<string, Asked[]>();
  private readonly reads = new Map<string, Answer[]>();
  private readonly writes = new Map<string, Answer[]>();
  private readonly interrupts = new Map<string, bigint[]>();
  private readonly streams = new Map<number, RecordedStream>();
  /** Interrupt of an eventfd's handle. */
  private readonly wired = new Map<number, string>();
  /** Handles on which calls work: opened through a group, or bound. */
  private readonly granted = new Set<number>();

  /** A region as the trace's table has it. */
  region(index: number, region: RecordedRegion): void {
    this.regions.set(index, region);
  }

  /** A call on the device. */
  add(e: TraceEvent, trace: Trace): void {
    if (e.ret === null) return;
    if (e.call?.name === 'VFIO_DEVICE_BIND_IOMMUFD' && e.ret === 0) this.granted.add(e.handle);
    const path = trace.handles.get(e.handle)?.path;
    if (path && !this.granted.has(e.handle)) return; // its own node, not bound yet: the kernel answers, not the device
    const key = placeKey(e.region ?? -1, e.a ?? 0n, e.length ?? 0);
    if (e.op === 'ioctl' && e.request !== null) this.ioctl(e, trace);
    else if (e.op === 'pread' || e.op === 'load') pushTo(this.reads, key, answerOf(e));
    else if ((e.op === 'pwrite' || e.op === 'store') && e.ret !== e.length) pushTo(this.writes, key, answerOf(e));
  }

  /** A call on something else: streams and eventfds of the device. */
  beside(e: TraceEvent): void {
    if (e.ret === null) return;
    const stream = e.kind === 'data' ? this.streams.get(e.handle) : undefined;
    if (stream && e.op === 'read') stream.reads.push(answerOf(e));
    if (stream && e.op === 'write') stream.writes.push(answerOf(e));
    if (stream && e.op === 'ioctl') stream.ioctls.push(answerOf(e));
    const interrupt = e.kind === 'eventfd' && e.op === 'read' ? this.wired.get(e.handle) : undefined;
    if (interrupt !== undefined && e.val !== null) pushTo(this.interrupts, interrupt, e.val);
  }

  private ioctl(e: TraceEvent, trace: Trace): void {
    const { output } = e;
    const worked = e.ret === 0 && output !== null;
    if (worked && e.call?.name === 'VFIO_DEVICE_GET_IRQ_INFO' && output.length >= vfio_irq_info.size)
      this.irqs.set(output.readUInt32LE(at(vfio_irq_info, 'index')), output.readUInt32LE(at(vfio_irq_info, 'count')));
    if (e.call?.name === 'VFIO_DEVICE_SET_IRQS' && e.ret === 0) this.wire(e, trace);
    const answer = answerOf(e);
    if (answer.stream) this.streams.set(answer.stream, { reads: [], writes: [], ioctls: [] });
    this.remember(e, answer);
  }

  private remember(e: TraceEvent, answer: Answer): void {
    const key = requestKey(e.request ?? 0, e.feature);
    const given = e.input ?? Buffer.alloc(0);
    const input = normalised(layoutOf(e.call), given);
    const argsz = layoutOf(e.call) && given.length >= 4 ? given.readUInt32LE() : 0;
    const known = this.asked.get(key)?.find((a) => a.argsz === argsz && a.input.equals(input));
    if (known) known.answers.push(answer);
    else pushTo(this.asked, key, { input, argsz, answers: [answer] });
  }

  /** Remembers which eventfd each interrupt goes to. */
  private wire(e: TraceEvent, trace: Trace): void {
    const head = vfio_irq_set.size;
    const { input } = e;
    const field = (name: string): number => input?.readUInt32LE(at(vfio_irq_set, name)) ?? 0;
    if (!input || input.length < head || !(field('flags') & irqSetFlags.DATA_EVENTFD)) return;
    for (let i = 0; i < field('count') && head + 4 * i + 4 <= input.length; i++) {
      const fd = input.readInt32LE(head + 4 * i);
      for (const h of trace.handles.values()) {
        if (h.kind !== 'eventfd' || h.fd !== fd || h.process !== e.process) continue;
        if ((h.opened ?? 0) <= e.id && (h.closed ?? Number.POSITIVE_INFINITY) > e.id)
          this.wired.set(trace.resolve(h.id), `${field('index')}:${field('start') + i}`);
      }
    }
  }

  /** From one read of both, or one of each. */
  private get id(): number | null {
    for (const [key, [first]] of this.reads)
      if (key.startsWith(`${pciRegions.CONFIG}:0:`) && (first?.output?.length ?? 0) >= 4)
        return first?.output?.readUInt32LE() ?? null;
    const [vendor, device] = [0n, 2n].map((o) => this.reads.get(placeKey(pciRegions.CONFIG, o, 2))?.[0]?.output);
    return vendor && device ? (vendor.readUInt16LE() | (device.readUInt16LE() << 16)) >>> 0 : null;
  }

  device(): RecordedDevice {
    const { id, regions, irqs, asked, reads, writes, interrupts, streams } = this;
    return { id, regions, irqs, asked, reads, writes, interrupts, streams };
  }
}
