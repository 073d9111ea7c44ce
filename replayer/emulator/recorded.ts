// A device as a trace tells of it: every call is answered as the same call was answered then, in the recorded order,
// and with the last answer from then on. Interrupt wiring and mappings are real, what the device did by itself is not.

import { deviceCalls, pciIrqs, vfio_device_feature } from '../../schema/device.ts';
import type { Caller, Eventfd } from './caller.ts';
import type { Device } from './device.ts';
import type { Driver } from './driver.ts';
import { Failed, fail } from './failed.ts';
import type { MmapRequest } from './file.ts';
import { irqSet } from './irq-set.ts';
import { PciIrqs } from './pci-irq.ts';
import { type Answer, keyOf, placeKey, type RecordedDevice } from './recording.ts';
import { type Mapping, Ram } from './region.ts';
import { requestsOf } from './request.ts';
import { DataFile } from './stream.ts';
import type { User } from './user.ts';

const call = requestsOf(deviceCalls);
/** Requests without an argument to compare. */
const plain = new Set([call('VFIO_DEVICE_RESET')]);
const NUM_IRQS = Object.keys(pciIrqs).length;
/** Longest structure of a device's request. */
const ARG_MAX = 4096;

/** Recorded answers, given one after another; the last one stays. */
class Script {
  private readonly answers: ReadonlyMap<string, readonly Answer[]>;
  private readonly given = new Map<string, number>();
  constructor(answers: ReadonlyMap<string, readonly Answer[]>) {
    this.answers = answers;
  }
  next(key: string): Answer | undefined {
    const list = this.answers.get(key);
    if (!list) return undefined;
    const n = this.given.get(key) ?? 0;
    this.given.set(key, n + 1);
    return list[Math.min(n, list.length - 1)];
  }
}

export class Recorded implements Driver {
  readonly physical: boolean;
  readonly migration = null;
  readonly logging = false;
  readonly laxLogging = false;
  private readonly recorded: RecordedDevice;
  private readonly irqs: PciIrqs;
  private readonly answers: Script;
  private readonly reads: Script;
  private readonly writes: Script;
  private readonly interrupts: Map<string, bigint[]>;
  private readonly memory = new Map<number, Ram>();

  constructor(device: Device, physical: boolean, recorded: RecordedDevice) {
    this.physical = physical;
    this.recorded = recorded;
    this.irqs = new PciIrqs(device, { asserted: false, messages: () => {} });
    this.answers = new Script(recorded.answers);
    this.reads = new Script(recorded.reads);
    this.writes = new Script(recorded.writes);
    this.interrupts = new Map([...recorded.interrupts].map(([key, counts]) => [key, [...counts]]));
  }

  open(): void {}
  close(): void {
    this.irqs.off();
  }
  toError(): void {}

  ioctl(caller: Caller, request: number, user: User): number {
    if (request === call('VFIO_DEVICE_SET_IRQS')) return this.setIrqs(caller, user);
    return this.answer(caller, request, null, plain.has(request) ? Buffer.alloc(0) : argument(user), user);
  }
  feature(caller: Caller, flags: number, user: User): number {
    return this.answer(caller, call('VFIO_DEVICE_FEATURE'), flags, argument(user), user);
  }

  /** The longest recorded input that the argument begins with decides: a trace may hold less than argsz says. */
  private answer(caller: Caller, request: number, feature: number | null, arg: Buffer, user: User): number {
    let found: Answer | undefined;
    for (let length = arg.length; length >= 0 && !found; length -= 4)
      found = this.answers.next(keyOf(request, feature, arg.subarray(0, length)));
    if (!found) return fail('ENOTTY');
    if (found.output && found.output.length > 0 && arg.length > 0) {
      const output = Buffer.from(found.output);
      if (found.stream) output.writeInt32LE(this.stream(caller, found.stream), vfio_device_feature.size + 4);
      user.write(output.subarray(0, arg.length));
    }
    if (found.ret < 0) throw new Failed(-found.ret);
    return found.ret;
  }

  private stream(caller: Caller, handle: number): number {
    const left = [...(this.recorded.streams.get(handle) ?? [])];
    const read = (length: number): Buffer => {
      const next = left.shift();
      if (next && next.ret < 0) throw new Failed(-next.ret);
      return next?.output?.subarray(0, length) ?? Buffer.alloc(0);
    };
    const file = new DataFile({ kind: 'replayed', source: { read, precopyInfo: () => null, infoV2: false } });
    const fd = caller.install(file);
    if (fd < 0) throw new Failed(-fd);
    return fd;
  }

  private setIrqs(caller: Caller, user: User): number {
    const set = irqSet(user, (index) => this.recorded.irqs.get(index) ?? 1, NUM_IRQS);
    this.irqs.set(caller, set, this.recorded.irqs.has(pciIrqs.ERR));
    return 0;
  }

  /** As many signals as the program read at its next look. */
  awaited(eventfd: Eventfd): void {
    const place = this.irqs.placeOf(eventfd);
    const count = place === undefined ? undefined : this.interrupts.get(place)?.shift();
    for (let n = 0n; n < (count ?? 0n); n++) eventfd.signal();
  }

  /** Region and offset of a place in the device file. */
  private place(pos: bigint): { index: number; offset: bigint } {
    for (const [index, r] of this.recorded.regions)
      if (r.size > 0n && pos >= r.offset && pos < r.offset + r.size) return { index, offset: pos - r.offset };
    return fail('EINVAL');
  }
  regionName(pos: bigint): string {
    try {
      return String(this.place(pos).index);
    } catch {
      return '';
    }
  }
  private ram(index: number): Ram {
    const size = Number(this.recorded.regions.get(index)?.size ?? 0n);
    const ram = this.memory.get(index) ?? new Ram(size);
    this.memory.set(index, ram);
    return ram;
  }

  read(pos: bigint, length: number): Buffer {
    const { index, offset } = this.place(pos);
    const found = this.reads.next(placeKey(index, offset, length));
    if (!found) return Buffer.alloc(length);
    if (found.ret < 0) throw new Failed(-found.ret);
    return found.output ?? Buffer.alloc(found.ret);
  }
  write(pos: bigint, bytes: Buffer): number {
    const { index, offset } = this.place(pos);
    const found = this.writes.next(placeKey(index, offset, bytes.length));
    if (found && found.ret < 0) throw new Failed(-found.ret);
    return found?.ret ?? bytes.length;
  }

  mmap(request: MmapRequest): Mapping {
    const { index, offset } = this.place(request.offset);
    const length = Number(request.length);
    const at = Number(offset);
    const base = this.recorded.regions.get(index)?.offset ?? 0n;
    const recorded = [...this.recorded.reads.keys()].some((k) => k.startsWith(`${index}:`));
    return {
      region: index,
      offset: at,
      length,
      load: (where, size) => this.read(base + BigInt(at + where), size),
      store: (where, bytes) => {
        this.write(base + BigInt(at + where), bytes);
      },
      ...(recorded ? {} : { ram: { memory: this.ram(index), start: at } }),
    };
  }
}

/** What the caller passes: as many bytes as its first word says, where that is plausible. */
function argument(user: User): Buffer {
  const size = user.read(4).readUInt32LE();
  return size >= 4 && size <= ARG_MAX ? user.read(size) : user.read(4);
}
