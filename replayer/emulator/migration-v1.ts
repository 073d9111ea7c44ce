// Migration protocol v1 of an emulated PCI device: the migration region. Source: linux/vfio.h of 5.10, and the NDMA
// proposal (schema/states-v1.ts). A write of several state bits is carried out in single actions, by the profile's
// precedence.

import { migrationRegion, regionCaps, regionFlags } from '../../schema/device.ts';
import {
  decompose,
  V1_ERROR,
  type V1Action,
  v1Bits,
  v1StateMask,
  v1StateName,
  v1Valid,
  vfio_device_migration_info,
} from '../../schema/states-v1.ts';
import type { Capability } from './capability.ts';
import { Failed, fail } from './failed.ts';
import { Image } from './image.ts';
import type { PciDevice } from './pci-device.ts';
import type { ExtraRegion } from './pci-region.ts';
import type { MigrationV1Spec } from './profile.ts';
import { type Mapping, Ram } from './region.ts';
import { Fields } from './user.ts';

const layout = vfio_device_migration_info;
/** Where the data section begins: a page of its own, so that it can be mapped. */
const DATA = 4096;
const NUM_PCI_REGIONS = 9;
const { RUNNING, SAVING, RESUMING, NDMA } = v1Bits;

class MigrationRegion implements ExtraRegion {
  readonly name = 'MIGRATION';
  readonly size: number;
  readonly flags: number;
  readonly caps: readonly Capability[];
  private readonly pci: PciDevice;
  private readonly spec: MigrationV1Spec;
  private readonly image: Image;
  private readonly data: Ram;
  private readonly index: number;
  private state: number = RUNNING;
  /** Bytes of the segment in the data section while saving; null: none was asked for since the last acknowledge. */
  private segment: number | null = null;
  private segmentRead = false;
  /** The buffer that saving and resuming share: what came and is not loaded yet. */
  private incoming: Buffer[] = [];
  private anyCame = false;

  constructor(pci: PciDevice, spec: MigrationV1Spec) {
    this.pci = pci;
    this.spec = spec;
    this.image = new Image(pci, spec.churn);
    this.data = new Ram(spec.dataSize);
    this.size = DATA + spec.dataSize;
    this.index = NUM_PCI_REGIONS + pci.extra.length;
    this.flags = regionFlags.READ | regionFlags.WRITE | (this.areas.length > 0 ? regionFlags.MMAP : 0);
    this.caps = this.capabilities();
  }

  /** Parts that can be mapped: [offset, size]. The structure at the start never can. */
  private get areas(): readonly (readonly [number, number])[] {
    const { data, dataSize } = this.spec;
    if (data === 'mmapped') return [[DATA, dataSize]];
    return data === 'sparse' ? [[DATA, dataSize / 2]] : [];
  }
  private capabilities(): Capability[] {
    const type = Buffer.alloc(8);
    type.writeUInt32LE(migrationRegion.type);
    type.writeUInt32LE(migrationRegion.subtype, 4);
    const caps: Capability[] = [{ id: regionCaps.TYPE, version: 1, body: type }];
    if (this.areas.length > 0) {
      const body = Buffer.alloc(8 + 16 * this.areas.length); // nr_areas u32, reserved u32, {offset u64, size u64} each
      body.writeUInt32LE(this.areas.length);
      this.areas.forEach(([offset, size], i) => {
        body.writeBigUInt64LE(BigInt(offset), 8 + 16 * i);
        body.writeBigUInt64LE(BigInt(size), 16 + 16 * i);
      });
      caps.push({ id: regionCaps.SPARSE_MMAP, version: 1, body });
    }
    if (this.spec.ndma !== 'absent') caps.push({ id: regionCaps.MIG_NDMA, version: 1, body: Buffer.alloc(0) });
    return caps;
  }

  private get error(): boolean {
    return (this.state & v1StateMask) === V1_ERROR;
  }
  private get running(): boolean {
    return (this.state & RUNNING) !== 0 && !this.error;
  }
  private get saving(): boolean {
    return (this.state & SAVING) !== 0 && !this.error;
  }

  /** The field that an access of the structure is to; EINVAL unless it is whole (linux/vfio.h: else undefined). */
  private field(at: number, length: number): string {
    return layout.fields.find((f) => f.at === at && f.size === length)?.name ?? fail('EINVAL');
  }

  read(at: number, length: number): Buffer {
    if (at >= this.size) fail('EINVAL');
    if (at >= DATA) return this.data.read(at - DATA, Math.min(length, this.size - at));
    if (at >= layout.size) return Buffer.alloc(Math.min(length, DATA - at));
    const name = this.field(at, length);
    const info = new Fields(layout);
    if (name === 'device_state') info.set(name, this.state);
    else if (name === 'pending_bytes') info.set(name, this.pendingBytes());
    else if (name === 'data_offset') info.set(name, this.dataOffset());
    else if (name === 'data_size') info.set(name, this.dataSize());
    return Buffer.from(info.bytes.subarray(at, at + length));
  }

