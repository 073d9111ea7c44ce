// The emulator answers.

import { TraceError } from '../../schema/errors.ts';
import type { DeviceSpec } from '../emulator/build.ts';
import type { Device } from '../emulator/device.ts';
import { Emulator } from '../emulator/emulator.ts';
import type { MmapRequest, OpenFile } from '../emulator/file.ts';
import type { Profile } from '../emulator/profile.ts';
import { profileOf } from '../emulator/profiles/list.ts';
import type { Mapping } from '../emulator/region.ts';
import type { Caller, Machine, Remark } from './machine.ts';
import type { Shown } from './tree.ts';

/** PROFILE[,OPTION=VALUE…][:NAME][@GROUP] as a device. */
export function specOf(text: string): DeviceSpec {
  const [, device = '', name, group] = /^([^:@]+)(?::([^@]+))?(?:@(\d+))?$/.exec(text) ?? [];
  if (!device) throw new TraceError('USAGE', `--emulate ${text}: give PROFILE, PROFILE:NAME or PROFILE:NAME@GROUP`);
  const profile = profileOf(device);
  const pci = profile.driver === 'pci' && profile.physical;
  if (name !== undefined && !(pci ? ADDRESS : UUID).test(name))
    throw new TraceError(
      'USAGE',
      `--emulate ${text}: ${pci ? 'a PCI device is called like 0000:00:04.0' : 'a mediated device is called by a UUID'}`,
    );
  return {
    profile,
    ...(name === undefined ? {} : { name: name.toLowerCase() }),
    ...(group === undefined ? {} : { group: Number(group) }),
  };
}
const ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function shown(device: Device, profile: Profile): Shown {
  const pci = profile.driver === 'pci' ? profile.pci : null;
  const config = Buffer.alloc(64);
  if (pci) {
    config.writeUInt16LE(pci.vendor, 0);
    config.writeUInt16LE(pci.device, 2);
    config.writeUInt8(pci.revision, 8);
    config.writeUIntLE(pci.classCode, 9, 3);
    config.writeUInt16LE(pci.subsystemVendor, 0x2c);
    config.writeUInt16LE(pci.subsystem, 0x2e);
  }
  return {
    name: device.name,
    bus: ADDRESS.test(device.name) ? 'pci' : 'mdev',
    group: device.group.id,
    cdev: device.cdev,
    config,
    bars: pci?.bars ?? [],
  };
}

export interface EmulatedOptions {
  readonly devices: readonly string[];
  readonly faults: readonly string[];
  readonly seed: number;
}

export class EmulatedMachine implements Machine {
  readonly shown: readonly Shown[];
  private readonly emulator: Emulator;

  constructor(options: EmulatedOptions) {
    const specs = options.devices.map(specOf);
    this.emulator = new Emulator(specs, { seed: options.seed, faults: options.faults });
    this.shown = this.emulator.devices.map((d, i) => shown(d, (specs[i] as DeviceSpec).profile));
  }

  open(caller: Caller, path: string, _flags: number): number {
    const file = this.emulator.open(path);
    if (typeof file === 'number') return file;
    const fd = caller.install(file);
    if (fd < 0) this.emulator.close(file);
    return fd;
  }
  ioctl(caller: Caller, file: OpenFile, request: number, arg: bigint): number {
    return this.emulator.ioctl(caller, file, request, arg);
  }
  pread(caller: Caller, file: OpenFile, length: number, offset: bigint): Buffer | number {
    return this.emulator.pread(caller, file, length, offset);
  }
  pwrite(caller: Caller, file: OpenFile, bytes: Buffer, offset: bigint): number {
    return this.emulator.pwrite(caller, file, bytes, offset);
  }
  read(caller: Caller, file: OpenFile, length: number): Buffer | number {
    return this.emulator.read(caller, file, length);
  }
  write(caller: Caller, file: OpenFile, bytes: Buffer): number {
    return this.emulator.write(caller, file, bytes);
  }
  mmap(caller: Caller, file: OpenFile, request: MmapRequest): Mapping | number {
    return this.emulator.mmap(caller, file, request);
  }

  began(_process: number): void {}
  idle(): void {
    let turns = 0;
    this.emulator.wait(null, () => turns++ > 0); // one timer
  }
  get waiting(): boolean {
    return this.emulator.waiting;
  }

  report(): readonly Remark[] {
    const faults = this.emulator.unmatchedFaults.map((f) => ({
      text: `fault ${f}: its turn never came`,
      failed: true,
    }));
    const refused = [...this.emulator.refused].map(([name, n]) => `${name}${n > 1 ? ` (${n} times)` : ''}`);
    if (refused.length === 0) return faults;
    return [
      ...faults,
      { text: `answered ENOTTY, as a kernel without them would: ${refused.join(', ')}`, failed: false },
    ];
  }
}
