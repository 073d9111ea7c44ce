// A small program for the emulator's tests: descriptors, memory at real addresses, and calls by name.

import { AddressSpaceOfCaller } from '../../replayer/emulator/address-space.ts';
import type { DeviceSpec } from '../../replayer/emulator/build.ts';
import type { Caller } from '../../replayer/emulator/caller.ts';
import { Emulator, type EmulatorOptions } from '../../replayer/emulator/emulator.ts';
import { EventCounter } from '../../replayer/emulator/eventfd.ts';
import { OpenFile } from '../../replayer/emulator/file.ts';
import { request } from '../../schema/call.ts';
import { vfio_device_feature } from '../../schema/device.ts';
import { errnoName } from '../../schema/errno.ts';
import { features } from '../../schema/features.ts';
import { fieldOf, type Struct, widths } from '../../schema/layout.ts';
import { calls } from '../../schema/surface.ts';

type Open = OpenFile | EventCounter;
export type Values = Readonly<Record<string, number | bigint>>;
/** A result, or the errno's name. */
export type Result = number | string;

export const resultOf = (ret: number): Result => (ret < 0 ? errnoName(-ret) : ret);

/** A structure's bytes with some fields set; argsz or size is the whole buffer unless given. */
export function fill(layout: Struct, values: Values, tail: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(layout.size), tail]);
  const first = layout.fields[0];
  if (first?.means === 'argsz' && !(first.name in values)) bytes.writeUInt32LE(bytes.length, 0);
  for (const [name, value] of Object.entries(values)) {
    const f = fieldOf(layout, name);
    if (widths[f.type] === 8) bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), f.at);
    else bytes.writeUIntLE(Number(BigInt.asUintN(8 * widths[f.type], BigInt(value))), f.at, widths[f.type]);
  }
  return bytes;
}
export function get(layout: Struct, bytes: Buffer, name: string): bigint {
  const f = fieldOf(layout, name);
  return widths[f.type] === 8 ? bytes.readBigUInt64LE(f.at) : BigInt(bytes.readUIntLE(f.at, widths[f.type]));
}

export class Client implements Caller {
  readonly process: number;
  readonly memory = new AddressSpaceOfCaller();
  memlock: bigint | null = null;
  readonly emulator: Emulator;
  private readonly fds = new Map<number, Open>();

  constructor(emulator: Emulator, process = 1) {
    this.emulator = emulator;
    this.process = process;
  }
  file(fd: number): Open | undefined {
    return this.fds.get(fd);
  }
  install(file: Open): number {
    let fd = 3;
    while (this.fds.has(fd)) fd++;
    this.fds.set(fd, file);
    return fd;
  }

  open(path: string): number {
    const file = this.emulator.open(path);
    return typeof file === 'number' ? file : this.install(file);
  }
  close(fd: number): void {
    const file = this.fds.get(fd);
    this.fds.delete(fd);
    if (file instanceof OpenFile) this.emulator.close(file);
  }
  eventfd(): { readonly fd: number; readonly counter: EventCounter } {
    const counter = new EventCounter(0n, 0);
    return { fd: this.install(counter), counter };
  }
  /** Zeroed memory; its address. */
  allocate(length: number): bigint {
    return this.memory.reserve(BigInt(length), false).start;
  }

  private of(fd: number): OpenFile {
    const file = this.fds.get(fd);
    if (!(file instanceof OpenFile)) throw new Error(`no file ${fd}`);
    return file;
  }
  /** The argument is the number itself, or bytes that the call may change. */
  ioctl(fd: number, name: string, arg: bigint | Buffer = 0n): Result {
    const call = calls.find((c) => c.name === name);
    if (!call) throw new Error(`no call ${name}`);
    const address = typeof arg === 'bigint' ? arg : this.memory.pass(arg);
    const ret = this.emulator.ioctl(this, this.of(fd), request(call.nr), address);
    if (typeof arg !== 'bigint') this.memory.read(address, arg.length)?.copy(arg);
    this.memory.endCall();
    return resultOf(ret);
  }
  /** VFIO_DEVICE_FEATURE: the result and the data after it. */
  feature(fd: number, op: number, name: string, values: Values = {}): { ret: Result; data: Buffer } {
    const feature = features.find((f) => f.name === name);
    if (!feature) throw new Error(`no feature ${name}`);
    const data = feature.data ? fill(feature.data, values) : Buffer.alloc(0);
    const arg = fill(vfio_device_feature, { flags: op | feature.id }, data);
    const ret = this.ioctl(fd, 'VFIO_DEVICE_FEATURE', arg);
    return { ret, data: arg.subarray(vfio_device_feature.size) };
  }
  pread(fd: number, length: number, offset: bigint): Buffer | string {
    const got = this.emulator.pread(this, this.of(fd), length, offset);
    return typeof got === 'number' ? errnoName(-got) : got;
  }
  pwrite(fd: number, bytes: Buffer, offset: bigint): Result {
    return resultOf(this.emulator.pwrite(this, this.of(fd), bytes, offset));
  }
  read(fd: number, length: number): Buffer | string {
    const got = this.emulator.read(this, this.of(fd), length);
    return typeof got === 'number' ? errnoName(-got) : got;
  }
  write(fd: number, bytes: Buffer): Result {
    return resultOf(this.emulator.write(this, this.of(fd), bytes));
  }

  /** A register of `size` bytes in a region; a region begins at its index << 40 on every device here. */
  load(fd: number, region: number, offset: number, size = 4): bigint {
    const bytes = this.pread(fd, size, (BigInt(region) << 40n) + BigInt(offset));
    if (typeof bytes === 'string') throw new Error(`read of region ${region}+${offset}: ${bytes}`);
    return size === 8 ? bytes.readBigUInt64LE() : BigInt(bytes.readUIntLE(0, size));
  }
  store(fd: number, region: number, offset: number, value: number | bigint, size = 4): Result {
    const bytes = Buffer.alloc(size);
    if (size === 8) bytes.writeBigUInt64LE(BigInt(value));
    else bytes.writeUIntLE(Number(value), 0, size);
    return this.pwrite(fd, bytes, (BigInt(region) << 40n) + BigInt(offset));
  }
}

export const TYPE1 = 1n;
export const TYPE1v2 = 3n;

/** A client with the devices, the first of them open through its group; names as the emulator gave them. */
export function start(specs: readonly DeviceSpec[], options: EmulatorOptions = {}) {
  const emulator = new Emulator(specs, options);
  const client = new Client(emulator);
  const container = client.open('/dev/vfio/vfio');
  const first = emulator.devices[0];
  const group = client.open(`/dev/vfio/${first?.group.id}`);
  const set = Buffer.alloc(4);
  set.writeInt32LE(container);
  client.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', set);
  client.ioctl(container, 'VFIO_SET_IOMMU', TYPE1v2);
  const device = openDevice(client, group, first?.name ?? '');
  return { emulator, client, container, group, device };
}
export function openDevice(client: Client, group: number, name: string): number {
  const fd = client.ioctl(group, 'VFIO_GROUP_GET_DEVICE_FD', Buffer.from(`${name}\0`));
  if (typeof fd !== 'number') throw new Error(`${name} does not open: ${fd}`);
  return fd;
}
