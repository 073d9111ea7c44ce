// An emulated machine with VFIO devices: takes the calls that a program makes and answers as the kernel would. It is
// synchronous and deterministic: the same profiles, seed and calls give the same answers on every machine.

import { request as requestNumber } from '../../schema/call.ts';
import { FEATURE_MASK, vfio_device_feature } from '../../schema/device.ts';
import { features } from '../../schema/features.ts';
import { callOf } from '../../schema/surface.ts';
import { buildDevices, type DeviceSpec } from './build.ts';
import type { Caller, Eventfd } from './caller.ts';
import { CALL_NS, Clock } from './clock.ts';
import { ContainerFile } from './container.ts';
import type { Device } from './device.ts';
import { DeviceFile } from './device-file.ts';
import { errno, Failed, fail } from './failed.ts';
import { type Effect, Faults } from './faults.ts';
import type { MmapRequest, OpenFile } from './file.ts';
import { type Group, GroupFile } from './group.ts';
import { Host, type Incident, type IommuSpec, type Kernel, vtd } from './host.ts';
import { IommufdFile } from './iommufd-file.ts';
import { Random } from './random.ts';
import type { Mapping } from './region.ts';

export interface EmulatorOptions {
  readonly seed?: number;
  /** Rules as faults.ts describes them. */
  readonly faults?: readonly string[];
  /** Kernel to follow; 6.12 unless said. */
  readonly kernel?: Kernel;
  readonly iommu?: IommuSpec;
}

/** Result of a call that gives bytes: them, or -errno. */
export type Bytes = Buffer | number;

export class Emulator {
  readonly devices: readonly Device[];
  readonly groups: readonly Group[];
  private readonly host: Host;
  private readonly unanswered = new Map<string, number>();

  constructor(specs: readonly DeviceSpec[], options: EmulatorOptions = {}) {
    this.host = new Host(
      options.kernel ?? '6.12',
      options.iommu ?? vtd,
      new Clock(),
      new Random(options.seed ?? 0),
      new Faults(options.faults),
    );
    const built = buildDevices(this.host, specs);
    this.devices = built.devices;
    this.groups = built.groups;
  }

  /** Virtual time, ns. */
  get now(): bigint {
    return this.host.clock.now;
  }
  /** Lets virtual time pass: what was to happen in it happens. */
  advance(ns: bigint): void {
    this.host.clock.advance(ns);
  }
  /** Lets time pass until `done`, as a caller that sleeps would; at most `ns` (null: until nothing is left to happen). */
  wait(ns: bigint | null, done: () => boolean): boolean {
    return this.host.clock.wait(ns, done);
  }
  /** Whether something is to happen at a later time. */
  get waiting(): boolean {
    return this.host.clock.waiting;
  }
  /** Somebody waits for an eventfd in vain: devices made from a trace have their recorded interrupts now. */
  awaited(eventfd: Eventfd): void {
    for (const device of this.devices) device.driver.awaited?.(eventfd);
  }
  /** What devices did or suffered that no call reports. */
  get incidents(): readonly Incident[] {
    return this.host.incidents;
  }
  /** Fault rules whose turn never came. */
  get unmatchedFaults(): readonly string[] {
    return this.host.faults.unmatched;
  }
  /** Calls answered ENOTTY, with how many of each. */
  get refused(): ReadonlyMap<string, number> {
    return this.unanswered;
  }
  /** Pages that a process has locked through this machine's containers and address spaces. */
  lockedPages(process: number): bigint {
    return this.host.locked(process);
  }

  /** Whether open() of `path` is this machine's to answer. */
  static owns(path: string): boolean {
    return path === '/dev/iommu' || path.startsWith('/dev/vfio/');
  }

  /** An open file with one reference, or -errno. */
  open(path: string): OpenFile | number {
    let file: OpenFile | null = null;
    const ret = this.call('open', [path], '', () => {
      file = this.openPath(path);
      return 0;
    });
    return file ?? ret;
  }
  private openPath(path: string): OpenFile {
    if (path === '/dev/vfio/vfio') return new ContainerFile(this.host);
    if (path === '/dev/iommu' && this.host.has('6.12')) return new IommufdFile(this.host);
    const cdev = /^\/dev\/vfio\/devices\/vfio(\d+)$/.exec(path);
    if (cdev && this.host.has('6.12')) {
      const device = this.devices.find((d) => d.cdev === Number(cdev[1]));
      return new DeviceFile(device ?? fail('ENOENT'), null);
    }
    const group = /^\/dev\/vfio\/(\d+)$/.exec(path);
    return new GroupFile(this.groups.find((g) => g.id === Number(group?.[1])) ?? fail('ENOENT'));
  }

