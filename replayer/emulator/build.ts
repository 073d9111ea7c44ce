// Devices from profiles: names, groups and drivers.

import { TraceError } from '../../schema/errors.ts';
import { Device } from './device.ts';
import { E1000 } from './e1000.ts';
import { Edu } from './edu.ts';
import { Group } from './group.ts';
import type { Host } from './host.ts';
import { addMigration } from './migration.ts';
import type { Bus, Model } from './model.ts';
import { NoModel } from './no-model.ts';
import { PciDevice } from './pci-device.ts';
import type { PciProfile, Profile } from './profile.ts';
import { Recorded } from './recorded.ts';
import { Serial } from './serial.ts';

export interface DeviceSpec {
  readonly profile: Profile;
  /** "0000:00:04.0" or a UUID; default: the next free of its kind. */
  readonly name?: string;
  /** Number of its IOMMU group; default: one of its own. */
  readonly group?: number;
  /** Number of /dev/vfio/devices/vfioN; default: in order. */
  readonly cdev?: number;
  /** False: its group holds another device that VFIO does not have, so the group is not viable. */
  readonly viable?: boolean;
}

/** A physical device, or one that looks so, has an address on the bus; mdevs have UUIDs. */
const isPhysical = (profile: Profile): boolean => profile.driver !== 'serial' && profile.physical;
const FIRST_SLOT = 4;

function defaultName(spec: DeviceSpec, taken: ReadonlySet<string>): string {
  for (let n = 0; ; n++) {
    const name = isPhysical(spec.profile)
      ? `0000:00:${(FIRST_SLOT + n).toString(16).padStart(2, '0')}.0`
      : `00000000-0000-4000-8000-${(n + 1).toString(16).padStart(12, '0')}`;
    if (!taken.has(name)) return name;
  }
}

function modelOf(profile: PciProfile): (bus: Bus) => Model {
  return (bus) => {
    switch (profile.model) {
      case 'edu':
        return new Edu(bus, profile.latency);
      case 'e1000':
        return new E1000(bus);
      case 'none':
        return new NoModel();
      default:
        return profile.model satisfies never;
    }
  };
}

export function buildDevices(host: Host, specs: readonly DeviceSpec[]): { devices: Device[]; groups: Group[] } {
  const groups = new Map<number, Group>();
  const devices: Device[] = [];
  const names = new Set(specs.flatMap((s) => (s.name === undefined ? [] : [s.name])));
  const cdevs = new Set(specs.flatMap((s) => (s.cdev === undefined ? [] : [s.cdev])));
  const numbers = new Set(specs.flatMap((s) => (s.group === undefined ? [] : [s.group])));
  const free = (used: Set<number>, from: number): number => {
    let n = from;
    while (used.has(n)) n++;
    used.add(n);
    return n;
  };
  for (const spec of specs) {
    const name = spec.name ?? defaultName(spec, names);
    names.add(name);
    if (devices.some((d) => d.name === name))
      throw new TraceError('USAGE', `two emulated devices are called ${name}; give each a name of its own`);
    const physical = isPhysical(spec.profile);
    const number = spec.group ?? free(numbers, 1);
    const group = groups.get(number) ?? new Group(number, physical, spec.viable ?? true);
    if (group.physical !== physical)
      throw new TraceError('USAGE', `group ${number}: mdevs and PCI devices cannot share an IOMMU group`);
    groups.set(number, group);
    const device = new Device(name, group, host, spec.cdev ?? free(cdevs, 0));
    device.driver = driverOf(device, spec.profile);
    devices.push(device);
  }
  return { devices, groups: [...groups.values()] };
}

function driverOf(device: Device, profile: Profile): Device['driver'] {
  if (profile.driver === 'serial') return new Serial(device, profile.ports);
  if (profile.driver === 'recorded') return new Recorded(device, profile.physical, profile.recorded);
  const pci = new PciDevice(device, profile, modelOf(profile));
  if (profile.migration) addMigration(pci, profile.migration);
  return pci;
}
