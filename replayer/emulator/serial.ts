// The kernel's sample serial card, an mdev that can migrate: samples/vfio-mdev/mtty.c (6.12), byte for byte.

import {
  deviceCalls,
  deviceFlags,
  irqFlags,
  irqSetFlags,
  pciIrqs,
  pciRegions,
  regionFlags,
  vfio_device_info,
  vfio_irq_info,
  vfio_region_info,
} from '../../schema/device.ts';
import { migrationFlags } from '../../schema/features.ts';
import type { Caller, Eventfd } from './caller.ts';
import type { Device } from './device.ts';
import type { Driver } from './driver.ts';
import { fail } from './failed.ts';
import type { MmapRequest } from './file.ts';
import { Fsm } from './fsm.ts';
import { irqSet } from './irq-set.ts';
import { pciRegs } from './pci-config.ts';
import { eventfdOf, type IrqSet } from './pci-irq.ts';
import type { Mapping } from './region.ts';
import { requestsOf } from './request.ts';
import { SerialState } from './serial-state.ts';
import { Uart } from './uart.ts';
import { endOf, type User } from './user.ts';

const call = requestsOf(deviceCalls);
const SHIFT = 40n;
const OFFSET_MASK = (1n << SHIFT) - 1n;
const CONFIG_SIZE = 0xff;
const IO_BAR_SIZE = 8;
/** The driver reads whatever lies behind a region; nothing asks for more than this of it. */
const LENGTH_MAX = 1 << 20;
const NUM_REGIONS = Object.keys(pciRegions).length;
const NUM_IRQS = Object.keys(pciIrqs).length;
/** Vendor, device (also as subsystem). */
const ID = 0x32534348;
const VENDOR_DATA: readonly (readonly [number, number])[] = [
  [0x40, 0x23],
  [0x43, 0x80],
  [0x44, 0x23],
  [0x48, 0x23],
  [0x4c, 0x23],
];

export class Serial implements Driver {
  readonly physical = false;
  readonly logging = true;
  readonly laxLogging = true;
  readonly migration: Fsm;
  private readonly device: Device;
  private readonly ports: number;
  private readonly uarts: readonly Uart[];
  private readonly config = Buffer.alloc(256);
  /** The driver checks interrupt indexes against what the last GET_INFO answered: 0 before it. */
  private numIrqs = 0;
  private irqIndex: number | null = null;
  private eventfd: Eventfd | null = null;
  private masked = false;

  constructor(device: Device, ports: number) {
    this.device = device;
    this.ports = ports;
    this.uarts = Array.from({ length: 2 }, () => new Uart(() => this.interrupt()));
    const flags = migrationFlags.STOP_COPY | migrationFlags.P2P | migrationFlags.PRE_COPY;
    const state = new SerialState(this.uarts.slice(0, ports), () => this.migration);
    this.migration = new Fsm(device, flags, state);
    this.fillConfig();
  }

  private fillConfig(): void {
    const { config } = this;
    config.writeUInt32LE(ID, pciRegs.VENDOR_ID);
    config.writeUInt16LE(1, pciRegs.COMMAND);
    config.writeUInt16LE(0x200, pciRegs.STATUS);
    config.set([0x10, 0x02, 0x00, 0x07], pciRegs.REVISION_ID);
    for (let i = 0; i < this.ports; i++) config.writeUInt32LE(1, pciRegs.BASE_ADDRESS_0 + 4 * i);
    config.writeUInt32LE(ID, pciRegs.SUBSYSTEM_VENDOR_ID);
    config[pciRegs.INTERRUPT_PIN] = 1;
    for (const [at, value] of VENDOR_DATA) config[at] = value;
    config.write('PCI Serial/UART', 0x60, 'latin1'); // the driver's own bytes end at the T
  }

  open(): void {}
  close(): void {
    this.migration.close();
    this.disableIrq();
  }

  toError(): void {
    this.migration.toError();
  }

  ioctl(caller: Caller, request: number, user: User): number {
    switch (request) {
      case call('VFIO_DEVICE_GET_INFO'): {
        const min = endOf(vfio_device_info, 'num_irqs');
        const info = user.copyIn(vfio_device_info, min);
        if (info.num('argsz') < min) fail('EINVAL');
        this.numIrqs = NUM_IRQS;
        info.set('flags', deviceFlags.PCI).set('num_regions', NUM_REGIONS).set('num_irqs', NUM_IRQS);
        user.copyOut(info, min);
        return 0;
      }
      case call('VFIO_DEVICE_GET_REGION_INFO'):
        return this.regionInfo(user);
      case call('VFIO_DEVICE_GET_IRQ_INFO'):
        return this.irqInfo(user);
      case call('VFIO_DEVICE_SET_IRQS'):
        this.setIrqs(
          caller,
          irqSet(user, () => this.numIrqs, NUM_IRQS),
        );
        return 0;
      case call('VFIO_DEVICE_RESET'):
        this.migration.reset();
        return 0;
      default:
        return fail('ENOTTY');
    }
  }