  /** `arg`: the third argument as it was passed. Result or -errno; what it points at is read and written through the caller. */
  ioctl(caller: Caller, file: OpenFile, request: number, arg: bigint): number {
    const name = this.nameOf(caller, file, request, arg);
    const ret = this.call(name, [], deviceName(file), () => file.ioctl(caller, request, arg));
    if (ret === -errno('ENOTTY')) this.unanswered.set(name, (this.unanswered.get(name) ?? 0) + 1);
    return ret;
  }

  pread(caller: Caller, file: OpenFile, length: number, offset: bigint): Bytes {
    return this.bytes('pread', regionNames(file, offset), file, length, (l) => file.pread(caller, l, offset));
  }
  read(caller: Caller, file: OpenFile, length: number): Bytes {
    return this.bytes('read', [], file, length, (l) => file.read(caller, l));
  }
  pwrite(caller: Caller, file: OpenFile, bytes: Buffer, offset: bigint): number {
    const { length } = bytes;
    return this.call('pwrite', regionNames(file, offset), deviceName(file), (short) =>
      file.pwrite(caller, bytes.subarray(0, short ?? length), offset),
    );
  }
  write(caller: Caller, file: OpenFile, bytes: Buffer): number {
    const { length } = bytes;
    return this.call('write', [], deviceName(file), (short) => file.write(caller, bytes.subarray(0, short ?? length)));
  }
  mmap(caller: Caller, file: OpenFile, request: MmapRequest): Mapping | number {
    let mapping: Mapping | null = null;
    const ret = this.call('mmap', regionNames(file, request.offset), deviceName(file), () => {
      mapping = file.mmap(caller, request);
      return 0;
    });
    return mapping ?? ret;
  }
  /** Those of `events` that are ready now (poll.h). */
  poll(file: OpenFile, events: number): number {
    return file.poll(events);
  }
  /** Another descriptor of it, and the end of one. */
  dup(file: OpenFile): void {
    file.get();
  }
  close(file: OpenFile): void {
    file.put();
  }

  private bytes(
    name: string,
    what: readonly string[],
    file: OpenFile,
    length: number,
    run: (length: number) => Buffer,
  ): Bytes {
    let out: Buffer = Buffer.alloc(0);
    const ret = this.call(name, what, deviceName(file), (short) => {
      out = run(Math.min(short ?? length, length));
      return out.length;
    });
    return ret < 0 ? ret : out;
  }

  private call(name: string, what: readonly string[], device: string, run: (short?: number) => number): number {
    const { faults, clock } = this.host;
    clock.advance(CALL_NS);
    try {
      const effect = faults.none ? null : faults.take(name, what, device);
      return run(effect ? this.suffer(effect, device) : undefined);
    } catch (error) {
      if (error instanceof Failed) return -error.errno;
      throw error;
    }
  }

  /** Bytes to which the call is cut short, if it is. */
  private suffer(effect: Effect, device: string): number | undefined {
    switch (effect.kind) {
      case 'errno':
        throw new Failed(effect.errno);
      case 'short':
        return effect.bytes;
      case 'delay':
      case 'late':
        this.host.clock.advance(effect.ns);
        return undefined;
      case 'error':
        this.devices.find((d) => d.name === device)?.driver.toError();
        return fail('EIO');
      case 'lost':
        return fail('EIO');
      default:
        return effect satisfies never;
    }
  }

  /** For faults and counts: the call's name, or the feature's. */
  private nameOf(caller: Caller, file: OpenFile, request: number, arg: bigint): string {
    const call = callOf(file.kind, request);
    if (!call) return `0x${request.toString(16)} on ${file.kind}`;
    if (call.name !== 'VFIO_DEVICE_FEATURE' || request !== requestNumber(call.nr)) return call.name;
    const flags = caller.memory.read(arg, vfio_device_feature.size)?.readUInt32LE(4) ?? 0;
    const feature = features.find((f) => f.id === (flags & FEATURE_MASK));
    return `${call.name}_${feature?.name ?? `0x${(flags & FEATURE_MASK).toString(16)}`}`;
  }
}

const deviceName = (file: OpenFile): string => (file instanceof DeviceFile ? file.device.name : '');
const regionNames = (file: OpenFile, offset: bigint): readonly string[] =>
  file instanceof DeviceFile ? [file.device.driver.regionName(offset)] : [];
