// What answers behind a device's BARs, and what such a model can ask of the machine around it.

import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

export interface Bus {
  readonly clock: Clock;
  readonly random: Random;
  /** DMA; null and false where it fails: bus mastering is off, nothing is mapped there, the device is kept from it. */
  dmaRead(iova: bigint, length: number): Buffer | null;
  dmaWrite(iova: bigint, bytes: Buffer): boolean;
  /** Sets the level of the interrupt line; with MSI or MSI-X on, a rise sends message 0 instead. */
  interrupt(asserted: boolean): void;
  /** Message signalled interrupts are on. */
  readonly messages: boolean;
}

export interface Model {
  /** One bus access of 1, 2, 4 or 8 bytes to a BAR backed by registers. */
  read(bar: number, offset: number, size: number): bigint;
  write(bar: number, offset: number, size: number, value: bigint): void;
  /** What is asserted on the interrupt line. */
  readonly asserted: boolean;
  reset(): void;
  /** Completes now what is under way: the device is about to be stopped. */
  settle(): void;
  /** Its registers as bytes for a migration, and back; load fails with EINVAL on what is no such state. */
  save(): Buffer;
  load(bytes: Buffer): void;
}
