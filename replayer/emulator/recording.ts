// What a trace tells of one device: its answers, register by register and in order, for an emulated device that gives
// them again.

import { pciRegions, vfio_irq_info, vfio_region_info } from '../../schema/device.ts';
import { fieldOf } from '../../schema/layout.ts';
import type { TraceEvent } from '../../traces/event.ts';
import type { Trace } from '../../traces/trace.ts';

export interface Answer {
  readonly ret: number;
  readonly output: Buffer | null;
  /** Handle of a data stream that the call made. */
  readonly stream: number;
}
export interface RecordedRegion {
  readonly offset: bigint;
  readonly size: bigint;
  readonly flags: number;
}
export interface RecordedDevice {
  /** Vendor and device as in the first four bytes of the configuration space; null: never read. */
  readonly id: number | null;
  /** It answers as the kernel's sample serial card does, whose configuration space ends at 255. */
  readonly isSerial: boolean;
  readonly regions: ReadonlyMap<number, RecordedRegion>;
  /** Interrupts by index. */
  readonly irqs: ReadonlyMap<number, number>;
  /** ioctls by keyOf. */
  readonly answers: ReadonlyMap<string, readonly Answer[]>;
  /** Reads by REGION:OFFSET:LENGTH. */
  readonly reads: ReadonlyMap<string, readonly Answer[]>;
  /** Writes that did not take all bytes, by REGION:OFFSET:LENGTH. */
  readonly writes: ReadonlyMap<string, readonly Answer[]>;
  /** Counts that were read from the eventfd of an interrupt, by INDEX:VECTOR. */
  readonly interrupts: ReadonlyMap<string, readonly bigint[]>;
  /** Bytes read from each data stream, by handle, read by read. */
  readonly streams: ReadonlyMap<number, readonly Answer[]>;
}

/** Requests are the same when their bytes are, but for the buffer's size and what the kernel writes. */
export function keyOf(request: number, feature: number | null, input: Buffer | null): string {
  const bytes = input ? Buffer.from(input) : Buffer.alloc(0);
  if (bytes.length >= 4) bytes.fill(0, 0, 4); // argsz
  const rest = feature === null ? bytes.toString('hex') : bytes.subarray(4, 12).toString('hex');
  return `${request}:${feature ?? ''}:${rest}`;
}
export const placeKey = (region: number, offset: bigint, length: number): string => `${region}:${offset}:${length}`;

const push = <K, V>(map: Map<K, V[]>, key: K, value: V): void => {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
};
const at = (layout: typeof vfio_region_info, name: string): number => fieldOf(layout, name).at;

export class Recording {
  private readonly regions = new Map<number, RecordedRegion>();
  private readonly irqs = new Map<number, number>();
  private readonly answers = new Map<string, Answer[]>();
  private readonly reads = new Map<string, Answer[]>();
  private readonly writes = new Map<string, Answer[]>();
  private readonly interrupts = new Map<string, bigint[]>();
  private readonly streams = new Map<number, Answer[]>();
  /** Interrupt of an eventfd's handle. */
  private readonly wired = new Map<number, string>();

  /** A call on the device. */
  add(e: TraceEvent, trace: Trace): void {
    if (e.ret === null) return;
    if (e.op === 'ioctl' && e.request !== null) this.ioctl(e, trace);
    else if ((e.op === 'pread' || e.op === 'load') && e.region !== null) this.read(e);
    else if ((e.op === 'pwrite' || e.op === 'store') && e.region !== null && e.ret !== e.length)
      push(this.writes, placeKey(e.region, e.a ?? 0n, e.length ?? 0), answerOf(e));
  }

  /** A call on something else: streams and eventfds of the device. */
  beside(e: TraceEvent): void {
    if (e.ret === null) return;
    if (e.kind === 'data' && e.op === 'read' && this.streams.has(e.handle)) push(this.streams, e.handle, answerOf(e));
    const interrupt = e.kind === 'eventfd' && e.op === 'read' ? this.wired.get(e.handle) : undefined;
    if (interrupt !== undefined && e.val !== null) push(this.interrupts, interrupt, e.val);
  }

  private ioctl(e: TraceEvent, trace: Trace): void {
    const { output } = e;
    if (
      e.ret === 0 &&
      output &&
      e.call?.name === 'VFIO_DEVICE_GET_REGION_INFO' &&
      output.length >= vfio_region_info.size
    )
      this.regions.set(output.readUInt32LE(at(vfio_region_info, 'index')), {
        offset: output.readBigUInt64LE(at(vfio_region_info, 'offset')),
        size: output.readBigUInt64LE(at(vfio_region_info, 'size')),
        flags: output.readUInt32LE(at(vfio_region_info, 'flags')),
      });
    if (e.ret === 0 && output && e.call?.name === 'VFIO_DEVICE_GET_IRQ_INFO' && output.length >= vfio_irq_info.size)
      this.irqs.set(output.readUInt32LE(at(vfio_irq_info, 'index')), output.readUInt32LE(at(vfio_irq_info, 'count')));
    if (e.call?.name === 'VFIO_DEVICE_SET_IRQS' && e.ret === 0) this.wire(e, trace);
    const answer = answerOf(e);
    if (answer.stream) this.streams.set(answer.stream, []);
    push(this.answers, keyOf(e.request ?? 0, e.feature, e.input), answer);
  }

  /** Remembers which eventfd each interrupt goes to. */
  private wire(e: TraceEvent, trace: Trace): void {
    const HEADER = 20; // struct vfio_irq_set: argsz, flags, index, start, count
    const { input } = e;
    if (!input || input.length < HEADER + 4 || !(input.readUInt32LE(4) & 4)) return;
    const [index, start, count] = [input.readUInt32LE(8), input.readUInt32LE(12), input.readUInt32LE(16)];
    for (let i = 0; i < count && HEADER + 4 * i + 4 <= input.length; i++) {
      const fd = input.readInt32LE(HEADER + 4 * i);
      for (const h of trace.handles.values()) {
        if (h.kind !== 'eventfd' || h.fd !== fd || h.process !== e.process) continue;
        if ((h.opened ?? 0) <= e.id && (h.closed ?? Number.POSITIVE_INFINITY) > e.id)
          this.wired.set(trace.resolve(h.id), `${index}:${start + i}`);
      }
    }
  }

  private read(e: TraceEvent): void {
    const region = e.region as number;
    push(this.reads, placeKey(region, e.a ?? 0n, e.length ?? 0), answerOf(e));
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
    const config = this.regions.get(pciRegions.CONFIG);
    return { ...this.maps(), id: this.id, isSerial: config?.size === 0xffn };
  }
  private maps(): Omit<RecordedDevice, 'id' | 'isSerial'> {
    const { regions, irqs, answers, reads, writes, interrupts, streams } = this;
    return { regions, irqs, answers, reads, writes, interrupts, streams };
  }
}

function answerOf(e: TraceEvent): Answer {
  const stream = e.made !== 0 && e.call?.name === 'VFIO_DEVICE_FEATURE' ? e.made : 0;
  return { ret: e.ret ?? 0, output: e.output ? Buffer.from(e.output) : null, stream };
}
