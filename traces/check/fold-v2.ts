// VFIO_DEVICE_FEATURE and data descriptors: the v2 migration state, its data session, and DMA logging.

import { FEATURE_MASK, featureOps, vfio_device_feature, vfio_precopy_info } from '../../schema/device.ts';
import { type Feature, features, type MigState } from '../../schema/features.ts';
import { migStateName, pathOf, sessionOf } from '../../schema/fsm-v2.ts';
import { fieldOf, type Struct } from '../../schema/layout.ts';
import type { TraceEvent } from '../event.ts';
import { small, wide } from './fields.ts';
import { after } from './fold-device.ts';
import { bitmapAt } from './fold-iommu.ts';
import { type Device, Session, type V2, type World } from './shadow.ts';
import { type Emit, ended, type StepOf } from './step.ts';

const HEAD = vfio_device_feature.size;
const idOf = (name: string): number => (features.find((f) => f.name === name) as Feature).id;
const dataOf = (name: string): Struct => features.find((f) => f.name === name)?.data as Struct;
export const featureIds = {
  MIGRATION: idOf('MIGRATION'),
  STATE: idOf('MIG_DEVICE_STATE'),
  LOW_POWER_ENTRY: idOf('LOW_POWER_ENTRY'),
  LOW_POWER_WAKEUP: idOf('LOW_POWER_ENTRY_WITH_WAKEUP'),
  LOW_POWER_EXIT: idOf('LOW_POWER_EXIT'),
  START: idOf('DMA_LOGGING_START'),
  STOP: idOf('DMA_LOGGING_STOP'),
  REPORT: idOf('DMA_LOGGING_REPORT'),
  PRECOPY_V2: idOf('MIG_PRECOPY_INFOv2'),
} as const;

const migration = wide(dataOf('MIGRATION'), 'flags', HEAD);
const state = small(dataOf('MIG_DEVICE_STATE'), 'device_state', HEAD);
const dataFd = small(dataOf('MIG_DEVICE_STATE'), 'data_fd', HEAD);
/** States in which the device does no DMA of its own, or none to peers. */
export const quietStates: ReadonlySet<MigState> = new Set([
  'STOP',
  'STOP_COPY',
  'RESUMING',
  'RUNNING_P2P',
  'PRE_COPY_P2P',
]);
export const stoppedStates: ReadonlySet<MigState> = new Set(['STOP', 'STOP_COPY', 'RESUMING']);

/** The saving or resuming session ends: its descriptor is good for close() only. */
function endSession(v2: V2, finished = false): void {
  if (v2.session) {
    v2.session.open = false;
    v2.session.finished = finished;
  }
  v2.session = null;
}

export function resetV2(v2: V2): void {
  endSession(v2);
  v2.states = new Set<MigState>(['RUNNING']);
  v2.failed = null;
  v2.reset = true;
}

const flagsOf = (v2: V2): number => v2.flags ?? 7; // not asked: whatever a device can do

/** What the state may be after a SET that failed, or never returned: where it was, anywhere on the way, or ERROR. */
export function possible(v2: V2, to: MigState | undefined): ReadonlySet<MigState> | null {
  if (!v2.states || !to) return v2.states;
  const all = new Set<MigState>(v2.states);
  for (const from of v2.states) {
    const path = pathOf(flagsOf(v2), from, to);
    if (path === null) continue; // refused before any arc
    for (const s of path.slice(0, -1)) all.add(s);
    if (path.length > 0) all.add('ERROR');
  }
  return all;
}

function set(event: TraceEvent, world: World, device: Device, emit: Emit): void {
  const to = state(event.input);
  if (to === undefined) return;
  const v2 = device.v2;
  const end = ended(event);
  const answered = dataFd(after(event)) ?? null;
  // What fails before the state machine answers nothing: the field is as the program left it.
  const untouched = !end.ok && answered === dataFd(event.input);
  const step: StepOf<'set'> = { kind: 'set', ...end, device, to, dataFd: untouched ? null : answered };
  emit(step);
  v2.used = true;
  v2.reset = false;
  const name = migStateName(to);
  if (!step.ok) {
    v2.states = possible(v2, name);
    if (name && name !== 'ERROR') v2.failed = { event: event.id, to };
    return;
  }
  const from = v2.state;
  const path = from && name ? pathOf(flagsOf(v2), from, name) : null;
  let here = from;
  for (const next of path ?? []) {
    if (sessionOf(here as MigState, next) === 'close') endSession(v2, true);
    here = next;
  }
  if (!from && name && !['PRE_COPY', 'PRE_COPY_P2P', 'STOP_COPY'].includes(name) && v2.session?.kind === 'save')
    endSession(v2, true);
  v2.states = name ? new Set([name]) : null;
  v2.failed = null;
  if (step.dataFd !== null && step.dataFd >= 0) newSession(event, world, device, step.dataFd, name);
  if (name && stoppedStates.has(name)) v2.stopped = true;
}

function newSession(event: TraceEvent, world: World, device: Device, fd: number, state: MigState | undefined): void {
  endSession(device.v2);
  const session = new Session(device, event.made, fd, state === 'RESUMING' ? 'resume' : 'save', event);
  device.v2.session = session;
  device.held.add(session);
  world.streams.push(session);
  if (event.made === 0) return;
  world.sessions.set(event.made, session);
  world.learn(event.process, fd, event.made);
}

