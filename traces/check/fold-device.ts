// Calls on a device that are not migration: what it has, its interrupts, reads and writes of its regions, mappings.

import { decode } from '../../schema/decode.ts';
import {
  irqSetFlags,
  migrationRegion,
  regionFlags,
  vfio_device_ioeventfd,
  vfio_irq_info,
  vfio_irq_set,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
  vfio_region_info,
} from '../../schema/device.ts';
import { wheres } from '../../schema/event.ts';
import type { TraceEvent } from '../event.ts';
import { small, wide } from './fields.ts';
import { type Device, type Irq, type Region, V1, type Window, type World } from './shadow.ts';
import { type Emit, ended } from './step.ts';

/** An ioctl's argument after the call; it is kept only where the kernel changed it. */
export const after = (event: TraceEvent): Buffer | null => event.output ?? event.input;

const region = {
  argsz: small(vfio_region_info, 'argsz'),
  index: small(vfio_region_info, 'index'),
  flags: small(vfio_region_info, 'flags'),
};
interface RegionCaps {
  SPARSE_MMAP?: { areas?: { offset: bigint; size: bigint }[] };
  TYPE?: { type: number; subtype: number };
  MIG_NDMA?: object;
}

export function regionInfo(event: TraceEvent, device: Device, emit: Emit): void {
  const bytes = after(event);
  const index = region.index(event.input);
  const end = ended(event);
  if (!end.ok || !bytes || index === undefined) return;
  const answer = decode(vfio_region_info, bytes) as unknown as RegionCaps &
    Record<'flags', number> &
    Record<'size' | 'offset', bigint> & { cap_offset: number; argsz: number };
  const has = (answer.flags & regionFlags.CAPS) !== 0;
  const r: Region = {
    index,
    flags: answer.flags,
    size: answer.size,
    offset: answer.offset,
    areas: answer.SPARSE_MMAP ? (answer.SPARSE_MMAP.areas ?? []) : null,
    type: answer.TYPE?.type ?? null,
    subtype: answer.TYPE?.subtype ?? null,
    ndma: answer.MIG_NDMA !== undefined,
    short: has && answer.cap_offset === 0 && answer.argsz > (region.argsz(event.input) ?? 0),
  };
  emit({ kind: 'regionInfo', ...end, device, region: r });
  device.regions.set(index, r);
  if (r.type === migrationRegion.type && r.subtype === migrationRegion.subtype && !device.v1)
    device.v1 = new V1(r, device.v2.states !== null && device.v2.reset === false);
}

export function irqOf(device: Device, index: number): Irq {
  let irq = device.irqs.get(index);
  if (!irq) {
    irq = { flags: 0, count: null, enabled: 0, armed: new Map() };
    device.irqs.set(index, irq);
  }
  return irq;
}

const irqInfo = {
  index: small(vfio_irq_info, 'index'),
  flags: small(vfio_irq_info, 'flags'),
  count: small(vfio_irq_info, 'count'),
};
export function irqInfoAnswer(event: TraceEvent, device: Device): void {
  const index = irqInfo.index(event.input);
  const bytes = after(event);
  if (index === undefined || !ended(event).ok) return;
  const irq = irqOf(device, index);
  irq.flags = irqInfo.flags(bytes) ?? 0;
  irq.count = irqInfo.count(bytes) ?? null;
}

const irqSet = {
  flags: small(vfio_irq_set, 'flags'),
  index: small(vfio_irq_set, 'index'),
  start: small(vfio_irq_set, 'start'),
  count: small(vfio_irq_set, 'count'),
};
export function setIrqs(event: TraceEvent, world: World, device: Device, emit: Emit): void {
  const input = event.input;
  const flags = irqSet.flags(input);
  const index = irqSet.index(input);
  const start = irqSet.start(input);
  const count = irqSet.count(input);
  if (!input || flags === undefined || index === undefined || start === undefined || count === undefined) return;
  let eventfds: number[] | null = null;
  if (flags & irqSetFlags.DATA_EVENTFD) {
    eventfds = [];
    for (let i = 0; i < count && vfio_irq_set.size + 4 * i + 4 <= input.length; i++) {
      const fd = input.readInt32LE(vfio_irq_set.size + 4 * i);
      eventfds.push(fd < 0 ? 0 : world.handleOf(event.process, fd) || -fd);
    }
  }
  const irq = irqOf(device, index);
  const step = { kind: 'irqs', ...ended(event), device, irq, index, flags, start, count, eventfds } as const;
  emit(step);
  if (!step.ok || !(flags & irqSetFlags.ACTION_TRIGGER)) return;
  if (flags & irqSetFlags.DATA_NONE && count === 0) {
    irq.armed.clear();
    irq.enabled = 0;
  } else if (eventfds) {
    eventfds.forEach((handle, i) => {
      if (handle === 0) irq.armed.delete(start + i);
      else irq.armed.set(start + i, handle);
    });
    irq.enabled = Math.max(irq.enabled, start + count);
  }
}

