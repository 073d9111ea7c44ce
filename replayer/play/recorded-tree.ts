// What sysfs is to show while a trace answers: the devices that the trace knows.

import { pciRegions } from '../../schema/device.ts';
import type { Trace } from '../../traces/trace.ts';
import type { Shown, ShownBar } from './tree.ts';

/** What the recorder found out about a device (context `devices`). */
interface Described {
  readonly bus?: string;
  readonly vendor?: number | string;
  readonly device?: number | string;
  readonly class?: number | string;
  readonly group?: number | null;
  readonly cdev?: string | null;
}

const NODES = '/dev/vfio/devices/';
const CONFIG_SIZE = 256;
const number = (x: unknown): number => (x === undefined || x === null ? 0 : Number(x)) || 0;
const tail = (path: string | null | undefined): number | null => {
  const digits = /(\d+)$/.exec(path ?? '')?.[1];
  return digits === undefined ? null : Number(digits);
};

function barsOf(trace: Trace, handle: number): (ShownBar | null)[] {
  const bars: (ShownBar | null)[] = [];
  for (const r of trace.regions)
    if (trace.resolve(r.handle) === handle && r.index < pciRegions.ROM && r.size > 0n)
      bars[r.index] = { size: Number(r.size), kind: 'mem32' };
  return bars;
}

/** The configuration space as far as it was described or read. */
function configOf(trace: Trace, handle: number, d: Described): Buffer {
  const config = Buffer.alloc(CONFIG_SIZE);
  config.writeUInt16LE(number(d.vendor) & 0xffff, 0);
  config.writeUInt16LE(number(d.device) & 0xffff, 2);
  config.writeUIntLE(number(d.class) & 0xffffff, 9, 3);
  const space = trace.regions.find((r) => trace.resolve(r.handle) === handle && r.index === pciRegions.CONFIG);
  if (!space) return config;
  const first = new Set<number>();
  const range = {
    first: 1,
    last: Number.MAX_SAFE_INTEGER,
    tail: null,
    conditions: [{ sql: 's.region = ?', params: [pciRegions.CONFIG] }],
  };
  for (const e of trace.events(range)) {
    if (e.op !== 'pread' || e.handle !== handle || !e.output || first.has(Number(e.a))) continue;
    const at = Number(e.a);
    if (at >= 0 && at < CONFIG_SIZE) e.output.copy(config, at);
    first.add(at);
  }
  return config;
}

/** The devices of a trace: opened through a group by name, or by their own nodes. */
export function shownOf(trace: Trace): Shown[] {
  const described = (trace.context('devices') ?? {}) as Readonly<Record<string, Described>>;
  const shown = new Map<string, Shown>();
  for (const h of trace.handles.values()) {
    const byNode = Object.entries(described).find(([, d]) => d.cdev != null && d.cdev === h.path)?.[0];
    const name = h.name?.split(' ')[0] ?? byNode ?? (h.path?.startsWith(NODES) ? h.path : undefined);
    if (h.kind !== 'device' || !name || shown.has(name)) continue;
    const d = described[name] ?? {};
    const own = trace.resolve(h.id);
    const parent = h.parent === null ? undefined : trace.handles.get(trace.resolve(h.parent));
    const pci = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(name);
    shown.set(name, {
      name,
      bus: pci ? 'pci' : name.startsWith('/') ? null : 'mdev',
      group: d.group ?? tail(parent?.path),
      cdev: tail(d.cdev ?? (h.path?.startsWith(NODES) ? h.path : null)),
      config: pci ? configOf(trace, own, d) : null,
      bars: barsOf(trace, own),
    });
  }
  return [...shown.values()];
}
