// Folds a trace's calls, in order, into the shadow; each call is handed to the rules first, as the steps it consists of.

import { wheres } from '../../schema/event.ts';
import { type FdKind, paths } from '../../schema/kinds.ts';
import type { TraceEvent } from '../event.ts';
import {
  access,
  hotReset,
  hotResetInfo,
  ioEventfd,
  irqInfoAnswer,
  mapWindow,
  memoryGone,
  regionInfo,
  setIrqs,
} from './fold-device.ts';
import { attach, bindCall, containerCall, groupCall } from './fold-iommu.ts';
import { migrationRegion, resetV1 } from './fold-v1.ts';
import { data, feature, precopyInfo, resetV2 } from './fold-v2.ts';
import { Device, type Group, type World } from './shadow.ts';
import { type Emit, ended } from './step.ts';

export function fold(event: TraceEvent, world: World, emit: Emit): void {
  if (event.fd >= 0 && event.handle !== 0 && event.op !== 'close') {
    const replaced = world.learn(event.process, event.fd, event.handle);
    if (replaced) closed(event, world, replaced, emit);
  }
  switch (event.op) {
    case 'ioctl':
      ioctl(event, world, emit);
      break;
    case 'pread':
    case 'load':
      regionAccess(event, world, false, event.op === 'load', emit);
      break;
    case 'pwrite':
    case 'store':
      regionAccess(event, world, true, event.op === 'store', emit);
      break;
    case 'read':
    case 'write':
      readWrite(event, world, event.op === 'write', emit);
      break;
    case 'open':
    case 'attach':
    case 'eventfd':
      opened(event, world, emit);
      break;
    case 'dup': {
      const replaced = event.ret !== null && event.ret >= 0 ? world.learn(event.process, event.ret, event.handle) : 0;
      if (replaced) closed(event, world, replaced, emit);
      return;
    }
    case 'close': {
      const gone = ended(event).ok ? world.forget(event.process, event.fd, event.handle) : 0;
      if (gone) closed(event, world, gone, emit);
      return;
    }
    case 'mmap': {
      const device = world.devices.get(event.handle);
      if (device) mapWindow(event, device, emit);
      return;
    }
    case 'munmap':
    case 'mremap':
      unmapped(event, world, emit);
      break;
    case 'process': // a: pid, length: parent's pid
      world.started(event.process, event.pid, event.length ?? 0);
      break;
    default:
      return;
  }
}

function unmapped(event: TraceEvent, world: World, emit: Emit): void {
  if (!ended(event).ok || event.a === null) return;
  const moved = event.memory.find((m) => m.at === wheres.ARRAY)?.bytes; // u64 old, old_len, new_len, flags, new
  let from = event.a;
  const to = event.a + BigInt(event.length ?? 0);
  if (event.op === 'mremap' && moved && moved.length >= 24 && BigInt(event.ret ?? 0) === event.a)
    from += moved.readBigUInt64LE(16); // grown or shrunk in place
  if (from < to) memoryGone(event, world, from, to, emit);
}

/** Kind of the open file that open() makes, by its path (schema/kinds.ts). */
const kindOf = (path: string): FdKind =>
  paths.find((p) => (p.exact ? path === p.prefix : path.startsWith(p.prefix)))?.kind ?? 'unknown';
const pathIn = (event: TraceEvent): string => {
  const bytes = event.input ?? event.memory.find((m) => m.at === wheres.PATH)?.bytes;
  return bytes ? bytes.toString('utf8').replace(/\0.*$/s, '') : '';
};

/** open(), eventfd(), and descriptors that were there before. */
function opened(event: TraceEvent, world: World, emit: Emit): void {
  const end = ended(event);
  const attached = event.op === 'attach';
  const handle = event.made || event.handle;
  if ((!end.ok && !attached) || handle === 0) return;
  const path = pathIn(event);
  const kind = event.op === 'open' && path ? kindOf(path) : event.kind;
  world.paths.set(handle, path);
  const replaced = world.learn(event.process, attached ? event.fd : (event.ret ?? -1), handle);
  if (replaced) closed(event, world, replaced, emit);
  if (kind === 'container' || kind === 'iommufd') world.container(handle, kind === 'iommufd');
  else if (kind === 'group' && !world.groups.has(handle)) {
    const number = /^\d+$/.test(path.slice('/dev/vfio/'.length)) ? Number(path.slice('/dev/vfio/'.length)) : null;
    world.groups.set(handle, { handle, number, container: null });
  } else if (kind === 'device' && !world.devices.has(handle)) {
    const cdev = path !== '' && !attached;
    newDevice(
      event,
      world,
      handle,
      new Device(world.deviceName(handle) || path || `device ${handle}`, null, cdev, !attached),
      !attached,
      emit,
    );
  }
}

function newDevice(event: TraceEvent, world: World, handle: number, made: Device, fresh: boolean, emit: Emit): void {
  const same = [...world.devices.values()].find((d) => d.name === made.name && d.handles.size > 0);
  const device = same ?? made;
  device.handles.add(handle);
  world.devices.set(handle, device);
  if (!same && device.group?.container) {
    device.container = device.group.container;
    attach(device, device.container.own);
  }
  emit({ kind: 'open', ...ended(event), device, fresh: fresh && !same });
}

