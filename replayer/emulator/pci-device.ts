// A PCI device below vfio-pci: configuration space, BARs, interrupts, and the model that answers behind them.

import { pciIrqs, pciRegions, regionFlags } from '../../schema/device.ts';
import type { Caller } from './caller.ts';
import type { Device } from './device.ts';
import type { Driver, MigrationOps } from './driver.ts';
import { fail } from './failed.ts';
import type { MmapRequest } from './file.ts';
import type { Bus, Model } from './model.ts';
import { pciIoctl } from './pci.ts';
import { PciConfig, pciCommand } from './pci-config.ts';
import { PciIrqs } from './pci-irq.ts';
import { busAccesses, type ExtraRegion, type Gate, openGate, type Region } from './pci-region.ts';
import type { PciProfile, PciSpec } from './profile.ts';
import { type Mapping, Ram } from './region.ts';
import type { User } from './user.ts';

/** VFIO_PCI_OFFSET_SHIFT. */
const SHIFT = 40n;
const OFFSET_MASK = (1n << SHIFT) - 1n;
const PAGE = 4096;
const NUM_REGIONS = Object.keys(pciRegions).length;

export class PciDevice implements Driver, Bus {
  readonly device: Device;
  readonly spec: PciSpec;
  readonly config: PciConfig;
  readonly irqs: PciIrqs;
  readonly physical: boolean;
  readonly logging: boolean;
  readonly laxLogging = false;
  lowPower = false;
  readonly model: Model;
  /** By BAR: those backed by memory. */
  readonly rams: readonly (Ram | null)[];
  readonly extra: ExtraRegion[] = [];
  migration: MigrationOps | null = null;
  private gate: Gate = openGate;
  /** What a migration protocol adds at reset and first open, at last close, and when the device fails. */
  hooks = { restart: (): void => {}, close: (): void => {}, toError: (): void => {} };
  messages = false;

  constructor(device: Device, profile: PciProfile, model: (bus: Bus) => Model) {
    this.device = device;
    this.spec = profile.pci;
    this.physical = profile.physical;
    this.logging = profile.logging;
    this.config = new PciConfig(profile.pci);
    const self = this;
    this.irqs = new PciIrqs(device, {
      get asserted() {
        return self.model.asserted;
      },
      messages(index) {
        self.messages = index !== null;
      },
    });
    this.rams = profile.pci.bars.map((bar) => (bar?.backing === 'ram' ? new Ram(bar.size) : null));
    this.model = model(this);
  }

  get clock() {
    return this.device.host.clock;
  }
  get random() {
    return this.device.host.random;
  }
  get dynamicMsix(): boolean {
    return this.spec.msix !== null && this.device.host.has('6.12');
  }

  open(): void {
    this.config.open();
    this.hooks.restart();
  }
  close(): void {
    this.lowPower = false;
    this.hooks.close();
    this.irqs.off();
  }
  toError(): void {
    this.hooks.toError();
  }
  /** A migration state takes effect: what is under way is finished before the device is kept from it. */
  setGate(gate: Gate): void {
    if ((gate.dma && !this.gate.dma) || (gate.interrupts && !this.gate.interrupts)) this.model.settle();
    this.gate = gate;
    if (!gate.interrupts && this.model.asserted) this.interrupt(true);
  }
  reset(): void {
    this.model.reset(); // the kernel restores the configuration space after it
    this.hooks.restart();
  }

  ioctl(caller: Caller, request: number, user: User): number {
    return pciIoctl(this, caller, request, user);
  }

  offsetOf(index: number): bigint {
    return BigInt(index) << SHIFT;
  }
  irqCount(index: number): number {
    switch (index) {
      case pciIrqs.INTX:
        return this.spec.interruptPin ? 1 : 0;
      case pciIrqs.MSI:
        return this.spec.msiVectors;
      case pciIrqs.MSIX:
        return this.spec.msix?.vectors ?? 0;
      case pciIrqs.ERR:
        return this.spec.express ? 1 : 0;
      default:
        return index === pciIrqs.REQ ? 1 : 0;
    }
  }

  /** Undefined: there is no such region (EINVAL). */
  region(index: number): Region | undefined {
    const readWrite = regionFlags.READ | regionFlags.WRITE;
    if (index === pciRegions.CONFIG) return { size: this.config.bytes.length, flags: readWrite, caps: [] };
    if (index === pciRegions.ROM) return { size: 0, flags: 0, caps: [] };
    if (index === pciRegions.VGA) return undefined;
    if (index >= NUM_REGIONS) return this.extra[index - NUM_REGIONS];
    const bar = this.spec.bars[index];
    if (!bar) return { size: 0, flags: 0, caps: [] };
    const mappable = bar.kind !== 'io' && bar.size >= PAGE;
    return { size: bar.size, flags: readWrite | (mappable ? regionFlags.MMAP : 0), caps: [] };
  }
  regionName(pos: bigint): string {
    const index = Number(pos >> SHIFT);
    const name = Object.entries(pciRegions).find(([, nr]) => nr === index)?.[0];
    return name ?? this.extra[index - NUM_REGIONS]?.name ?? String(index);
  }

