// Where the recorded devices are on the replay's host: the names, group paths and cdev paths that stand for the recorded
// ones. Nothing outside /dev/vfio and /dev/iommu is ever opened for a trace.

import { TraceError } from '../schema/errors.ts';
import { paths } from '../schema/kinds.ts';
import type { Handle } from '../traces/entities.ts';
import type { Trace } from '../traces/trace.ts';
import { checkCommon, type Host, usablePath, type Way } from './host.ts';

const CDEVS = paths[1].prefix;

/** Groups, cdevs, the container and iommufd. */
const VFIO_PATH = /^\/dev\/(iommu|vfio\/(devices\/)?[\w-]+)$/;

/** Recorded name → the device that stands for it, as `--map A=B` gives it; a cdev without a name is called by its path. */
export type DeviceMap = ReadonlyMap<string, string>;

export function parseMaps(maps: readonly string[]): DeviceMap {
  return new Map(
    maps.map((m) => {
      const [from, to, more] = m.split('=');
      if (!from || !to || more !== undefined)
        throw new TraceError('USAGE', `--map ${m}: write RECORDED=OWN, such as 0000:00:04.0=0000:00:05.0`);
      return [from, to];
    }),
  );
}

export interface Places {
  /** null: it is no VFIO path. */
  path(recorded: string): string | null;
  device(recorded: string): string;
  /** Devices, recorded and own, for the report. */
  readonly devices: ReadonlyMap<string, string>;
  /** A device has another address or group than it had. */
  readonly moved: boolean;
}

interface Context {
  readonly group?: unknown;
  readonly cdev?: unknown;
}

/** A device that the recorded program opened. */
interface Needed {
  /** Its path where the recording does not tell the name. */
  readonly name: string;
  readonly way: Way;
  /** Recorded path of its group or cdev. */
  readonly path: string;
}

function contextOf(trace: Trace): ReadonlyMap<string, Context> {
  const devices = trace.context('devices');
  if (typeof devices !== 'object' || devices === null) return new Map();
  return new Map(Object.entries(devices).filter(([, d]) => typeof d === 'object' && d !== null));
}

/** "0000:06:0d.0 vf_token=…" names the device in its first word. */
const deviceOf = (name: string): string => name.split(' ')[0] ?? name;

function neededBy(trace: Trace): Needed[] {
  const context = contextOf(trace);
  const needed = new Map<string, Needed>();
  const add = (name: string, way: Way, path: string): void => void needed.set(`${way} ${name}`, { name, way, path });
  const handles: readonly Handle[] = [...trace.handles.values()];
  const withDevice = new Set<string>();
  for (const h of handles) {
    if (h.kind !== 'device' || !h.name) continue;
    if (h.path?.startsWith(CDEVS)) add(h.name, 'cdev', h.path);
    else {
      const group = h.parent ? trace.handles.get(trace.resolve(h.parent)) : undefined;
      if (group?.path) {
        add(deviceOf(h.name), 'group', group.path);
        withDevice.add(group.path);
      }
    }
  }
  // A group or cdev that was opened and whose device was never asked for by name.
  for (const h of handles) {
    if (!h.path || withDevice.has(h.path)) continue;
    const cdev = h.kind === 'device' && h.path.startsWith(CDEVS);
    const nameless = cdev && !h.name && ![...context.values()].some((d) => d.cdev === h.path);
    if (nameless) add(h.path, 'cdev', h.path);
    for (const [name, d] of context) {
      if (h.kind === 'group' && h.path.replace(/^.*?(\d+)$/, '$1') === String(d.group)) add(name, 'group', h.path);
      if (h.kind === 'device' && !h.name && d.cdev === h.path) add(name, 'cdev', h.path);
    }
  }
  return [...needed.values()];
}

/** Finds every device that the trace needs on the host; TraceError when one cannot be used. */
export async function findPlaces(trace: Trace, host: Host, map: DeviceMap): Promise<Places> {
  const needed = neededBy(trace);
  const unknown = [...map.keys()].find((name) => !needed.some((n) => n.name === name));
  if (unknown !== undefined) {
    const names = [...new Set(needed.map((n) => n.name))].join(', ');
    throw new TraceError('USAGE', `--map ${unknown}=…: the trace has no such device; it has ${names || 'none'}`);
  }
  await checkCommon(host, new Set([...trace.handles.values()].flatMap((h) => (h.path ? [h.path] : []))));
  const own = new Map<string, string>();
  const devices = new Map<string, string>();
  for (const n of needed) {
    const name = map.get(n.name) ?? n.name;
    if (name === n.path)
      throw new TraceError(
        'USAGE',
        `the recording does not tell which device ${n.path} was: say it with --map ${n.path}=0000:00:04.0 (or its UUID)`,
      );
    own.set(n.path, await usablePath(host, name, n.way, n.name));
    devices.set(n.name, name);
  }
  return placesOf(own, devices);
}

function placesOf(own: ReadonlyMap<string, string>, devices: ReadonlyMap<string, string>): Places {
  const differs = ([a, b]: readonly [string, string]): boolean => a !== b;
  return {
    devices,
    moved: [...own].some(differs) || [...devices].some(differs),
    path: (recorded) => {
      const path = own.get(recorded) ?? recorded;
      return VFIO_PATH.test(path) ? path : null;
    },
    device: (recorded) => {
      const [first, ...rest] = recorded.split(' ');
      return [devices.get(first ?? '') ?? first, ...rest].join(' ');
    },
  };
}

/** The same places as recorded, but for the names: for a target that has no host of its own. */
export const samePlaces = (trace: Trace, map: DeviceMap): Places =>
  placesOf(new Map(), new Map(neededBy(trace).map((n) => [n.name, map.get(n.name) ?? n.name])));