  write(at: number, bytes: Buffer): number {
    if (at >= this.size) fail('EINVAL');
    if (at >= DATA) {
      const part = bytes.subarray(0, this.size - at);
      this.data.write(at - DATA, part);
      return part.length;
    }
    if (at >= layout.size) return Math.min(bytes.length, DATA - at);
    const name = this.field(at, bytes.length);
    if (name === 'device_state') this.setState(bytes.readUInt32LE());
    else if (name === 'data_size') this.consume(Number(bytes.readBigUInt64LE()));
    else if (name !== 'reserved') fail('EINVAL'); // read only
    return bytes.length;
  }

  mmap(at: number, length: number): Mapping {
    if (!this.areas.some(([offset, size]) => at >= offset && at + length <= offset + size)) fail('EINVAL');
    return {
      region: this.index,
      offset: at,
      length,
      load: (where, size) => this.data.read(at - DATA + where, size),
      store: (where, bytes) => this.data.write(at - DATA + where, bytes),
      ram: { memory: this.data, start: at - DATA },
    };
  }

  /** Acknowledges the segment whose size was read; what is left is estimated anew. */
  private pendingBytes(): number {
    if (!this.saving) return 0;
    if (this.segmentRead) {
      this.segment = null;
      this.segmentRead = false;
    }
    if (this.running) this.image.stir();
    return (this.segment ?? 0) + this.image.pending(!this.running);
  }
  private dataOffset(): number {
    if (this.saving && this.segment === null) {
      const bytes = this.image.take(this.spec.dataSize, !this.running);
      this.data.write(0, bytes);
      this.segment = bytes.length;
    }
    return DATA;
  }
  private dataSize(): number {
    if (!this.saving) return 0;
    this.segmentRead = this.segment !== null;
    return this.segment ?? 0;
  }

  private consume(size: number): void {
    if (!(this.state & RESUMING) || this.error || size > this.spec.dataSize) fail('EINVAL');
    const bytes = this.data.read(0, size);
    this.anyCame = true;
    if (this.spec.buffer === 'shared') this.incoming.push(bytes);
    // A segment is opaque and comes whole, so nothing of it may be left over.
    else if (this.image.load(bytes).length > 0) fail('EINVAL');
  }

  private setState(value: number): void {
    if (this.error) fail('EIO'); // only a reset leads out
    const wanted = value & (v1StateMask | NDMA);
    if (!v1Valid(wanted) || (wanted & NDMA && this.spec.ndma === 'absent')) fail('EINVAL');
    for (const { action, state } of decompose(this.spec.precedence, this.state, wanted)) {
      this.disturb(state);
      this.act(action);
      this.state = state;
      this.settle();
      if (this.spec.intermediate === 'checked' && !v1Valid(state)) {
        this.toError();
        fail('EIO');
      }
    }
  }

  private disturb(state: number): void {
    const { device } = this.pci;
    const fault = device.host.faults.take('SET_STATE', [v1StateName(state), String(state)], device.name);
    if (fault?.kind === 'delay') device.host.clock.advance(fault.ns);
    if (fault?.kind === 'errno') throw new Failed(fault.errno);
    if (fault?.kind === 'error') {
      this.toError();
      fail('EIO');
    }
  }

  private act({ bit, set }: V1Action): void {
    if (bit === 'SAVING' && set) {
      this.incoming = []; // the buffer is used for saving from here on
      this.segment = null;
      this.segmentRead = false;
      this.image.begin();
    } else if (bit === 'RESUMING' && set) {
      this.incoming = [];
      this.anyCame = false;
      this.image.complete = false;
    } else if (bit === 'RESUMING') this.loadIncoming();
  }

  /** Resuming ends: what the buffer still holds is loaded. */
  private loadIncoming(): void {
    const whole = Buffer.concat(this.incoming);
    const came = this.incoming.length > 0;
    this.incoming = [];
    try {
      if (this.image.load(whole).length > 0) fail('EINVAL');
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      this.toError();
      fail('EIO');
    }
    if (this.anyCame && !came && this.spec.buffer === 'shared')
      this.pci.device.host.note(
        this.pci.device.name,
        'data written while RESUMING was lost: SAVING had taken the buffer',
      );
    else if (this.anyCame && !this.image.complete) {
      this.toError();
      fail('EIO');
    }
  }

  private settle(): void {
    const quiet = (this.state & NDMA) !== 0 && this.spec.ndma === 'supported';
    this.pci.setGate({ dma: quiet || !this.running, interrupts: quiet || !this.running, stopped: !this.running });
  }

  toError(): void {
    this.state = V1_ERROR;
    this.settle();
  }
  restart(): void {
    this.state = RUNNING;
    this.segment = null;
    this.segmentRead = false;
    this.incoming = [];
    this.settle();
  }
}

export function addMigrationV1(pci: PciDevice, spec: MigrationV1Spec): void {
  const region = new MigrationRegion(pci, spec);
  pci.extra.push(region);
  pci.hooks = { restart: () => region.restart(), close: () => {}, toError: () => region.toError() };
}
