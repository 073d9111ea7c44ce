// The devices of a trace, for the emulator: their names, groups and nodes as recorded, and either a profile that was
// chosen, the built-in one of a device that is known by its ids, or the trace's own description.

import { iommuCaps, vfio_info_cap_header, vfio_iommu_type1_info } from '../../schema/container.ts';
import { iommufdStructs } from '../../schema/iommufd.ts';
import { paths } from '../../schema/kinds.ts';
import { fieldOf } from '../../schema/layout.ts';
import type { TraceEvent } from '../../traces/event.ts';
import { everything } from '../../traces/range.ts';
import type { Trace } from '../../traces/trace.ts';
import type { DeviceSpec } from './build.ts';
import { builtIn } from './choose.ts';
import type { EmulatorOptions } from './emulator.ts';
import { type IommuSpec, kernels, vtd } from './host.ts';
import type { Profile } from './profile.ts';
import { Recording } from './recording.ts';

const GROUP = new RegExp(`^${paths[2].prefix}(\\d+)$`);
const CDEV = new RegExp(`^${paths[1].prefix}vfio(\\d+)$`);

interface Found {
  readonly name: string;
  group?: number;
  cdev?: number;
  readonly handles: Set<number>;
}

function devicesOf(trace: Trace): Found[] {
  const context = trace.context('devices');
  const known = (typeof context === 'object' && context !== null ? context : {}) as Record<
    string,
    { group?: unknown; cdev?: unknown } | null
  >;
  const found = new Map<string, Found>();
  for (const h of trace.handles.values()) {
    // A descriptor that came from elsewhere (SCM_RIGHTS, exec) is another number of the same open file.
    if (h.kind !== 'device' || trace.resolve(h.id) !== h.id || (!h.name && !CDEV.test(h.path ?? ''))) continue;
    const named = h.name ?? Object.keys(known).find((n) => known[n]?.cdev === h.path) ?? h.path ?? '';
    const name = named.split(' ')[0] ?? named;
    const device = found.get(name) ?? { name, handles: new Set<number>() };
    found.set(name, device);
    device.handles.add(trace.resolve(h.id));
    const parent = h.parent ? trace.handles.get(trace.resolve(h.parent)) : undefined;
    const group = GROUP.exec(parent?.path ?? '')?.[1] ?? known[name]?.group;
    const cdev = CDEV.exec(h.path ?? String(known[name]?.cdev ?? ''))?.[1];
    if (group !== undefined && group !== null) device.group = Number(group);
    if (cdev !== undefined) device.cdev = Number(cdev);
  }
  // A group that was opened and whose device nobody asked for.
  for (const h of trace.handles.values()) {
    const group = h.kind === 'group' ? GROUP.exec(h.path ?? '')?.[1] : undefined;
    if (group === undefined || [...found.values()].some((d) => d.group === Number(group))) continue;
    const name = Object.keys(known).find((n) => String(known[n]?.group) === group) ?? `group-${group}`;
    found.set(name, { name, group: Number(group), handles: new Set() });
  }
  return [...found.values()];
}

/** `own`: no built-in model, even where there is one. */
export function recordedDevices(
  trace: Trace,
  chosen: Profile | undefined,
  own = false,
): { specs: DeviceSpec[]; options: EmulatorOptions } {
  const found = devicesOf(trace);
  const byHandle = new Map<number, Recording>();
  const recordings = found.map((f) => {
    const recording = new Recording();
    for (const h of f.handles) byHandle.set(h, recording);
    return recording;
  });
  for (const { handle, index, offset, size, flags } of trace.regions)
    byHandle.get(trace.resolve(handle))?.region(index, { offset, size, flags });
  let iommu: IommuSpec | null = null;
  let hardware: IommuSpec['hardware'] | null = null;
  for (const e of trace.events(everything)) {
    iommu ??= iommuOf(e);
    hardware ??= hardwareOf(e);
    const recording = byHandle.get(e.handle);
    if (recording) recording.add(e, trace);
    else for (const r of recordings) r.beside(e);
  }
  const specs = found.map((f, i): DeviceSpec => {
    const recorded = (recordings[i] as Recording).device();
    const { name, group, cdev } = f;
    return {
      profile: chosen ??
        (own ? null : builtIn(recorded, !isMdev(name))) ?? { driver: 'recorded', physical: !isMdev(name), recorded },
      name,
      ...(group === undefined ? {} : { group }),
      ...(cdev === undefined ? {} : { cdev }),
    };
  });
  return { specs, options: { iommu: { ...(iommu ?? vtd), ...(hardware ? { hardware } : {}) }, ...kernelOf(trace) } };
}

/** A UUID rather than a PCI address. */
const isMdev = (name: string): boolean => /^[0-9a-f]{8}-[0-9a-f-]+$/i.test(name);

function kernelOf(trace: Trace): EmulatorOptions {
  const host = trace.context('host') as { uname?: unknown } | undefined;
  const [, major, minor] = /(\d+)\.(\d+)/.exec(JSON.stringify(host?.uname ?? '')) ?? [];
  if (major === undefined || minor === undefined) return {};
  const version = Number(major) * 1000 + Number(minor);
  const fits = kernels.filter((k) => {
    const [a, b] = k.split('.').map(Number);
    return (a ?? 0) * 1000 + (b ?? 0) <= version;
  });
  return { kernel: fits.at(-1) ?? '6.1' };
}

/** The IOMMU as VFIO_IOMMU_GET_INFO told of it, where a container with a PCI device asked. */
function iommuOf(e: TraceEvent): IommuSpec | null {
  if (e.call?.name !== 'VFIO_IOMMU_GET_INFO' || e.ret !== 0 || !e.output) return null;
  const { output } = e;
  const at = (name: string): number => fieldOf(vfio_iommu_type1_info, name).at;
  const pgsizes = output.readBigUInt64LE(at('iova_pgsizes'));
  if (output.length < vfio_iommu_type1_info.size) return null;
  const header = vfio_info_cap_header.size;
  const visited = new Set<number>();
  for (let cap = output.readUInt32LE(at('cap_offset')); cap >= header && cap + header + 8 <= output.length; ) {
    if (visited.has(cap)) return null; // a chain that loops
    visited.add(cap);
    if (output.readUInt16LE(cap) === iommuCaps.IOVA_RANGE) {
      const count = output.readUInt32LE(cap + header);
      const ranges: [bigint, bigint][] = [];
      for (let r = cap + header + 8; ranges.length < count && r + 16 <= output.length; r += 16)
        ranges.push([output.readBigUInt64LE(r), output.readBigUInt64LE(r + 8)]);
      return { ...vtd, pgsizes, apertures: ranges };
    }
    cap = output.readUInt32LE(cap + 4);
  }
  return null;
}

/** Its registers, as IOMMU_GET_HW_INFO gave them. */
function hardwareOf(e: TraceEvent): IommuSpec['hardware'] | null {
  if (e.call?.name !== 'IOMMU_GET_HW_INFO' || e.ret !== 0 || !e.output) return null;
  const at = (name: string): number => fieldOf(iommufdStructs.iommu_hw_info, name).at;
  const memory = e.memory.find((m) => m.at === at('data_uptr') && m.phase === 'out')?.bytes;
  if (!memory || e.output.length < at('out_data_type') + 4) return null;
  const length = e.output.readUInt32LE(at('data_len'));
  return { type: e.output.readUInt32LE(at('out_data_type')), data: Buffer.from(memory.subarray(0, length)) };
}
