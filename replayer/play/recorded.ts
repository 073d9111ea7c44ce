// A trace answers: each call of the program is looked up among the recorded calls on the same open file.

import { deviceCalls, regionFlags, vfio_region_info } from '../../schema/device.ts';
import type { FdKind } from '../../schema/kinds.ts';
import { fieldOf } from '../../schema/layout.ts';
import { layoutOf } from '../../traces/compare.ts';
import type { TraceEvent } from '../../traces/event.ts';
import type { Trace } from '../../traces/trace.ts';
import type { Eventfd } from '../emulator/caller.ts';
import { errno, fail } from '../emulator/failed.ts';
import { type MmapRequest, OpenFile } from '../emulator/file.ts';
import { type Mapping, Ram } from '../emulator/region.ts';
import { featureFdAt, requestsOf } from '../emulator/request.ts';
import { argumentAfter, type Call } from './asked-event.ts';
import { PlayedDma } from './dma.ts';
import { Lookup } from './lookup.ts';
import type { Caller, Machine, Remark } from './machine.ts';
import { Misses } from './misses.ts';
import { keyOf, Recording, type Wake } from './recording.ts';

export type Matching = 'strict' | 'register';

const device = requestsOf(deviceCalls);
const SET_IRQS = device('VFIO_DEVICE_SET_IRQS');
const FEATURE = device('VFIO_DEVICE_FEATURE');
const REGION_INFO = device('VFIO_DEVICE_GET_REGION_INFO');
/** Behind the fixed part of vfio_irq_set. */
const IRQ_DATA = 20;
/** What the recorder notes where the flags of a feature call could not be read. */
const NO_FLAGS = 0xffffffff;

class RecordedFile extends OpenFile {
  readonly kind: FdKind;
  readonly handle: number;
  /** Mapped device memory, by offset in the file; its bytes are not in the trace. */
  readonly rams = new Map<bigint, Ram>();
  constructor(kind: FdKind, handle: number) {
    super();
    this.kind = kind;
    this.handle = handle;
  }
}

export class RecordedMachine implements Machine {
  private readonly recording: Recording;
  private readonly matching: Matching;
  private readonly misses: Misses;
  private readonly eventfds = new Map<number, Eventfd>();
  private readonly lookup: Lookup;
  private readonly signalled = new Set<Wake>();
  private readonly dma = new PlayedDma((id) => this.event(id));
  private wake = 0;

  constructor(trace: Trace, matching: Matching, say: (text: string) => void) {
    this.recording = new Recording(trace);
    this.matching = matching;
    this.misses = new Misses(this.recording, say);
    this.lookup = new Lookup(this.recording, (id) => this.use(id));
  }

  /** A thread of the new program may be one of its own in the trace. */
  began(process: number): void {
    this.lookup.forget(process);
  }

  open(caller: Caller, path: string, _flags: number): number {
    const kept = this.recording.opens.get(path);
    const again = this.matching === 'register' ? kept?.ids.at(-1) : undefined;
    const id = kept?.ids[kept.next] ?? again;
    if (!kept || id === undefined) {
      this.misses.open(path);
      return kept ? -errno('EBUSY') : -errno('ENOENT');
    }
    kept.next++;
    const e = this.event(id);
    this.use(id);
    return this.make(caller, e) ?? e.ret ?? -errno('EIO');
  }

  ioctl(caller: Caller, file: OpenFile, request: number, arg: bigint): number {
    const feature = request === FEATURE && file.kind === 'device' ? this.featureOf(caller, arg) : null;
    const call: Call = { op: 'ioctl', request, feature, offset: null, length: null, arg, bytes: null };
    const e = this.find(caller, file, call);
    if (e.ret === null) return -errno('EIO'); // never returned: the trace does not know what came of it
    if (request === SET_IRQS && file.kind === 'device') this.arm(caller, e, arg);
    const ret = this.give(caller, e, arg);
    if (ret >= 0 && (file.kind === 'container' || file.kind === 'iommufd'))
      this.dma.answered((file as RecordedFile).handle, request, caller.memory, arg);
    return ret;
  }

