// The EEPROM and the PHY of an 82540EM: QEMU's e1000 (hw/net/e1000.c).

/** Bits of EECD: a Microwire EEPROM, clocked by hand. */
const EECD = { SK: 1, CS: 2, DI: 4, DO: 8, FWE: 0x30, REQ: 0x40, GNT: 0x80, PRES: 0x100 } as const;
const READ = 6; // opcode: start bit and two more
const CHECKSUM = 0xbaba;
const WORDS = 64;
/** Words 3 to 40 of QEMU's template; 11 and 13 are the device's id. */
const TEMPLATE: readonly number[] = [
  ...[0x0000, 0xffff, 0x0000, 0x0000, 0x0000, 0x3000, 0x1000, 0x6403, 0x100e, 0x8086, 0x100e, 0x8086, 0x3040],
  ...[0x0008, 0x2000, 0x7e14, 0x0048, 0x1000, 0x00d8, 0x0000, 0x2700, 0x6cc9, 0x3150, 0x0722, 0x040b],
  ...[0x0984, 0x0000, 0xc000, 0x0706, 0x1008, 0x0000, 0x0f04, 0x7fff, 0x4d01],
];

export class Eeprom {
  private readonly words: readonly number[];
  private old = 0;
  private input = 0;
  private bitsIn = 0;
  private bitsOut = 0;
  private reading = false;

  constructor(mac: Buffer) {
    const words = [mac.readUInt16LE(0), mac.readUInt16LE(2), mac.readUInt16LE(4), ...TEMPLATE];
    while (words.length < WORDS - 1) words.push(0xffff);
    const sum = words.reduce((a, b) => (a + b) & 0xffff, 0);
    this.words = [...words, (CHECKSUM - sum) & 0xffff];
  }

  word(index: number): number {
    return this.words[index] ?? 0xffff;
  }

  get eecd(): number {
    const bit = (this.word((this.bitsOut >> 4) & (WORDS - 1)) >> ((this.bitsOut & 15) ^ 15)) & 1;
    return EECD.PRES | EECD.GNT | this.old | (!this.reading || bit ? EECD.DO : 0);
  }
  set eecd(value: number) {
    const changed = value ^ this.old;
    this.old = value & (EECD.SK | EECD.CS | EECD.DI | EECD.FWE | EECD.REQ);
    if (!(value & EECD.CS)) return;
    if (changed & EECD.CS) {
      this.input = this.bitsIn = this.bitsOut = 0;
      this.reading = false;
    }
    if (!(changed & EECD.SK)) return;
    if (!(value & EECD.SK)) {
      this.bitsOut++;
      return;
    }
    this.input = (this.input << 1) | (value & EECD.DI ? 1 : 0);
    if (++this.bitsIn !== 9 || this.reading) return;
    this.bitsOut = ((this.input & (WORDS - 1)) << 4) - 1;
    this.reading = ((this.input >> 6) & 7) === READ;
  }
}

/** MDIC: data, register (bit 16), PHY (21), operation (26), then flags. */
const MDIC = { WRITE: 1, READ: 2, READY: 0x10000000, ERROR: 0x40000000 } as const;
const PHY = 1;
/** A gigabit link, negotiated. Registers 0 (control) and 4 and 9 (advertised) can be written. */
const PHY_REGISTERS: Readonly<Record<number, number>> = {
  0: 0x1140,
  1: 0x796d,
  2: 0x0141,
  3: 0x0c20,
  4: 0x0de1,
  5: 0x01e0,
  9: 0x0e00,
  10: 0x3c00,
  16: 0x0360,
  17: 0xac00,
  20: 0x0d60,
};
const PHY_RESET = 0x8200; // reset, restart negotiation: done at once

export class Phy {
  private registers = new Map<number, number>();

  constructor() {
    this.reset();
  }
  reset(): void {
    this.registers = new Map(Object.entries(PHY_REGISTERS).map(([n, v]) => [Number(n), v]));
  }

  /** What MDIC reads after `command` was written to it. */
  transfer(command: number): number {
    const register = (command >>> 16) & 31;
    if (((command >>> 21) & 31) !== PHY) return (command | MDIC.READY | MDIC.ERROR) >>> 0;
    const operation = (command >>> 26) & 3;
    if (operation === MDIC.WRITE && (register === 0 || register === 4 || register === 9 || register >= 16))
      this.registers.set(register, command & 0xffff & (register === 0 ? ~PHY_RESET : 0xffff));
    const data = operation === MDIC.READ ? (this.registers.get(register) ?? 0) : command & 0xffff;
    return (((command & ~0xffff) | data | MDIC.READY) & ~MDIC.ERROR) >>> 0;
  }
}