  private regionInfo(user: User): number {
    const info = user.copyIn(vfio_region_info);
    const index = info.num('index');
    if (info.num('argsz') < vfio_region_info.size || index >= NUM_REGIONS) fail('EINVAL');
    let size = index === pciRegions.CONFIG ? CONFIG_SIZE : 0;
    if (index < this.ports) size = IO_BAR_SIZE;
    info
      .set('size', size)
      .set('offset', BigInt(index) << SHIFT)
      .set('flags', regionFlags.READ | regionFlags.WRITE);
    user.copyOut(info);
    return 0;
  }

  private irqInfo(user: User): number {
    const info = user.copyIn(vfio_irq_info);
    const index = info.num('index');
    if (info.num('argsz') < vfio_irq_info.size || index >= this.numIrqs) fail('EINVAL');
    if (index !== pciIrqs.INTX && index !== pciIrqs.MSI) fail('EINVAL');
    const more = index === pciIrqs.INTX ? irqFlags.MASKABLE | irqFlags.AUTOMASKED : irqFlags.NORESIZE;
    user.copyOut(info.set('flags', irqFlags.EVENTFD | more).set('count', 1));
    return 0;
  }

  private setIrqs(caller: Caller, set: IrqSet): void {
    const { index, action } = set;
    if (index !== pciIrqs.INTX && index !== pciIrqs.MSI) fail('ENOTTY');
    const isOn = this.irqIndex === index;
    const value = set.data.kind === 'none' ? 1 : (set.data.values[0] as number);
    if (action === irqSetFlags.ACTION_TRIGGER) {
      if (isOn && set.count === 0 && set.data.kind === 'none') {
        this.disableIrq();
        return;
      }
      if (!(isOn || this.irqIndex === null) || set.start !== 0 || set.count !== 1) fail('EINVAL');
      if (set.data.kind === 'eventfd') {
        this.disableIrq();
        if (value < 0) return;
        this.eventfd = eventfdOf(caller, value);
        this.irqIndex = index;
        return;
      }
      if (!isOn) fail('EINVAL');
      if (value) this.interrupt();
    } else if (action === irqSetFlags.ACTION_MASK || action === irqSetFlags.ACTION_UNMASK) {
      if (index === pciIrqs.MSI) fail('ENOTTY');
      if (!isOn || set.start !== 0 || set.count !== 1) fail('EINVAL');
      if (set.data.kind === 'eventfd') fail('ENOTTY');
      if (value) this.masked = action === irqSetFlags.ACTION_MASK;
    }
  }

  private disableIrq(): void {
    this.eventfd = null;
    this.masked = false;
    this.irqIndex = null;
  }
  private interrupt(): void {
    if (!this.eventfd) return;
    const intx = this.irqIndex === pciIrqs.INTX;
    if (intx && this.masked) return;
    if (intx) this.masked = true;
    this.device.signal(intx ? 'INTX' : 'MSI', this.eventfd);
  }

  regionName(pos: bigint): string {
    const index = Number(pos >> SHIFT);
    return Object.entries(pciRegions).find(([, nr]) => nr === index)?.[0] ?? String(index);
  }

  /** Accesses of 4, 2 and 1 bytes as the alignment allows; any that has no place fails the whole call. */
  private *accesses(
    pos: bigint,
    length: number,
  ): Generator<{ region: number; at: number; from: number; size: number }> {
    for (let done = 0; done < length; ) {
      const here = pos + BigInt(done);
      const region = Number(here >> SHIFT);
      if (region > pciRegions.CONFIG || region === pciRegions.ROM) fail('EFAULT');
      const at = Number(here & OFFSET_MASK);
      const size = [4, 2].find((w) => length - done >= w && at % w === 0) ?? 1;
      yield { region, at, from: done, size };
      done += size;
    }
  }

  read(pos: bigint, length: number): Buffer {
    if (length > LENGTH_MAX) fail('EFAULT');
    const out = Buffer.alloc(length);
    for (const { region, at, from, size } of this.accesses(pos, length))
      if (region === pciRegions.CONFIG) this.config.subarray(at, at + size).copy(out, from);
      else out[from] = this.uarts[region]?.read(at) ?? 0; // one byte, however wide
    return out;
  }

  write(pos: bigint, bytes: Buffer): number {
    for (const { region, at, from, size } of this.accesses(pos, bytes.length))
      if (region === pciRegions.CONFIG) this.configWrite(at, bytes.subarray(from, from + size));
      else this.uarts[region]?.write(at, bytes[from] as number);
    return bytes.length;
  }

  private configWrite(at: number, bytes: Buffer): void {
    const bar = (at - pciRegs.BASE_ADDRESS_0) / 4;
    if (at === pciRegs.INTERRUPT_LINE) this.config[at] = bytes[0] as number;
    else if (bar === 0 || bar === 1) {
      const whole = Buffer.alloc(4);
      bytes.copy(whole);
      let address = whole.readUInt32LE();
      if (address === 0xffffffff) address = -IO_BAR_SIZE >>> 0;
      const value = bar < this.ports ? (address | ((this.config[at] as number) & 3)) >>> 0 : 0;
      this.config.writeUInt32LE(value, at);
    } else if (bar === 2 || bar === 3 || bar === 4) this.config.writeUInt32LE(0, at);
  }

  mmap(_request: MmapRequest): Mapping {
    return fail('EINVAL'); // it has no mmap operation
  }
}