  pread(caller: Caller, file: OpenFile, length: number, offset: bigint): Buffer | number {
    return this.data(this.find(caller, file, plainCall('pread', offset, length)));
  }
  read(caller: Caller, file: OpenFile, length: number): Buffer | number {
    const bytes = this.data(this.find(caller, file, plainCall('read', null, length)));
    return typeof bytes === 'number' ? bytes : bytes.subarray(0, length);
  }
  pwrite(caller: Caller, file: OpenFile, bytes: Buffer, offset: bigint): number {
    const e = this.find(caller, file, { ...plainCall('pwrite', offset, bytes.length), bytes });
    return e.ret ?? -errno('EIO');
  }
  write(caller: Caller, file: OpenFile, bytes: Buffer): number {
    const e = this.find(caller, file, { ...plainCall('write', null, bytes.length), bytes });
    return e.ret ?? -errno('EIO');
  }

  mmap(caller: Caller, file: OpenFile, r: MmapRequest): Mapping | number {
    const e = this.find(caller, file, plainCall('mmap', r.offset, Number(r.length)));
    if (e.ret === null || e.ret < 0) return e.ret ?? -errno('EIO');
    const own = file as RecordedFile;
    if (this.recording.lanes.get(own.handle)?.trapped)
      return { region: e.region ?? 0, offset: 0, length: Number(r.length), ...TRAPPED };
    const memory = own.rams.get(r.offset) ?? new Ram(Number(r.length));
    own.rams.set(r.offset, memory);
    return {
      region: e.region ?? 0,
      offset: 0,
      length: Number(r.length),
      load: (at, n) => memory.read(at, n),
      store: (at, b) => memory.write(at, b),
      ram: { memory, start: 0 },
    };
  }

  /**
   * The program waits: the next interrupt that the trace knows of and the program can hear comes now. Only where calls
   * are not answered in their order, so that no answer brings it.
   */
  idle(): void {
    const wake = this.nextWake();
    if (wake) this.signal(wake);
  }
  get waiting(): boolean {
    return this.matching === 'register' && this.nextWake() !== undefined;
  }
  private nextWake(): Wake | undefined {
    const { wakes } = this.recording;
    while (this.wake < wakes.length && this.signalled.has(wakes[this.wake] as Wake)) this.wake++;
    const wake = wakes[this.wake];
    return wake && this.eventfds.has(wake.handle) ? wake : undefined;
  }
  private signal(wake: Wake): void {
    this.signalled.add(wake);
    this.dma.write(wake.pages);
    const eventfd = this.eventfds.get(wake.handle);
    for (let i = 0; i < wake.times; i++) eventfd?.signal();
  }

  report(): readonly Remark[] {
    return this.misses.report();
  }

  private event(id: number): TraceEvent {
    return this.recording.trace.event(id) ?? fail('EIO');
  }

  /** Marks a call as used; the interrupts that it caused come with its answer. */
  private use(id: number): void {
    const { used, wakesAfter } = this.recording;
    if (used.has(id)) return;
    used.add(id);
    this.dma.write(this.recording.pagesAfter.get(id) ?? []);
    for (const wake of wakesAfter.get(id) ?? []) if (!this.signalled.has(wake)) this.signal(wake);
  }

  private find(caller: Caller, file: OpenFile, call: Call): TraceEvent {
    const lane = this.recording.lanes.get((file as RecordedFile).handle);
    const key = keyOf(call.op, call.request, call.feature, call.offset, call.length);
    const strict = this.matching === 'strict';
    const found =
      lane && (strict ? this.lookup.inOrder(lane, key, caller, call) : this.lookup.byKey(lane, key, caller, call));
    if (found) return found;
    const helped = lane && strict ? this.lookup.byKey(lane, key, caller, call) : undefined;
    this.misses.call(caller.memory, (file as RecordedFile).handle, call, helped);
    return helped ?? fail(call.op === 'ioctl' ? 'ENOTTY' : 'EIO');
  }

  private data(e: TraceEvent): Buffer | number {
    if (e.ret === null) return -errno('EIO');
    if (e.ret <= 0) return e.ret;
    return e.output ?? this.misses.unkept(e);
  }

