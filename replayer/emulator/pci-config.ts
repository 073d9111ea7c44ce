// PCI configuration space as vfio-pci shows it: bytes and which bits of them a write changes.
// Source: drivers/vfio/pci/vfio_pci_config.c; register offsets: linux/pci_regs.h.

import { fail } from './failed.ts';
import type { PciSpec } from './profile.ts';

/** linux/pci_regs.h. */
export const pciRegs = {
  VENDOR_ID: 0x00,
  DEVICE_ID: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  REVISION_ID: 0x08,
  CLASS_PROG: 0x09,
  CACHE_LINE_SIZE: 0x0c,
  LATENCY_TIMER: 0x0d,
  BASE_ADDRESS_0: 0x10,
  SUBSYSTEM_VENDOR_ID: 0x2c,
  SUBSYSTEM_ID: 0x2e,
  CAPABILITY_LIST: 0x34,
  INTERRUPT_LINE: 0x3c,
  INTERRUPT_PIN: 0x3d,
} as const;
export const pciCommand = { IO: 1, MEMORY: 2, MASTER: 4, SERR: 0x100, INTX_DISABLE: 0x400 } as const;
const STATUS_CAP_LIST = 0x10;
export const pciCaps = { MSI: 5, VENDOR: 9, EXPRESS: 0x10, MSIX: 0x11 } as const;
const SIZE = 256;
const EXPRESS_SIZE = 4096;
/** Where firmware puts BARs: memory below the interrupt window, ports above the legacy ones. */
const MEMORY_BASE = 0xfea00000;
const PORT_BASE = 0xc000;

export class PciConfig {
  readonly bytes: Buffer;
  /** Bits that a write changes. */
  private readonly mask: Buffer;
  /** Offset of the MSI and MSI-X capabilities, 0: none. */
  readonly msi: number = 0;
  readonly msix: number = 0;
  private readonly initial: Buffer;

  constructor(spec: PciSpec) {
    const size = spec.express ? EXPRESS_SIZE : SIZE;
    this.bytes = Buffer.alloc(size);
    this.mask = Buffer.alloc(size);
    const { bytes, mask } = this;
    bytes.writeUInt16LE(spec.vendor, pciRegs.VENDOR_ID);
    bytes.writeUInt16LE(spec.device, pciRegs.DEVICE_ID);
    bytes.writeUInt16LE(pciCommand.MEMORY | pciCommand.SERR | pciCommand.IO, pciRegs.COMMAND);
    mask.writeUInt16LE(
      pciCommand.IO | pciCommand.MEMORY | pciCommand.MASTER | pciCommand.SERR | pciCommand.INTX_DISABLE,
      pciRegs.COMMAND,
    );
    bytes[pciRegs.REVISION_ID] = spec.revision;
    bytes.writeUIntLE(spec.classCode, pciRegs.CLASS_PROG, 3);
    mask[pciRegs.CACHE_LINE_SIZE] = 0xff;
    bytes.writeUInt16LE(spec.subsystemVendor, pciRegs.SUBSYSTEM_VENDOR_ID);
    bytes.writeUInt16LE(spec.subsystem, pciRegs.SUBSYSTEM_ID);
    bytes[pciRegs.INTERRUPT_PIN] = spec.interruptPin;
    bytes[pciRegs.INTERRUPT_LINE] = spec.interruptPin ? 10 : 0;
    mask[pciRegs.INTERRUPT_LINE] = 0xff;
    this.placeBars(spec);
    let at = 0x40;
    let link: number = pciRegs.CAPABILITY_LIST;
    const add = (id: number, body: Buffer): number => {
      const here = at;
      bytes[link] = here;
      bytes[here] = id;
      body.copy(bytes, here + 2);
      link = here + 1;
      at = Math.ceil((here + 2 + body.length) / 4) * 4;
      bytes.writeUInt16LE(bytes.readUInt16LE(pciRegs.STATUS) | STATUS_CAP_LIST, pciRegs.STATUS);
      return here;
    };
    if (spec.msiVectors > 0) this.msi = this.addMsi(spec.msiVectors, add);
    if (spec.msix) this.msix = this.addMsix(spec.msix, add);
    if (spec.express) add(pciCaps.EXPRESS, Buffer.alloc(0x3a));
    for (const cap of spec.capabilities) add(cap.id, cap.body);
    this.initial = Buffer.from(bytes);
  }

  private placeBars(spec: PciSpec): void {
    let memory = MEMORY_BASE;
    let port = PORT_BASE;
    spec.bars.forEach((bar, i) => {
      if (!bar) return;
      const at = pciRegs.BASE_ADDRESS_0 + 4 * i;
      const sizeMask = BigInt.asUintN(64, -BigInt(bar.size));
      const flags = bar.kind === 'io' ? 1 : bar.kind === 'mem64' ? 4 : 0;
      const base = bar.kind === 'io' ? port : Math.ceil(memory / bar.size) * bar.size;
      if (bar.kind === 'io') port += Math.max(bar.size, 4);
      else memory = base + bar.size;
      this.bytes.writeUInt32LE((base | flags) >>> 0, at);
      this.mask.writeUInt32LE(Number(BigInt.asUintN(32, sizeMask & (bar.kind === 'io' ? ~3n : ~0xfn))), at);
      if (bar.kind === 'mem64') this.mask.writeUInt32LE(Number(sizeMask >> 32n), at + 4);
    });
  }

  /** 64-bit MSI without masking: flags u16, address u64, data u16. */
  private addMsi(vectors: number, add: (id: number, body: Buffer) => number): number {
    const body = Buffer.alloc(12);
    body.writeUInt16LE(0x80 | (Math.log2(vectors) << 1)); // PCI_MSI_FLAGS_64BIT, QMASK
    const at = add(pciCaps.MSI, body);
    this.mask.writeUInt16LE(0x70, at + 2); // QSIZE; ENABLE follows SET_IRQS alone
    this.mask.fill(0xff, at + 4, at + 14);
    this.mask[at + 4] = 0xfc;
    return at;
  }
  private addMsix(msix: NonNullable<PciSpec['msix']>, add: (id: number, body: Buffer) => number): number {
    const body = Buffer.alloc(10);
    body.writeUInt16LE(msix.vectors - 1);
    body.writeUInt32LE(msix.table | msix.bar, 2);
    body.writeUInt32LE(msix.pba | msix.bar, 6);
    const at = add(pciCaps.MSIX, body);
    this.mask.writeUInt16LE(0xc000, at + 2); // ENABLE, MASKALL: virtual
    return at;
  }

  get command(): number {
    return this.bytes.readUInt16LE(pciRegs.COMMAND);
  }

  /** First open: what firmware left, and the user's writes are gone (vfio_config_init). */
  open(): void {
    this.initial.copy(this.bytes);
  }

  read(at: number, length: number): Buffer {
    if (at + length > this.bytes.length) fail('EFAULT');
    return Buffer.from(this.bytes.subarray(at, at + length));
  }
  write(at: number, bytes: Buffer): number {
    if (at + bytes.length > this.bytes.length) fail('EFAULT');
    for (let i = 0; i < bytes.length; i++) {
      const mask = this.mask[at + i] as number;
      this.bytes[at + i] = ((this.bytes[at + i] as number) & ~mask) | ((bytes[i] as number) & mask);
    }
    return bytes.length;
  }
}