/** The last descriptor of an open file is gone. */
function closed(event: TraceEvent, world: World, handle: number, emit: Emit): void {
  const end = ended(event);
  const session = world.sessions.get(handle);
  const device = world.devices.get(handle);
  const container = world.containers.get(handle);
  if (session) {
    emit({ kind: 'dataClose', ...end, session });
    session.device.held.delete(session);
    if (device) return;
    world.sessions.delete(handle);
  } else if (device) {
    device.handles.delete(handle);
    if (device.handles.size > 0) return;
    emit({ kind: 'close', ...end, device });
    attach(device, null);
    if (device.v2.session) device.v2.session.open = false;
    world.devices.delete(handle);
  } else if (container) {
    emit({ kind: 'containerClose', ...end, container });
    for (const space of container.all()) space.maps.clear();
    world.containers.delete(handle);
  } else if (world.groups.has(handle)) {
    world.groups.delete(handle);
  } else emit({ kind: 'eventfdClose', ...end, handle });
}

function regionAccess(event: TraceEvent, world: World, write: boolean, mapped: boolean, emit: Emit): void {
  const device = world.devices.get(event.handle);
  if (!device) return;
  const v1 = device.v1;
  if (v1 && (event.region === v1.region.index || (event.region === null && inRegion(event, v1.region))))
    migrationRegion(event, world, device, v1, write, emit);
  else access(event, device, write, mapped, emit);
}
const inRegion = (event: TraceEvent, r: { offset: bigint; size: bigint }): boolean =>
  event.a !== null && event.a >= r.offset && event.a < r.offset + r.size;

function readWrite(event: TraceEvent, world: World, write: boolean, emit: Emit): void {
  const session = world.sessions.get(event.handle);
  if (session) data(event, session, write, emit);
  else if (event.kind === 'eventfd') emit({ kind: 'eventfd', ...ended(event), handle: event.handle, write });
}

function ioctl(event: TraceEvent, world: World, emit: Emit): void {
  const name = event.call?.name;
  switch (event.kind) {
    case 'container':
    case 'iommufd': {
      const container = world.container(event.handle, event.kind === 'iommufd');
      emit({ kind: 'ioctl', ...ended(event), what: container.own.name, device: null });
      containerCall(event, world, container, emit);
      break;
    }
    case 'group': {
      const group = groupOf(event, world);
      emit({ kind: 'ioctl', ...ended(event), what: `group ${group.number ?? group.handle}`, device: null });
      if (name === 'VFIO_GROUP_GET_DEVICE_FD') getDevice(event, world, group, emit);
      else groupCall(event, world, emit);
      break;
    }
    case 'data': {
      const session = world.sessions.get(event.handle);
      if (!session) return;
      emit({ kind: 'ioctl', ...ended(event), what: session.device.name, device: session.device });
      if (name === 'VFIO_MIG_GET_PRECOPY_INFO') precopyInfo(event, session, emit);
      return;
    }
    case 'device':
      deviceCall(event, world, emit);
      break;
    default:
      return;
  }
}

function groupOf(event: TraceEvent, world: World): Group {
  let group = world.groups.get(event.handle);
  if (!group) {
    group = { handle: event.handle, number: null, container: null };
    world.groups.set(event.handle, group);
  }
  return group;
}

function getDevice(event: TraceEvent, world: World, group: Group, emit: Emit): void {
  const end = ended(event);
  emit({ kind: 'getDevice', ...end, group });
  if (!end.ok || event.made === 0) return;
  const name = pathIn(event).split(' ')[0] || `device ${event.made}`;
  world.learn(event.process, event.ret ?? -1, event.made);
  newDevice(event, world, event.made, new Device(name, group, false, true), true, emit);
}

function deviceCall(event: TraceEvent, world: World, emit: Emit): void {
  let device = world.devices.get(event.handle);
  if (!device) {
    device = new Device(world.deviceName(event.handle) || `device ${event.handle}`, null, false, false);
    device.handles.add(event.handle);
    world.devices.set(event.handle, device);
  }
  const end = ended(event);
  emit({ kind: 'ioctl', ...end, what: device.name, device });
  switch (event.call?.name) {
    case 'VFIO_DEVICE_GET_REGION_INFO':
      regionInfo(event, device, emit);
      break;
    case 'VFIO_DEVICE_GET_IRQ_INFO':
      irqInfoAnswer(event, device);
      break;
    case 'VFIO_DEVICE_SET_IRQS':
      setIrqs(event, world, device, emit);
      break;
    case 'VFIO_DEVICE_RESET':
      emit({ kind: 'reset', ...end, device, hot: false });
      if (end.ok) reset(device);
      return;
    case 'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO':
      hotResetInfo(event, device);
      break;
    case 'VFIO_DEVICE_PCI_HOT_RESET':
      hotReset(event, world, device, emit);
      if (end.ok) reset(device);
      return;
    case 'VFIO_DEVICE_IOEVENTFD':
      ioEventfd(event, device, emit);
      break;
    case 'VFIO_DEVICE_FEATURE':
      feature(event, world, device, emit);
      break;
    case 'VFIO_DEVICE_BIND_IOMMUFD':
    case 'VFIO_DEVICE_ATTACH_IOMMUFD_PT':
    case 'VFIO_DEVICE_DETACH_IOMMUFD_PT':
      bindCall(event, world, device, emit);
      break;
    default:
      return;
  }
}

function reset(device: Device): void {
  if (device.v1) resetV1(device.v1);
  resetV2(device.v2);
}