  /** Makes the descriptor that a recorded call made; undefined: it made none. */
  private make(caller: Caller, e: TraceEvent): number | undefined {
    const handle = this.recording.madeBy(e);
    if (handle === 0 || (e.ret ?? -1) < 0) return undefined;
    const kind = this.recording.trace.handles.get(handle)?.kind ?? 'unknown';
    return caller.install(new RecordedFile(kind, handle));
  }

  /** Writes a recorded ioctl's results into the program's memory. */
  private give(caller: Caller, e: TraceEvent, arg: bigint): number {
    const ret = e.ret ?? 0;
    const kind = e.call?.arg.kind;
    const pointer = kind !== undefined && kind !== 'none' && kind !== 'value';
    if (pointer && e.output) this.giveArgument(caller, e, arg);
    const fd = this.make(caller, e);
    if (fd === undefined) return ret;
    const at = fd < 0 ? undefined : madeAt(e);
    if (at === undefined) return fd;
    const number = Buffer.alloc(4);
    number.writeInt32LE(fd);
    caller.memory.write(arg + BigInt(at), number);
    return ret;
  }

  private giveArgument(caller: Caller, e: TraceEvent, arg: bigint): void {
    const { memory } = caller;
    const sized = e.call?.arg.kind === 'struct' || e.call?.arg.kind === 'raw';
    const size = sized ? (memory.read(arg, 4)?.readUInt32LE(0) ?? 0) : (e.output?.length ?? 0);
    const own = memory.read(arg, Math.min(size, e.output?.length ?? 0)) ?? fail('EFAULT');
    const after = argumentAfter(own, e);
    if (after && e.request === REGION_INFO && this.recording.hid(e)) hideMmap(after);
    if (after && !after.equals(own)) memory.write(arg, after);
    for (const m of e.memory) {
      if (m.phase !== 'out' || !m.bytes || m.at + 8 > own.length) continue;
      memory.write(own.readBigUInt64LE(m.at), m.bytes);
    }
  }

  /** Pairs the eventfds that the program arms with those of the trace. */
  private arm(caller: Caller, e: TraceEvent, arg: bigint): void {
    const count = e.input ? Math.floor((e.input.length - IRQ_DATA) / 4) : 0;
    const own = caller.memory.read(arg, IRQ_DATA + 4 * Math.max(count, 0));
    for (let i = 0; own && e.input && i < count; i++) {
      const eventfd = caller.file(own.readInt32LE(IRQ_DATA + 4 * i));
      const handle = this.recording.eventfdAt(e, e.input.readInt32LE(IRQ_DATA + 4 * i));
      if (handle && typeof eventfd === 'object' && eventfd.kind === 'eventfd' && 'signal' in eventfd)
        this.eventfds.set(handle, eventfd);
    }
  }

  private featureOf(caller: Caller, arg: bigint): number {
    return caller.memory.read(arg, 8)?.readUInt32LE(4) ?? NO_FLAGS;
  }
}

/** Loads and stores of a trapped mapping come as reads and writes of the device file. */
const TRAPPED = { load: (): Buffer => Buffer.alloc(0), store: (): void => {} };

function plainCall(op: Call['op'], offset: bigint | null, length: number): Call {
  return { op, request: null, feature: null, offset, length, arg: 0n, bytes: null };
}

/** The answer that the program was given then: without the MMAP flag. */
function hideMmap(info: Buffer): void {
  const { at } = fieldOf(vfio_region_info, 'flags');
  if (info.length >= at + 4) info.writeUInt32LE(info.readUInt32LE(at) & ~regionFlags.MMAP, at);
}

/** Where in its argument a call gave the descriptor that it made; undefined: it returned it. */
function madeAt(e: TraceEvent): number | undefined {
  if (e.request === FEATURE && e.feature !== null) return featureFdAt(e.feature);
  const at = e.call?.makes?.at;
  const layout = layoutOf(e);
  return at === undefined || at === 'ret' || !layout ? undefined : fieldOf(layout, at).at;
}
