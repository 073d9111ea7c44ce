// The migration data of the sample serial card (struct mtty_data): a header while it runs, the ports once it is stopped.
// Source: samples/vfio-mdev/mtty.c (6.12).

import type { MigState } from '../../schema/features.ts';
import { fail } from './failed.ts';
import type { Arcs, Fsm } from './fsm.ts';
import { DataFile, type Sink, type Source } from './stream.ts';
import { PORT_SIZE, type Uart } from './uart.ts';

/** magic u64, major u32, minor u32, ports u32, flags u32. */
const HEADER = 24;
const MAGIC = 0x7e9d09898c3e2c4en;
const MAJOR = 1;
const MINOR = 0;

export class SerialState implements Arcs, Source, Sink {
  private readonly ports: readonly Uart[];
  private readonly fsm: () => Fsm;
  private data = Buffer.alloc(0);
  private filled = 0;
  private position = 0;

  constructor(ports: readonly Uart[], fsm: () => Fsm) {
    this.ports = ports;
    this.fsm = fsm;
  }

  dataSize(): bigint {
    return BigInt(HEADER + this.ports.length * PORT_SIZE);
  }
  get infoV2(): boolean {
    return false; // 6.12's driver echoes the caller's flags
  }

  open(to: MigState): DataFile {
    this.data = Buffer.alloc(Number(this.dataSize()));
    this.filled = this.position = 0;
    if (to === 'RESUMING') return new SerialResume(this);
    this.header().copy(this.data);
    this.filled = HEADER;
    if (to === 'STOP_COPY') this.fill();
    return new DataFile({ kind: 'save', source: this });
  }
  keep(to: MigState): void {
    if (to === 'STOP_COPY') this.fill();
  }
  close(from: MigState): void {
    if (from !== 'RESUMING') return;
    if (this.filled < Number(this.dataSize())) fail('EINVAL');
    this.ports.forEach((port, i) => {
      this.data.copy(port.state, 0, HEADER + i * PORT_SIZE, HEADER + (i + 1) * PORT_SIZE);
    });
  }
  moved(): void {}

  private header(): Buffer {
    const header = Buffer.alloc(HEADER);
    header.writeBigUInt64LE(MAGIC);
    header.writeUInt32LE(MAJOR, 8);
    header.writeUInt32LE(MINOR, 12);
    header.writeUInt32LE(this.ports.length, 16);
    return header;
  }
  private fill(): void {
    for (const port of this.ports) {
      port.state.copy(this.data, this.filled);
      this.filled += PORT_SIZE;
    }
  }

  /** A temporary end reads as 0, like the last one. */
  read(length: number): Buffer {
    const bytes = Buffer.from(this.data.subarray(this.position, Math.min(this.filled, this.position + length)));
    this.position += bytes.length;
    return bytes;
  }

  precopyInfo(): { initial: bigint; dirty: bigint; reinit: boolean } | null {
    const state = this.fsm().getState();
    if (state !== 'PRE_COPY' && state !== 'PRE_COPY_P2P') return null;
    return { initial: BigInt(this.filled - this.position), dirty: 0n, reinit: false };
  }

  fits(length: number): boolean {
    return this.position + length <= Number(this.dataSize());
  }
  /** A wrong header fails the write, and yet the bytes count as written. */
  write(bytes: Buffer): number {
    bytes.copy(this.data, this.position);
    this.position += bytes.length;
    const before = this.filled;
    this.filled += bytes.length;
    const whole = before < HEADER && this.filled >= HEADER;
    if (whole && !this.data.subarray(0, HEADER).equals(this.header())) fail('EFAULT');
    return bytes.length;
  }
}

/** Checks the length before whether the session is over, as the driver does. */
class SerialResume extends DataFile {
  private readonly state: SerialState;
  constructor(state: SerialState) {
    super({ kind: 'resume', sink: state });
    this.state = state;
  }
  override write(...[caller, bytes]: Parameters<DataFile['write']>): number {
    const over = this.disabled; // its position is back at 0 then
    if (!(over ? BigInt(bytes.length) <= this.state.dataSize() : this.state.fits(bytes.length))) fail('ENOMEM');
    if (over) fail('ENODEV');
    return super.write(caller, bytes);
  }
}
