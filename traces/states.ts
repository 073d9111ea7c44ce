// A device's migration state as the calls of a trace show it, for protocol v1 (device_state in the migration region)
// and v2 (VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE). Fed with events in order; what is not known is null, never guessed.

import { request } from '../schema/call.ts';
import { decode } from '../schema/decode.ts';
import { deviceCalls, FEATURE_MASK, featureOps, migrationRegion, vfio_device_feature } from '../schema/device.ts';
import { errnoNumber } from '../schema/errno.ts';
import { features, type MigState, migrationFlags, migStates } from '../schema/features.ts';
import { migStateName, nextState } from '../schema/fsm-v2.ts';
import { fdKinds } from '../schema/kinds.ts';
import { fieldOf, widths } from '../schema/layout.ts';
import { v1StateName, vfio_device_migration_info } from '../schema/states-v1.ts';
import type { TraceEvent } from './event.ts';
import type { Condition, EventRange } from './range.ts';
import { everything } from './range.ts';
import type { Trace } from './trace.ts';

export type Protocol = 'v1' | 'v2';
/** How a state came to be known: the device was opened, the program set it, read it, or reset the device. */
export type How = 'open' | 'set' | 'get' | 'reset';

export interface StateChange {
  readonly device: number;
  readonly protocol: Protocol | null;
  readonly how: How;
  readonly event: number;
  /** ns since the recording's start, at which the call was entered; and what it took (null: it never returned). */
  readonly t: number;
  readonly dur: number | null;
  readonly pid: number;
  readonly tid: number;
  /** What was asked for, null for open, get and reset. */
  readonly asked: string | null;
  readonly ret: number | null;
  /** Before and after; null: not known. */
  readonly from: string | null;
  readonly to: string | null;
}

/** A stay in one state. */
export interface Stay extends StateChange {
  /** ns until the next change, null: to the end of what was recorded. */
  readonly lasted: number | null;
  /** Bytes of device state that were read (saved) and written (restored) meanwhile. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface DeviceStates {
  readonly device: number;
  readonly protocol: Protocol | null;
  readonly stays: readonly Stay[];
}

const MIG_DEVICE_STATE = features.find((f) => f.name === 'MIG_DEVICE_STATE')?.id ?? -1;
const MIGRATION = features.find((f) => f.name === 'MIGRATION');
const MIGRATION_ID = MIGRATION?.id ?? -1;
const EVERY_FLAG = Object.values(migrationFlags).reduce((all, flag) => all | flag, 0);
const EINVAL = -(errnoNumber('EINVAL') ?? 0);
const requestOf = (name: string): number => request(deviceCalls.find((c) => c.name === name)?.nr ?? -1);
const FEATURE = requestOf('VFIO_DEVICE_FEATURE');
const RESET = requestOf('VFIO_DEVICE_RESET');
const STATE_FIELD = fieldOf(vfio_device_migration_info, 'device_state');

const v2Name = (state: number): string => migStateName(state) ?? `state ${state}`;

interface Shadow {
  /** MIGRATION flags that the device said it has; every one until then. */
  flags: number;
  protocol: Protocol | null;
  state: string | null;
}

/** Walks over events and tells the changes of state among them. */
export class StateTracker {
  readonly #trace: Pick<Trace, 'handles' | 'regions' | 'resolve'>;
  readonly #migration: ReadonlySet<string>;
  readonly #devices = new Map<number, Shadow>();

  constructor(
    trace: Pick<Trace, 'handles' | 'regions' | 'resolve'>,
    migration: readonly { handle: number; index: number }[],
  ) {
    this.#trace = trace;
    this.#migration = new Set(migration.map((r) => `${trace.resolve(r.handle)}:${r.index}`));
  }

  /** State now, null: not known. */
  state(device: number): string | null {
    return this.#devices.get(device)?.state ?? null;
  }

  protocol(device: number): Protocol | null {
    return this.#devices.get(device)?.protocol ?? null;
  }

  feed(e: TraceEvent): StateChange | undefined {
    const made = e.made;
    if (made && this.#trace.handles.get(made)?.kind === 'device' && (e.ret ?? -1) >= 0)
      return this.#changed(e, made, 'open', null, 'RUNNING'); // linux/vfio.h: the state of a device that was just opened
    if (e.kind !== 'device') return undefined;
    if (e.op === 'ioctl' && e.request === RESET) return this.#reset(e);
    if (e.op === 'ioctl' && e.request === FEATURE) return this.#feature(e);
    if (e.region !== null && this.#migration.has(`${e.handle}:${e.region}`)) return this.#region(e);
    return undefined;
  }

  #reset(e: TraceEvent): StateChange | undefined {
    const known = this.#devices.get(e.handle);
    if (e.ret !== 0 || !known) return undefined;
    return this.#changed(e, e.handle, 'reset', null, 'RUNNING');
  }

  #feature(e: TraceEvent): StateChange | undefined {
    const flags = e.feature ?? 0;
    const arg = e.call?.arg;
    if ((flags & FEATURE_MASK) === MIGRATION_ID && flags & featureOps.GET && e.ret === 0) this.#migrationFlags(e);
    if ((flags & FEATURE_MASK) !== MIG_DEVICE_STATE || flags & featureOps.PROBE || arg?.kind !== 'struct')
      return undefined;
    const stateIn = (bytes: Buffer | null): number | undefined => {
      const state = bytes ? decode(arg.layout, bytes).device_state : undefined;
      return typeof state === 'number' ? state : undefined;
    };
    this.#device(e.handle).protocol = 'v2';
    if (flags & featureOps.SET) {
      const asked = stateIn(e.input);
      const name = asked === undefined ? null : v2Name(asked);
      const after = e.ret === 0 ? name : this.#refused(e, asked) ? this.state(e.handle) : null;
      return this.#changed(e, e.handle, 'set', name, after);
    }
    const got = stateIn(e.output);
    return this.#read(e, got === undefined ? null : v2Name(got));
  }