const ioeventfd = {
  flags: small(vfio_device_ioeventfd, 'flags'),
  offset: wide(vfio_device_ioeventfd, 'offset'),
  data: wide(vfio_device_ioeventfd, 'data'),
  fd: small(vfio_device_ioeventfd, 'fd'),
};
export function ioEventfd(event: TraceEvent, device: Device, emit: Emit): void {
  const fd = ioeventfd.fd(event.input);
  if (fd === undefined) return;
  const key = `${ioeventfd.offset(event.input)}/${ioeventfd.flags(event.input)}/${ioeventfd.data(event.input)}`;
  const step = { kind: 'ioeventfd', ...ended(event), device, key, on: fd >= 0 } as const;
  emit(step);
  if (!step.ok) return;
  if (step.on) device.ioeventfds.add(key);
  else device.ioeventfds.delete(key);
}

export function hotResetInfo(event: TraceEvent, device: Device): void {
  const bytes = after(event);
  if (!ended(event).ok || !bytes) return;
  const answer = decode(vfio_pci_hot_reset_info, bytes) as { devices?: { group_id: number }[] };
  device.dependents = (answer.devices ?? []).map((d) => d.group_id);
}

const hotResetCount = small(vfio_pci_hot_reset, 'count');
export function hotReset(event: TraceEvent, world: World, device: Device, emit: Emit): void {
  const input = event.input;
  const count = hotResetCount(input);
  if (!input || count === undefined) return;
  const groups = [];
  for (let i = 0; i < count && vfio_pci_hot_reset.size + 4 * i + 4 <= input.length; i++)
    groups.push(
      world.groups.get(world.handleOf(event.process, input.readInt32LE(vfio_pci_hot_reset.size + 4 * i))) ?? null,
    );
  emit({ kind: 'hotReset', ...ended(event), device, count, groups });
}

/** The region that a file offset lies in, for accesses that no GET_REGION_INFO of the recording told about. */
function regionAt(device: Device, offset: bigint): Region | null {
  for (const r of device.regions.values()) if (offset >= r.offset && offset < r.offset + r.size) return r;
  return null;
}

/** A read or write of a region, by call or (mapped) by load and store. */
export function access(event: TraceEvent, device: Device, write: boolean, mapped: boolean, emit: Emit): Region | null {
  const known = event.region === null ? null : (device.regions.get(event.region) ?? null);
  let offset = event.a ?? 0n;
  let r = known;
  if (event.region === null) {
    r = regionAt(device, offset);
    if (r) offset -= r.offset;
  }
  emit({ kind: 'access', ...ended(event), device, region: r, write, mapped, offset, length: event.length ?? 0 });
  return r;
}

const MAP_SHARED = 1; // asm-generic/mman-common.h
export function mapWindow(event: TraceEvent, device: Device, emit: Emit): void {
  const request = event.memory.find((m) => m.at === wheres.ARRAY)?.bytes; // u64 addr, length, prot, flags, offset
  const flags = request && request.length >= 32 ? Number(request.readBigUInt64LE(24)) : MAP_SHARED;
  let offset = event.a ?? 0n;
  let r = event.region === null ? null : (device.regions.get(event.region) ?? null);
  if (event.region === null) {
    r = regionAt(device, offset);
    if (r) offset -= r.offset;
  }
  const length = event.length ?? 0;
  const window: Window = { address: event.ret ?? 0, length, region: r, offset, process: event.process };
  const step = { kind: 'map', ...ended(event), device, window, shared: (flags & 3) === MAP_SHARED } as const;
  emit(step);
  if (step.ok) device.windows.push(window);
}

/** The device whose region is in the program's memory there. */
export function windowAt(world: World, process: number, address: bigint): Device | null {
  for (const device of world.devices.values())
    for (const w of device.windows)
      if (w.process === process && address >= BigInt(w.address) && address < BigInt(w.address) + BigInt(w.length))
        return device;
  return null;
}

/** Memory of the program that went away, by munmap, by mremap, or under a new mapping. */
export function memoryGone(event: TraceEvent, world: World, from: bigint, to: bigint, emit: Emit): void {
  emit({ kind: 'memoryGone', ...ended(event), process: event.process, from, to });
  for (const device of world.devices.values())
    for (let i = device.windows.length - 1; i >= 0; i--) {
      const w = device.windows[i] as Window;
      if (w.process === event.process && BigInt(w.address) >= from && BigInt(w.address + w.length) <= to)
        device.windows.splice(i, 1);
    }
}
