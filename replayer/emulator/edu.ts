// QEMU's educational device (hw/misc/edu.c, docs/specs/edu.rst): identification, liveness check, factorial, interrupts
// raised by hand, and a DMA engine with a 4 KiB buffer at 0x40000.

import { fail } from './failed.ts';
import type { Bus, Model } from './model.ts';

const IDENT = 0x010000edn;
const regs = {
  ID: 0x00,
  LIVENESS: 0x04,
  FACTORIAL: 0x08,
  STATUS: 0x20,
  IRQ_STATUS: 0x24,
  IRQ_RAISE: 0x60,
  IRQ_ACK: 0x64,
  DMA_SOURCE: 0x80,
  DMA_TARGET: 0x88,
  DMA_COUNT: 0x90,
  DMA_COMMAND: 0x98,
} as const;
const COMPUTING = 1;
const STATUS_IRQ = 0x80;
const DMA_RUN = 1n;
const DMA_FROM_DEVICE = 2n;
const DMA_IRQ = 4n;
const FACTORIAL_DONE = 1;
const DMA_DONE = 0x100;
const BUFFER_START = 0x40000n;
const BUFFER_SIZE = 4096;
/** Bytes that its registers and its buffer are in a migration. */
export const EDU_SAVED = 48 + BUFFER_SIZE;
/** The device reaches 28 bits of address. */
const DMA_MASK = (1n << 28n) - 1n;
const ALL_ONES = (1n << 64n) - 1n;

export class Edu implements Model {
  private readonly bus: Bus;
  private readonly latency: bigint;
  private liveness = 0;
  private factorial = 0;
  private status = 0;
  private irqStatus = 0;
  private dma = { source: 0n, target: 0n, count: 0n, command: 0n };
  private readonly buffer = Buffer.alloc(BUFFER_SIZE);
  private pending: { readonly work: () => void; readonly cancel: () => void } | null = null;

  constructor(bus: Bus, latency: number) {
    this.bus = bus;
    this.latency = BigInt(latency);
  }

  get asserted(): boolean {
    return this.irqStatus !== 0 && !this.bus.messages;
  }

  read(_bar: number, offset: number, size: number): bigint {
    if (size < 4) return 0n; // memory_region_access_valid refuses it
    if (offset < regs.DMA_SOURCE && size !== 4) return ALL_ONES;
    switch (offset) {
      case regs.ID:
        return IDENT;
      case regs.LIVENESS:
        return BigInt(this.liveness);
      case regs.FACTORIAL:
        return BigInt(this.factorial);
      case regs.STATUS:
        return BigInt(this.status);
      case regs.IRQ_STATUS:
        return BigInt(this.irqStatus);
      case regs.DMA_SOURCE:
        return this.dma.source;
      case regs.DMA_TARGET:
        return this.dma.target;
      case regs.DMA_COUNT:
        return this.dma.count;
      case regs.DMA_COMMAND:
        return this.dma.command;
      default:
        return ALL_ONES;
    }
  }

  write(_bar: number, offset: number, size: number, value: bigint): void {
    if (size < 4 || (offset < regs.DMA_SOURCE && size !== 4)) return;
    const low = Number(value & 0xffffffffn);
    const idle = !(this.dma.command & DMA_RUN);
    switch (offset) {
      case regs.LIVENESS:
        this.liveness = ~low >>> 0;
        break;
      case regs.FACTORIAL:
        this.compute(low);
        break;
      case regs.STATUS:
        this.status = (this.status & ~STATUS_IRQ) | (low & STATUS_IRQ);
        break;
      case regs.IRQ_RAISE:
        this.raise(low);
        break;
      case regs.IRQ_ACK:
        this.irqStatus = (this.irqStatus & ~low) >>> 0;
        if (this.irqStatus === 0) this.bus.interrupt(false);
        break;
      case regs.DMA_SOURCE:
        if (idle) this.dma.source = value;
        break;
      case regs.DMA_TARGET:
        if (idle) this.dma.target = value;
        break;
      case regs.DMA_COUNT:
        if (idle) this.dma.count = value;
        break;
      case regs.DMA_COMMAND:
        if (idle && value & DMA_RUN) {
          this.dma.command = value;
          this.later(() => this.transfer());
        }
        break;
    }
  }

  private later(work: () => void): void {
    if (this.latency === 0n) {
      work();
      return;
    }
    this.settle(); // one thing at a time
    const cancel = this.bus.clock.after(this.latency, () => {
      this.pending = null;
      work();
    });
    this.pending = { work, cancel };
  }
  settle(): void {
    const { pending } = this;
    this.pending = null;
    pending?.cancel();
    pending?.work();
  }

  private compute(n: number): void {
    if (this.status & COMPUTING) return;
    this.factorial = n;
    this.status |= COMPUTING;
    this.later(() => {
      let product = 1;
      // From 34! on the low 32 bits are all zero.
      for (let i = Math.min(n, 34); i > 0; i--) product = Math.imul(product, i) >>> 0;
      this.factorial = product;
      this.status &= ~COMPUTING;
      if (this.status & STATUS_IRQ) this.raise(FACTORIAL_DONE);
    });
  }

  private raise(bits: number): void {
    this.irqStatus = (this.irqStatus | bits) >>> 0;
    if (this.irqStatus) this.bus.interrupt(true);
  }

  private transfer(): void {
    const { source, target, count, command } = this.dma;
    const inside = command & DMA_FROM_DEVICE ? source : target;
    const at = Number(inside - BUFFER_START);
    const length = Number(count);
    // Out of the buffer: QEMU reports a guest error and moves nothing.
    if (at >= 0 && length <= BUFFER_SIZE && at + length <= BUFFER_SIZE) {
      if (command & DMA_FROM_DEVICE) this.bus.dmaWrite(target & DMA_MASK, this.buffer.subarray(at, at + length));
      else (this.bus.dmaRead(source & DMA_MASK, length) ?? Buffer.alloc(length)).copy(this.buffer, at);
    }
    this.dma.command = command & ~DMA_RUN;
    if (command & DMA_IRQ) this.raise(DMA_DONE);
  }

  reset(): void {
    this.pending?.cancel();
    this.pending = null;
    this.liveness = this.factorial = this.status = this.irqStatus = 0;
    this.dma = { source: 0n, target: 0n, count: 0n, command: 0n };
    this.buffer.fill(0);
  }

  /** liveness, factorial, status, irq status: u32; DMA source, target, count, command: u64; the buffer. */
  save(): Buffer {
    const head = Buffer.alloc(EDU_SAVED - BUFFER_SIZE);
    [this.liveness, this.factorial, this.status, this.irqStatus].forEach((v, i) => {
      head.writeUInt32LE(v >>> 0, 4 * i);
    });
    [this.dma.source, this.dma.target, this.dma.count, this.dma.command].forEach((v, i) => {
      head.writeBigUInt64LE(v, 16 + 8 * i);
    });
    return Buffer.concat([head, this.buffer]);
  }
  load(bytes: Buffer): void {
    if (bytes.length !== EDU_SAVED) fail('EINVAL');
    this.liveness = bytes.readUInt32LE(0);
    this.factorial = bytes.readUInt32LE(4);
    this.status = bytes.readUInt32LE(8);
    this.irqStatus = bytes.readUInt32LE(12);
    this.dma = {
      source: bytes.readBigUInt64LE(16),
      target: bytes.readBigUInt64LE(24),
      count: bytes.readBigUInt64LE(32),
      command: bytes.readBigUInt64LE(40),
    };
    bytes.copy(this.buffer, 0, 48);
    this.bus.interrupt(this.irqStatus !== 0);
  }
}
