// A device as a trace tells of it: every call is answered as the same call was answered then, in the recorded order,
// and with the last answer from then on. Interrupt wiring and mappings are real, what the device did by itself is not.

import { deviceCalls, pciIrqs, regionFlags } from '../../schema/device.ts';
import { callOf } from '../../schema/surface.ts';
import type { Caller, Eventfd } from './caller.ts';
import type { Device } from './device.ts';
import type { Driver } from './driver.ts';
import { Failed, fail } from './failed.ts';
import type { MmapRequest } from './file.ts';
import { irqSet } from './irq-set.ts';
import { PciIrqs } from './pci-irq.ts';
import { ReplayedStream } from './recorded-stream.ts';
import {
  type Answer,
  type Asked,
  layoutOf,
  normalised,
  placeKey,
  type RecordedDevice,
  requestKey,
} from './recording.ts';
import { type Mapping, Ram } from './region.ts';
import { featureFdAt, requestsOf } from './request.ts';
import type { User } from './user.ts';

const call = requestsOf(deviceCalls);
const NUM_IRQS = Object.keys(pciIrqs).length;

/** Hands out recorded answers one after another; the last one stays. */
class Turns {
  private readonly given = new Map<readonly Answer[], number>();
  next(answers: readonly Answer[] | undefined): Answer | undefined {
    if (!answers) return undefined;
    const n = this.given.get(answers) ?? 0;
    this.given.set(answers, n + 1);
    return answers[Math.min(n, answers.length - 1)];
  }
}

export class Recorded implements Driver {
  readonly physical: boolean;
  readonly migration = null;
  readonly logging = false;
  readonly laxLogging = false;
  private readonly recorded: RecordedDevice;
  private readonly irqs: PciIrqs;
  private readonly turns = new Turns();
  private readonly interrupts: Map<string, bigint[]>;
  private readonly memory = new Map<number, Ram>();

  constructor(device: Device, physical: boolean, recorded: RecordedDevice) {
    this.physical = physical;
    this.recorded = recorded;
    this.irqs = new PciIrqs(device, { asserted: false, messages: () => {} });
    this.interrupts = new Map([...recorded.interrupts].map(([key, counts]) => [key, [...counts]]));
  }

  open(): void {}
  close(): void {
    this.irqs.off();
  }
  toError(): void {}

  ioctl(caller: Caller, request: number, user: User): number {
    if (request !== call('VFIO_DEVICE_SET_IRQS')) return this.answer(caller, request, null, user);
    const before = this.recorded.asked.get(requestKey(request, null));
    const failed = before && this.turns.next(this.find(before, request, user)?.answers);
    if (failed && failed.ret < 0) throw new Failed(-failed.ret);
    const set = irqSet(user, (index) => this.recorded.irqs.get(index) ?? 1, NUM_IRQS);
    this.irqs.set(caller, set, this.recorded.irqs.has(pciIrqs.ERR));
    return 0;
  }
  feature(caller: Caller, flags: number, user: User): number {
    return this.answer(caller, call('VFIO_DEVICE_FEATURE'), flags, user);
  }

  private answer(caller: Caller, request: number, feature: number | null, user: User): number {
    const all = this.recorded.asked.get(requestKey(request, feature));
    const found = all && this.turns.next(this.find(all, request, user)?.answers);
    if (!found) return fail('ENOTTY');
    if (found.output) {
      const output = Buffer.from(found.output);
      const at = feature === null ? undefined : featureFdAt(feature);
      if (found.stream && at !== undefined) output.writeInt32LE(this.stream(caller, found.stream), at);
      user.write(output);
    }
    if (found.ret < 0) throw new Failed(-found.ret);
    return found.ret;
  }

  /** The recorded request that the caller's bytes are; the same argsz is better, but another will do. */
  private find(all: readonly Asked[], request: number, user: User): Asked | undefined {
    const layout = layoutOf(callOf('device', request));
    let second: Asked | undefined;
    let readable = false;
    for (const asked of all) {
      if (!layout) return asked; // nothing to compare
      if (asked.input.length < 4) continue; // it could not be read then
      const bytes = user.memory.read(user.address, asked.input.length);
      if (!bytes) continue;
      readable = true;
      if (!normalised(layout, bytes).equals(asked.input)) continue;
      if (bytes.readUInt32LE() === asked.argsz) return asked;
      second ??= asked;
    }
    if (!readable && layout) fail('EFAULT');
    return second;
  }

  private stream(caller: Caller, handle: number): number {
    const file = new ReplayedStream(this.recorded.streams.get(handle));
    const fd = caller.install(file);
    if (fd < 0) throw new Failed(-fd);
    return fd;
  }

  /** As many signals as the program read at its next look. */
  awaited(eventfd: Eventfd): void {
    const place = this.irqs.placeOf(eventfd);
    const count = place === undefined ? undefined : this.interrupts.get(place)?.shift();
    for (let n = 0n; n < (count ?? 0n); n++) eventfd.signal();
  }

  /** The region that begins last before a place in the device file. */
  private place(pos: bigint): { index: number; offset: bigint } {
    let best: { index: number; offset: bigint } | undefined;
    for (const [index, r] of this.recorded.regions)
      if (pos >= r.offset && (!best || pos - r.offset < best.offset)) best = { index, offset: pos - r.offset };
    return best ?? fail('EINVAL');
  }
  regionName(pos: bigint): string {
    return this.recorded.regions.size > 0 ? String(this.place(pos).index) : '';
  }

  private recall(map: RecordedDevice['reads'], pos: bigint, length: number): Answer | undefined {
    const { index, offset } = this.place(pos);
    const answers = map.get(placeKey(index, offset, length)) ?? map.get(placeKey(-1, pos, length));
    const found = this.turns.next(answers);
    if (found && found.ret < 0) throw new Failed(-found.ret);
    return found;
  }
  read(pos: bigint, length: number): Buffer {
    const found = this.recall(this.recorded.reads, pos, length);
    return found?.output ?? Buffer.alloc(found?.ret ?? length);
  }
  write(pos: bigint, bytes: Buffer): number {
    return this.recall(this.recorded.writes, pos, bytes.length)?.ret ?? bytes.length;
  }

  mmap(request: MmapRequest): Mapping {
    const { index, offset } = this.place(request.offset);
    const region = this.recorded.regions.get(index);
    const length = Number(request.length);
    const at = Number(offset);
    if (!region || !(region.flags & regionFlags.MMAP) || offset + request.length > region.size) return fail('EINVAL');
    const known = [...this.recorded.reads.keys()].some((k) => k.startsWith(`${index}:`));
    const ram = this.memory.get(index) ?? new Ram(Number(region.size));
    this.memory.set(index, ram);
    return {
      region: index,
      offset: at,
      length,
      load: (where, size) => (known ? this.read(region.offset + BigInt(at + where), size) : ram.read(at + where, size)),
      store: (where, bytes) => {
        if (known) this.write(region.offset + BigInt(at + where), bytes);
        else ram.write(at + where, bytes);
      },
      ...(known ? {} : { ram: { memory: ram, start: at } }),
    };
  }
}
