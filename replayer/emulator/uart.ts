// One 16550 port as the kernel's sample device has it, with what it sends coming back to it: samples/vfio-mdev/mtty.c
// (6.12), whose registers answer bytes only. Register bits: linux/serial_reg.h.

const MAX_FIFO = 16;
const regs = { DATA: 0, IER: 1, IIR_FCR: 2, LCR: 3, MCR: 4, LSR: 5, MSR: 6, SCR: 7 } as const;
const IER = { RDI: 1, THRI: 2, RLSI: 4, MSI: 8 } as const;
const FCR = { ENABLE: 1, CLEAR: 6 } as const;
const MCR = { DTR: 1, RTS: 2, OUT2: 8, AFE: 0x20 } as const;
const LSR = { DR: 1, OE: 2, THRE: 0x20, TEMT: 0x40 } as const;
const MSR = { DCTS: 1, DDSR: 2, CTS: 0x10, DSR: 0x20, DCD: 0x80 } as const;
const IIR = { MSI: 0, NO_INT: 1, THRI: 2, RDI: 4, RLSI: 6 } as const;
const DLAB = 0x80;
/** IIR bits 6 and 7: it has FIFOs. */
const FIFOS = 0xc0;

/** sizeof(struct serial_port). */
export const PORT_SIZE = 36;
const at = {
  fifo: 8,
  head: 24,
  tail: 25,
  count: 26,
  dlab: 27,
  overrun: 28,
  divisor: 30,
  fcr: 32,
  maxFifo: 33,
  trigger: 34,
} as const;

export class Uart {
  /** struct serial_port, as it is in the migration data. */
  readonly state = Buffer.alloc(PORT_SIZE);
  private readonly interrupt: () => void;

  constructor(interrupt: () => void) {
    this.interrupt = interrupt;
    this.state[at.maxFifo] = MAX_FIFO;
  }

  private get(offset: number): number {
    return this.state[offset] as number;
  }
  private get empty(): boolean {
    return this.get(at.head) === this.get(at.tail);
  }
  private enabled(bit: number): boolean {
    return (this.get(regs.IER) & bit) !== 0;
  }
  private step(index: number): void {
    this.state[index] = (this.get(index) + 1) & (MAX_FIFO - 1);
  }

  write(offset: number, data: number): void {
    const { state } = this;
    switch (offset) {
      case regs.DATA:
        if (this.get(at.dlab)) state.writeUInt16LE(state.readUInt16LE(at.divisor) | data, at.divisor);
        else this.send(data);
        break;
      case regs.IER:
        if (this.get(at.dlab)) state.writeUInt16LE(state.readUInt16LE(at.divisor) | (data << 8), at.divisor);
        else {
          state[regs.IER] = data;
          if (data & IER.THRI && this.empty) this.interrupt();
        }
        break;
      case regs.IIR_FCR:
        state[at.fcr] = data;
        if (data & FCR.CLEAR) state[at.count] = state[at.head] = state[at.tail] = 0;
        state[at.trigger] = 1;
        state[at.maxFifo] = data & FCR.ENABLE ? MAX_FIFO : 1;
        break;
      case regs.LCR:
        state[at.dlab] = data & DLAB ? 1 : 0;
        if (data & DLAB) state.writeUInt16LE(0, at.divisor);
        state[regs.LCR] = data;
        break;
      case regs.MCR:
        state[regs.MCR] = data;
        if (this.enabled(IER.MSI) && data & MCR.OUT2) this.interrupt();
        if (this.enabled(IER.MSI) && data & (MCR.RTS | MCR.DTR)) this.interrupt();
        break;
      case regs.SCR:
        state[regs.SCR] = data;
        break;
    }
  }

  private send(data: number): void {
    const { state } = this;
    if (this.get(at.count) < this.get(at.maxFifo)) {
      state[at.fifo + this.get(at.head)] = data;
      state[at.count] = this.get(at.count) + 1;
      this.step(at.head);
      state[at.overrun] = 0;
      if (this.enabled(IER.RDI) && this.get(at.count) === this.get(at.trigger)) this.interrupt();
    } else {
      state[at.overrun] = 1;
      if (this.enabled(IER.RLSI)) this.interrupt();
    }
  }

  read(offset: number): number {
    switch (offset) {
      case regs.DATA:
        return this.get(at.dlab) ? this.get(at.divisor) : this.receive();
      case regs.IER:
        return this.get(at.dlab) ? this.get(at.divisor + 1) : this.get(regs.IER) & 0x0f;
      case regs.IIR_FCR:
        return this.pending();
      case regs.LCR:
      case regs.MCR:
      case regs.SCR:
        return this.get(offset);
      case regs.LSR:
        return (this.empty ? LSR.TEMT | LSR.THRE : LSR.DR) | (this.get(at.overrun) ? LSR.OE : 0);
      case regs.MSR: {
        const room = this.get(at.count) < this.get(at.maxFifo);
        const clear = !(this.get(regs.MCR) & MCR.AFE) || room;
        return MSR.DSR | MSR.DDSR | MSR.DCD | (clear ? MSR.CTS | MSR.DCTS : 0);
      }
      default:
        return 0;
    }
  }

  private receive(): number {
    let data = 0;
    if (!this.empty) {
      data = this.get(at.fifo + this.get(at.tail));
      this.state[at.count] = (this.get(at.count) - 1) & 0xff;
      this.step(at.tail);
    }
    if (this.empty && this.enabled(IER.THRI)) this.interrupt();
    return data;
  }

  private pending(): number {
    let id: number = 0;
    if (this.enabled(IER.RLSI) && this.get(at.overrun)) id |= IIR.RLSI;
    if (this.enabled(IER.RDI) && this.get(at.count) >= this.get(at.trigger)) id |= IIR.RDI;
    if (this.enabled(IER.THRI) && this.empty) id |= IIR.THRI;
    if (this.enabled(IER.MSI) && this.get(regs.MCR) & (MCR.RTS | MCR.DTR)) id |= IIR.MSI;
    return (id === 0 ? IIR.NO_INT : id) | FIFOS;
  }
}