  #migrationFlags(e: TraceEvent): void {
    const bytes = e.output;
    const at = vfio_device_feature.size + (MIGRATION?.data ? fieldOf(MIGRATION.data, 'flags').at : 0);
    if (bytes && bytes.length >= at + 4) this.#device(e.handle).flags = bytes.readUInt32LE(at) & EVERY_FLAG;
  }

  /** Refused before the device was asked for anything: there is no way to that state (vfio_mig_get_next_state()). */
  #refused(e: TraceEvent, asked: number | undefined): boolean {
    const { state, flags } = this.#device(e.handle);
    if (e.ret !== EINVAL || asked === undefined || state === null || !(state in migStates)) return false;
    const to = migStateName(asked);
    return to === undefined || (to !== state && nextState(flags, state as MigState, to) === null);
  }

  #region(e: TraceEvent): StateChange | undefined {
    if (e.a !== BigInt(STATE_FIELD.at) || e.length !== widths[STATE_FIELD.type] || e.val === null) return undefined;
    this.#device(e.handle).protocol = 'v1';
    const name = v1StateName(Number(e.val));
    if (e.op === 'pwrite' || e.op === 'store')
      return this.#changed(e, e.handle, 'set', name, (e.ret ?? -1) >= 0 ? name : null);
    return this.#read(e, name);
  }

  /** A state that was read counts as a change only when it says something new. */
  #read(e: TraceEvent, state: string | null): StateChange | undefined {
    if ((e.ret ?? -1) < 0 || state === null || this.#device(e.handle).state === state) return undefined;
    return this.#changed(e, e.handle, 'get', null, state);
  }

  #device(handle: number): Shadow {
    let shadow = this.#devices.get(handle);
    if (!shadow) {
      shadow = { flags: EVERY_FLAG, protocol: null, state: null };
      this.#devices.set(handle, shadow);
    }
    return shadow;
  }

  #changed(e: TraceEvent, device: number, how: How, asked: string | null, to: string | null): StateChange {
    const shadow = this.#device(device);
    const from = how === 'open' ? null : shadow.state;
    shadow.state = to;
    const { id: event, t, dur, pid, tid, ret } = e;
    return { device, protocol: shadow.protocol, how, event, t, dur, pid, tid, asked, ret, from, to };
  }
}

/** Regions that hold a v1 device_state. */
export function migrationRegions(trace: Pick<Trace, 'regions'>): { handle: number; index: number }[] {
  return trace.regions.filter((r) => r.type === migrationRegion.type && r.subtype === migrationRegion.subtype);
}

/** Only what can change a state or moves device state: the rest of a trace need not be read. */
function relevant(trace: Trace, range: EventRange): EventRange {
  const regions = migrationRegions(trace).map((r) => r.index);
  const sql = [
    `s.kind = ${fdKinds.data}`,
    `s.kind = ${fdKinds.device} AND s.request = ${RESET}`,
    `s.kind = ${fdKinds.device} AND s.request = ${FEATURE} AND s.feature & ${FEATURE_MASK} IN (${MIG_DEVICE_STATE}, ${MIGRATION_ID})`,
    `e.id IN (SELECT event FROM made WHERE kind = ${fdKinds.device})`,
    ...(regions.length > 0 ? [`s.region IN (${[...new Set(regions)].join()})`] : []),
  ].join(') OR (');
  const condition: Condition = { sql: `(${sql})`, params: [] };
  return { ...range, conditions: [...range.conditions, condition] };
}

/** Each device's stays, in the order in which the devices were first seen. */
export function deviceStates(
  trace: Trace,
  range: EventRange = everything,
  progress: (event: number) => void = () => {},
): DeviceStates[] {
  const migration = migrationRegions(trace);
  const tracker = new StateTracker(trace, migration);
  const data = new Set(migration.map((r) => `${trace.resolve(r.handle)}:${r.index}`));
  const devices = new Map<number, (StateChange & { bytesRead: number; bytesWritten: number })[]>();
  const owners = new Map<number, number>(); // data descriptor's handle → device
  for (const e of trace.events(relevant(trace, range))) {
    progress(e.id);
    const change = tracker.feed(e);
    if (change) {
      const list = devices.get(change.device) ?? [];
      list.push({ ...change, bytesRead: 0, bytesWritten: 0 });
      devices.set(change.device, list);
    }
    if (e.kind === 'device' && e.made) owners.set(e.made, e.handle);
    const device = e.kind === 'data' ? (owners.get(e.handle) ?? trace.handles.get(e.handle)?.parent ?? 0) : e.handle;
    const moved =
      e.kind === 'data' || (data.has(`${e.handle}:${e.region}`) && (e.a ?? 0n) >= vfio_device_migration_info.size);
    const stay = devices.get(device)?.at(-1);
    if (!moved || !stay || e.ret === null || e.ret <= 0) continue;
    if (e.op === 'read' || e.op === 'pread' || e.op === 'load') stay.bytesRead += e.ret;
    if (e.op === 'write' || e.op === 'pwrite' || e.op === 'store') stay.bytesWritten += e.ret;
  }
  return [...devices].map(([device, list]) => ({
    device,
    protocol: tracker.protocol(device),
    stays: list.map((s, i): Stay => {
      const next = list[i + 1];
      return { ...s, lasted: next ? Math.max(0, next.t + (next.dur ?? 0) - (s.t + (s.dur ?? 0))) : null };
    }),
  }));
}
