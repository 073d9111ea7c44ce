// Which device of one trace stands opposite which of the other: the one of its name, else the next that is left. Devices
// that are not the same, or do not speak the same migration protocol, are compared as far as they go, and it is said.

import { featureOf } from '../../schema/decode.ts';
import { FEATURE_MASK, featureOps } from '../../schema/device.ts';
import type { TraceEvent } from '../event.ts';
import { migrationRegions, type Protocol } from '../states.ts';
import type { Trace } from '../trace.ts';

export interface DevicePair {
  readonly a: string;
  readonly b: string;
}

export function deviceNames(trace: Trace): string[] {
  const devices = [...trace.handles.values()].filter((h) => h.kind === 'device' && h.name !== null);
  devices.sort((x, y) => (x.opened ?? 0) - (y.opened ?? 0) || x.id - y.id);
  return [...new Set(devices.map((h) => h.name as string))];
}

export function pairDevices(a: Trace, b: Trace): DevicePair[] {
  const [left, right] = [deviceNames(a), deviceNames(b)];
  const free = right.filter((name) => !left.includes(name));
  return left.flatMap((name): DevicePair[] => {
    const other = right.includes(name) ? name : free.shift();
    return other === undefined ? [] : [{ a: name, b: other }];
  });
}

/** Migration protocols as the calls show them, by device. */
export class Protocols {
  readonly #devices = new Map<string, Protocol>();
  readonly #trace: Trace;

  constructor(trace: Trace) {
    this.#trace = trace;
    for (const { handle } of migrationRegions(trace)) this.#set(handle, 'v1');
  }

  see(e: TraceEvent): void {
    if (e.feature === null || e.ret !== 0 || e.feature & featureOps.PROBE) return;
    if (featureOf(e.feature & FEATURE_MASK)?.name === 'MIG_DEVICE_STATE') this.#set(e.handle, 'v2');
  }

  of(device: string): Protocol | undefined {
    return this.#devices.get(device);
  }

  #set(handle: number, protocol: Protocol): void {
    const name = this.#trace.handles.get(this.#trace.resolve(handle))?.name;
    if (name) this.#devices.set(name, protocol);
  }
}

/** What the recorder noted of a device: PCI ids, or the driver of one that has none. */
function modelOf(trace: Trace, name: string): string {
  const all = (trace.context('devices') ?? {}) as Record<string, Record<string, unknown> | undefined>;
  const d = all[name];
  if (!d) return '';
  return d.vendor ? `${d.vendor}:${d.device}` : String(d.driver ?? '');
}

export interface Side {
  readonly trace: Trace;
  readonly protocols: Protocols;
}

/** Sentences about devices that stand opposite each other and are not the same. */
export function remarksOn(pairs: readonly DevicePair[], a: Side, b: Side): string[] {
  const told = (side: Side, name: string): string => {
    const model = modelOf(side.trace, name);
    return model ? `${name} (${model})` : name;
  };
  const remarks = pairs.flatMap((p): string[] => {
    const [x, y] = [modelOf(a.trace, p.a), modelOf(b.trace, p.b)];
    const [from, to] = [a.protocols.of(p.a), b.protocols.of(p.b)];
    const devices = `A's ${told(a, p.a)} is compared with B's ${told(b, p.b)}`;
    const own = x && y && x !== y ? [`different devices: ${devices}`] : p.a === p.b ? [] : [devices];
    return from && to && from !== to
      ? [...own, `different migration protocols: ${p.a} speaks ${from} in A, ${p.b} ${to} in B`]
      : own;
  });
  for (const [side, names] of [
    ['A', deviceNames(a.trace).filter((n) => !pairs.some((p) => p.a === n))],
    ['B', deviceNames(b.trace).filter((n) => !pairs.some((p) => p.b === n))],
  ] as const)
    for (const name of names) remarks.push(`${side} alone has ${told(side === 'A' ? a : b, name)}`);
  return remarks;
}