  read(pos: bigint, length: number): Buffer {
    if (length === 0) return Buffer.alloc(0);
    const index = Number(pos >> SHIFT);
    const at = Number(pos & OFFSET_MASK);
    if (index >= NUM_REGIONS + this.extra.length) fail('EINVAL');
    if (index === pciRegions.CONFIG) return this.config.read(at, length);
    const extra = this.extra[index - NUM_REGIONS];
    if (extra) return extra.read(at, length);
    const count = this.inBar(index, at, length);
    const out = Buffer.alloc(count);
    this.split(index, at, count, (offset, size) => {
      const value = size === 0 ? null : this.barRead(index, offset, size);
      if (value === null) out.fill(0xff, offset - at, count);
      else value.copy(out, offset - at);
    });
    return out;
  }

  write(pos: bigint, bytes: Buffer): number {
    if (bytes.length === 0) return 0;
    const index = Number(pos >> SHIFT);
    const at = Number(pos & OFFSET_MASK);
    if (index >= NUM_REGIONS + this.extra.length) fail('EINVAL');
    if (index === pciRegions.CONFIG) return this.config.write(at, bytes);
    const extra = this.extra[index - NUM_REGIONS];
    if (extra) return extra.write(at, bytes);
    const count = this.inBar(index, at, bytes.length);
    this.split(index, at, count, (offset, size) => {
      if (size > 0) this.barWrite(index, offset, bytes.subarray(offset - at, offset - at + size));
    });
    return count;
  }

  /** Bytes of an access that lie in the BAR. */
  private inBar(index: number, at: number, length: number): number {
    const bar = this.spec.bars[index];
    if (index > pciRegions.BAR5 || !bar || at >= bar.size) return fail('EINVAL');
    if (bar.kind !== 'io' && !(this.config.command & pciCommand.MEMORY)) fail('EIO');
    return Math.min(length, bar.size - at);
  }

  /** The bus accesses of one call. */
  private split(index: number, at: number, count: number, access: (offset: number, size: number) => void): void {
    const { msix } = this.spec;
    const hidden: [number, number] = msix?.bar === index ? [msix.table, msix.table + 16 * msix.vectors] : [0, 0];
    for (const { offset, size } of busAccesses(at, count, this.device.host.has('6.12') ? 8 : 4, hidden))
      access(offset, size);
  }

  private barRead(index: number, offset: number, size: number): Buffer {
    const ram = this.rams[index];
    if (ram) return ram.read(offset, size);
    this.watchStopped('read', index, offset);
    const out = Buffer.alloc(8);
    out.writeBigUInt64LE(BigInt.asUintN(64, this.model.read(index, offset, size)));
    return out.subarray(0, size);
  }
  private barWrite(index: number, offset: number, bytes: Buffer): void {
    this.watchStopped('written', index, offset);
    const ram = this.rams[index];
    if (ram) {
      ram.write(offset, bytes);
      return;
    }
    const value = Buffer.alloc(8);
    bytes.copy(value);
    this.model.write(index, offset, bytes.length, value.readBigUInt64LE());
  }
  private watchStopped(how: string, index: number, offset: number): void {
    if (this.gate.stopped)
      this.device.host.note(this.device.name, `BAR${index}+0x${offset.toString(16)} ${how} while stopped`);
  }

  mmap(request: MmapRequest): Mapping {
    const index = Number(request.offset >> SHIFT);
    const at = Number(request.offset & OFFSET_MASK);
    const length = Number(request.length);
    if (index >= NUM_REGIONS + this.extra.length || !request.shared) fail('EINVAL');
    const extra = this.extra[index - NUM_REGIONS];
    if (extra) return extra.mmap(at, length);
    const region = this.region(index);
    if (!region || !(region.flags & regionFlags.MMAP) || at + length > region.size) fail('EINVAL');
    const ram = this.rams[index];
    return {
      region: index,
      offset: at,
      length,
      load: (where, size) => this.read(this.offsetOf(index) + BigInt(at + where), size),
      store: (where, bytes) => {
        this.write(this.offsetOf(index) + BigInt(at + where), bytes);
      },
      ...(ram ? { ram: { memory: ram, start: at } } : {}),
    };
  }

  dmaRead(iova: bigint, length: number): Buffer | null {
    return this.mayMaster('read') ? this.device.dmaRead(iova, length) : null;
  }
  dmaWrite(iova: bigint, bytes: Buffer): boolean {
    return this.mayMaster('write') && this.device.dmaWrite(iova, bytes);
  }
  private mayMaster(what: string): boolean {
    if (this.gate.dma) this.device.host.note(this.device.name, `DMA ${what} held back by the migration state`);
    return !this.gate.dma && (this.config.command & pciCommand.MASTER) !== 0;
  }

  interrupt(asserted: boolean): void {
    if (!asserted) return;
    if (this.gate.interrupts) return;
    if (this.messages && !(this.config.command & pciCommand.MASTER)) return; // a message is a memory write
    this.irqs.raise(0);
  }
}
