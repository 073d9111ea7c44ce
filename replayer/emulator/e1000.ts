// Intel's 82540EM as QEMU has it (hw/net/e1000.c; register names of the 8254x developer's manual), with a cable that
// leads back into it: what it sends is what it receives.

import { Eeprom, Phy } from './e1000-nvm.ts';
import { fail } from './failed.ts';
import type { Bus, Model } from './model.ts';

const regs = {
  CTRL: 0x0000,
  STATUS: 0x0008,
  EECD: 0x0010,
  EERD: 0x0014,
  MDIC: 0x0020,
  ICR: 0x00c0,
  ICS: 0x00c8,
  IMS: 0x00d0,
  IMC: 0x00d8,
  RCTL: 0x0100,
  TCTL: 0x0400,
  PBA: 0x1000,
  RDBAL: 0x2800,
  RDBAH: 0x2804,
  RDLEN: 0x2808,
  RDH: 0x2810,
  RDT: 0x2818,
  TDBAL: 0x3800,
  TDBAH: 0x3804,
  TDLEN: 0x3808,
  TDH: 0x3810,
  TDT: 0x3818,
  STATISTICS: 0x4000,
  GPRC: 0x4074,
  GPTC: 0x4080,
  STATISTICS_END: 0x4100,
  RAL: 0x5400,
  RAH: 0x5404,
} as const;
const CTRL_RST = 0x04000000;
const CTRL_PHY_RST = 0x80000000;
/** Full duplex, link up, 1000 Mb/s, as QEMU reports it. */
const STATUS_UP = 0x80080783;
const EERD = { START: 1, DONE: 0x10 } as const;
const ENABLE = 2; // RCTL.EN, TCTL.EN
const INTERRUPT = { TXDW: 1, TXQE: 2, RXT0: 0x80 } as const;
const RAH_VALID = 0x80000000;
const DESCRIPTOR = 16;
const TX = { EOP: 0x01, RS: 0x08, DEXT: 0x20, DD: 1 } as const;
const RX_STATUS = 0x03; // DD, EOP
const MAC = Buffer.from([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
const FRAME_MAX = 16384;

export class E1000 implements Model {
  private readonly bus: Bus;
  private registers = new Map<number, number>();
  private readonly eeprom = new Eeprom(MAC);
  private readonly phy = new Phy();
  private cause = 0;
  private frame: Buffer[] = [];

  constructor(bus: Bus) {
    this.bus = bus;
    this.reset();
  }

  reset(): void {
    this.registers = new Map<number, number>([
      [regs.CTRL, 0x00140240],
      [regs.STATUS, STATUS_UP],
      [regs.PBA, 0x00100030],
      [regs.RAL, MAC.readUInt32LE(0)],
      [regs.RAH, (MAC.readUInt16LE(4) | RAH_VALID) >>> 0],
    ]);
    this.phy.reset();
    this.cause = 0;
    this.frame = [];
  }
  settle(): void {}

  private get(register: number): number {
    return this.registers.get(register) ?? 0;
  }
  get asserted(): boolean {
    return (this.cause & this.get(regs.IMS)) !== 0;
  }
  private interrupt(bits: number): void {
    this.cause = (this.cause | bits) >>> 0;
    this.bus.interrupt(this.asserted);
  }

  /** Registers are 32 bits; BAR 1, in port space, answers nothing, as in QEMU. */
  read(bar: number, offset: number, size: number): bigint {
    if (bar !== 0) return 0n;
    const word = BigInt(this.readRegister(offset & ~3));
    return BigInt.asUintN(8 * size, word >> BigInt(8 * (offset & 3)));
  }
  private readRegister(offset: number): number {
    switch (offset) {
      case regs.EECD:
        return this.eeprom.eecd;
      case regs.ICR: {
        const cause = this.cause;
        this.cause = 0;
        this.bus.interrupt(false);
        return cause;
      }
      case regs.ICS:
        return this.cause;
      default: {
        const value = this.get(offset);
        if (offset >= regs.STATISTICS && offset < regs.STATISTICS_END) this.registers.delete(offset); // cleared by reading
        return value;
      }
    }
  }

  write(bar: number, offset: number, size: number, value: bigint): void {
    if (bar !== 0 || size < 4) return;
    const word = Number(value & 0xffffffffn);
    switch (offset) {
      case regs.CTRL:
        if (word & CTRL_RST) this.reset();
        if (word & CTRL_PHY_RST) this.phy.reset();
        this.registers.set(offset, (word & ~(CTRL_RST | CTRL_PHY_RST)) >>> 0);
        break;
      case regs.STATUS:
        break; // read only
      case regs.EECD:
        this.eeprom.eecd = word;
        break;
      case regs.EERD:
        if (word & EERD.START)
          this.registers.set(
            offset,
            ((this.eeprom.word((word >>> 8) & 0xff) << 16) | (word & 0xff00) | EERD.DONE) >>> 0,
          );
        break;
      case regs.MDIC:
        this.registers.set(offset, this.phy.transfer(word));
        break;
      case regs.ICR:
        this.cause = (this.cause & ~word) >>> 0;
        break;
      case regs.ICS:
        this.interrupt(word);
        break;
      case regs.IMS:
        this.registers.set(offset, (this.get(offset) | word) >>> 0);
        this.bus.interrupt(this.asserted);
        break;
      case regs.IMC:
        this.registers.set(regs.IMS, (this.get(regs.IMS) & ~word) >>> 0);
        break;
      case regs.TDT:
      case regs.TCTL:
        this.registers.set(offset, word);
        if (this.get(regs.TCTL) & ENABLE) this.transmit();
        break;
      default:
        this.registers.set(offset, word);
    }
  }

  /** The descriptor at `index` of the ring that begins at `base`. */
  private place(base: number, index: number): bigint {
    const start = (BigInt(this.get(base + 4)) << 32n) | BigInt(this.get(base) & ~0xf);
    return start + BigInt(index * DESCRIPTOR);
  }
  private step(head: number, length: number): void {
    const count = this.get(length) / DESCRIPTOR;
    this.registers.set(head, count > 0 ? (this.get(head) + 1) % count : 0);
  }

  private transmit(): void {
    let done = 0;
    const slots = this.get(regs.TDLEN) / DESCRIPTOR;
    for (let n = 0; n < slots && this.get(regs.TDH) !== this.get(regs.TDT); n++) {
      const at = this.place(regs.TDBAL, this.get(regs.TDH));
      const descriptor = this.bus.dmaRead(at, DESCRIPTOR);
      if (!descriptor) return;
      const command = descriptor[11] as number;
      // A context descriptor (extended, type 0) carries no data.
      const context = (command & TX.DEXT) !== 0 && ((descriptor[10] as number) & 0xf0) === 0;
      if (!context) this.gather(descriptor, command);
      if (command & TX.RS) {
        descriptor[12] = (descriptor[12] as number) | TX.DD;
        this.bus.dmaWrite(at, descriptor);
        done |= INTERRUPT.TXDW;
      }
      this.step(regs.TDH, regs.TDLEN);
    }
    this.interrupt(done | INTERRUPT.TXQE);
  }

  private gather(descriptor: Buffer, command: number): void {
    const extended = (command & TX.DEXT) !== 0;
    const length = extended ? descriptor.readUIntLE(8, 3) & 0xfffff : descriptor.readUInt16LE(8);
    const bytes = length > 0 ? this.bus.dmaRead(descriptor.readBigUInt64LE(0), Math.min(length, FRAME_MAX)) : null;
    if (bytes) this.frame.push(bytes);
    if (!(command & TX.EOP)) return;
    const frame = Buffer.concat(this.frame);
    this.frame = [];
    this.registers.set(regs.GPTC, this.get(regs.GPTC) + 1);
    this.receive(frame);
  }

  private receive(frame: Buffer): void {
    if (!(this.get(regs.RCTL) & ENABLE) || this.get(regs.RDH) === this.get(regs.RDT)) return; // dropped
    const at = this.place(regs.RDBAL, this.get(regs.RDH));
    const descriptor = this.bus.dmaRead(at, DESCRIPTOR);
    if (!descriptor) return;
    this.bus.dmaWrite(descriptor.readBigUInt64LE(0), frame);
    descriptor.writeUInt16LE(frame.length, 8);
    descriptor[12] = RX_STATUS;
    descriptor[13] = 0;
    this.bus.dmaWrite(at, descriptor);
    this.step(regs.RDH, regs.RDLEN);
    this.registers.set(regs.GPRC, this.get(regs.GPRC) + 1);
    this.interrupt(INTERRUPT.RXT0);
  }

  /** Every register that was written, as {offset u32, value u32}. */
  save(): Buffer {
    const all = [...this.registers, [-1, this.cause] as const].sort(([a], [b]) => a - b);
    const out = Buffer.alloc(8 * all.length);
    all.forEach(([offset, value], i) => {
      out.writeInt32LE(offset, 8 * i);
      out.writeUInt32LE(value >>> 0, 8 * i + 4);
    });
    return out;
  }
  load(bytes: Buffer): void {
    if (bytes.length % 8 !== 0) fail('EINVAL');
    this.registers = new Map();
    for (let at = 0; at < bytes.length; at += 8) {
      const offset = bytes.readInt32LE(at);
      if (offset === -1) this.cause = bytes.readUInt32LE(at + 4);
      else this.registers.set(offset, bytes.readUInt32LE(at + 4));
    }
  }
}