function get(event: TraceEvent, device: Device, emit: Emit): void {
  const bytes = after(event);
  const now = state(bytes);
  const end = ended(event);
  if (now === undefined || !end.ok) return;
  emit({ kind: 'get', ...end, device, state: now, dataFd: dataFd(bytes) ?? -1 });
  const name = migStateName(now);
  device.v2.used = true;
  device.v2.reset = false;
  device.v2.failed = null;
  device.v2.states = name ? new Set([name]) : null;
}

const startLayout = dataOf('DMA_LOGGING_START');
const reportLayout = dataOf('DMA_LOGGING_REPORT');
const start = {
  pageSize: wide(startLayout, 'page_size', HEAD),
  count: small(startLayout, 'num_ranges', HEAD),
  at: HEAD + fieldOf(startLayout, 'ranges').at,
};
function loggingStart(event: TraceEvent, device: Device, emit: Emit): void {
  const count = start.count(event.input);
  if (count === undefined) return;
  const bytes = event.memory.find((m) => m.at === start.at && m.phase === 'in')?.bytes;
  const ranges = bytes ? [] : null;
  for (let i = 0; bytes && ranges && i < count && (i + 1) * 16 <= bytes.length; i++)
    (ranges as { iova: bigint; length: bigint }[]).push({
      iova: bytes.readBigUInt64LE(i * 16),
      length: bytes.readBigUInt64LE(i * 16 + 8),
    });
  const end = ended(event);
  emit({ kind: 'loggingStart', ...end, device, count, ranges, pageSize: start.pageSize(event.input) ?? 0n });
  if (!end.ok) return;
  device.v2.logging = true;
  device.v2.lastReport = null;
  device.v2.reportFailed = null;
  device.v2.stopped = false;
}

const report = {
  iova: wide(reportLayout, 'iova', HEAD),
  length: wide(reportLayout, 'length', HEAD),
  at: HEAD + fieldOf(reportLayout, 'bitmap').at,
};
/** Whether the device does no DMA (or none to peers) for sure. */
export function quiet(device: Device): boolean {
  if (device.v1) return device.v1.state !== null && ((device.v1.state & 1) === 0 || (device.v1.state & 8) !== 0);
  return device.v2.within(quietStates);
}
function loggingReport(event: TraceEvent, device: Device, emit: Emit): void {
  bitmapAt(event, report.at, device.name, emit);
  const end = ended(event);
  const changed = event.memory.find((m) => m.at === report.at && m.phase === 'out');
  const length = report.length(event.input) ?? 0n;
  const bytes = changed?.bytes ?? event.memory.find((m) => m.at === report.at)?.bytes ?? null;
  const dirty = bytes ? bytes.some((b) => b !== 0) : null;
  emit({ kind: 'loggingReport', ...end, device, iova: report.iova(event.input) ?? 0n, length, dirty });
  if (end.ok) device.v2.lastReport = quiet(device) ? 'quiet' : 'running';
  else device.v2.reportFailed = event.id;
}

/** A VFIO_DEVICE_FEATURE call that is no probe. */
export function feature(event: TraceEvent, world: World, device: Device, emit: Emit): void {
  const flags = event.feature ?? 0;
  const id = flags & FEATURE_MASK;
  const end = ended(event);
  emit({ kind: 'feature', ...end, device, id, op: flags & ~FEATURE_MASK });
  if (flags & featureOps.PROBE) return;
  const isSet = (flags & featureOps.SET) !== 0;
  if (id === featureIds.STATE) {
    if (isSet) set(event, world, device, emit);
    else get(event, device, emit);
  } else if (id === featureIds.START) loggingStart(event, device, emit);
  else if (id === featureIds.REPORT) loggingReport(event, device, emit);
  else if (id === featureIds.MIGRATION) {
    const has = migration(after(event));
    if (!end.ok || has === undefined) return;
    emit({ kind: 'migration', ...end, device, flags: has });
    device.v2.flags = Number(has & 7n);
  } else if (id === featureIds.STOP) {
    emit({ kind: 'loggingStop', ...end, device });
    if (end.ok) device.v2.logging = false;
  } else if (id === featureIds.PRECOPY_V2) device.v2.precopyV2 ||= end.ok;
  else if (id === featureIds.LOW_POWER_ENTRY || id === featureIds.LOW_POWER_WAKEUP) device.lowPower ||= end.ok;
  else if (id === featureIds.LOW_POWER_EXIT && end.ok) device.lowPower = false;
}

/** read() and write() of a data descriptor. */
export function data(event: TraceEvent, session: Session, write: boolean, emit: Emit): void {
  const end = ended(event);
  const count = end.ok ? (event.ret ?? 0) : 0;
  emit({ kind: 'data', ...end, session, write, count });
  if (end.ok && count > 0) session.stream.add(write ? event.input : event.output, count);
  else if (end.ok && !write && (event.length ?? 0) > 0 && session.device.v2.state === 'STOP_COPY') session.ended = true;
  else if (!end.ok && !transient.has(end.errno)) session.broken = true;
}
const transient: ReadonlySet<number> = new Set([11 /* EAGAIN */, 4 /* EINTR */, 42 /* ENOMSG */]);

const precopy = {
  flags: small(vfio_precopy_info, 'flags'),
  initial: wide(vfio_precopy_info, 'initial_bytes'),
};
export function precopyInfo(event: TraceEvent, session: Session, emit: Emit): void {
  const end = ended(event);
  const bytes = after(event);
  const initial = end.ok ? (precopy.initial(bytes) ?? null) : null;
  const flagsIn = precopy.flags(event.input) ?? 0;
  emit({ kind: 'precopyInfo', ...end, session, flagsIn, flags: precopy.flags(bytes) ?? 0, initial });
  if (initial !== null) session.info = { initial, at: session.stream.length };
}
