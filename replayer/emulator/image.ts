// What a device's migration moves: the pages of its memory BARs, and its registers. Records on the wire:
//
//   magic u32 | kind u32 | BAR u32 | length u32 | offset u64 | bytes …
//
// A page is to be sent when it differs from what was sent of it last, so memory that a program writes through a mapping
// needs no watching.

import { fail } from './failed.ts';
import type { PciDevice } from './pci-device.ts';

const MAGIC = 0x53525256; // "VRRS"
const HEADER = 24;
const PAGE = 4096;
/** Bytes that a data section needs, as it takes whole records: of a device whose registers are `saved` bytes. */
export const longestRecord = (saved: number): number => HEADER + Math.max(PAGE, saved);
const kinds = { page: 1, registers: 2 } as const;

interface Page {
  readonly bar: number;
  readonly at: number;
  /** As it was sent last; null: never. */
  sent: Buffer | null;
}

export class Image {
  private readonly pci: PciDevice;
  private readonly churn: number;
  private pages: Page[] = [];
  private registersSent = false;
  /** Registers came in: the image that is being loaded is whole. */
  complete = false;

  constructor(pci: PciDevice, churn: number) {
    this.pci = pci;
    this.churn = churn;
  }

  /** Everything is to be sent, from the start. */
  begin(): void {
    this.registersSent = false;
    this.pages = this.pci.rams.flatMap((ram, bar) =>
      Array.from({ length: ram ? ram.size / PAGE : 0 }, (_, i): Page => ({ bar, at: i * PAGE, sent: null })),
    );
  }

  private content(page: Page): Buffer {
    return this.pci.rams[page.bar]?.read(page.at, PAGE) ?? Buffer.alloc(PAGE);
  }
  private get due(): Page[] {
    return this.pages.filter((p) => !p.sent?.equals(this.content(p)));
  }

  /** A running device writes to its own memory. */
  stir(): void {
    const { random } = this.pci;
    for (let i = 0; i < this.churn && this.pages.length > 0; i++) {
      const page = this.pages[random.below(this.pages.length)] as Page;
      this.pci.rams[page.bar]?.write(page.at + random.below(PAGE / 8) * 8, random.bytes(8));
    }
  }

  /** Bytes of records that are due; `stopped`: with the registers. */
  pending(stopped: boolean): number {
    const registers = stopped && !this.registersSent ? HEADER + this.pci.model.save().length : 0;
    return this.due.length * (HEADER + PAGE) + registers;
  }

  /** Bytes of a whole image. */
  get size(): number {
    const pages = this.pci.rams.reduce((n, ram) => n + (ram ? ram.size / PAGE : 0), 0);
    return pages * (HEADER + PAGE) + HEADER + this.pci.model.save().length;
  }

  /** Whole records that are due, at most `max` bytes of them. */
  take(max: number, stopped: boolean): Buffer {
    const out: Buffer[] = [];
    let length = 0;
    for (const page of this.due) {
      if (length + HEADER + PAGE > max) return Buffer.concat(out);
      page.sent = this.content(page);
      out.push(record(kinds.page, page.bar, page.at, page.sent));
      length += HEADER + PAGE;
    }
    if (stopped && !this.registersSent) {
      const registers = record(kinds.registers, 0, 0, this.pci.model.save());
      if (length + registers.length <= max) {
        this.registersSent = true;
        out.push(registers);
      }
    }
    return Buffer.concat(out);
  }

  /** Applies the whole records at the start of `bytes`; what is left over. EINVAL on what is none. */
  load(bytes: Buffer): Buffer {
    let rest = bytes;
    while (rest.length >= HEADER) {
      const [kind, bar, length] = [rest.readUInt32LE(4), rest.readUInt32LE(8), rest.readUInt32LE(12)];
      if (rest.readUInt32LE() !== MAGIC) fail('EINVAL');
      if (rest.length < HEADER + length) return rest;
      const body = rest.subarray(HEADER, HEADER + length);
      if (kind === kinds.registers) {
        this.pci.model.load(body);
        this.complete = true;
      } else {
        const ram = this.pci.rams[bar] ?? fail('EINVAL');
        const at = Number(rest.readBigUInt64LE(16));
        if (kind !== kinds.page || length !== PAGE || at + PAGE > ram.size) fail('EINVAL');
        ram.write(at, body);
      }
      rest = rest.subarray(HEADER + length);
    }
    return rest;
  }
}

function record(kind: number, bar: number, at: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER);
  header.writeUInt32LE(MAGIC);
  header.writeUInt32LE(kind, 4);
  header.writeUInt32LE(bar, 8);
  header.writeUInt32LE(body.length, 12);
  header.writeBigUInt64LE(BigInt(at), 16);
  return Buffer.concat([header, body]);
}
