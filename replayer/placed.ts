// Bytes of PCI configuration space that say where the host has put the device: BARs and the interrupt line. They are
// the recording host's until the program writes them; then they are the program's, and compared.

import { deviceFlags, pciConfig, pciRegions, vfio_device_info } from '../schema/device.ts';
import { fieldOf } from '../schema/layout.ts';
import type { TraceEvent } from '../traces/event.ts';

/** Offsets in what a call read. */
export type Placed = ReadonlySet<number>;

const FLAGS = fieldOf(vfio_device_info, 'flags').at;
const spans = [
  [pciConfig.BARS, pciConfig.BARS_END],
  [pciConfig.ROM, pciConfig.ROM_END],
  [pciConfig.INTERRUPT_LINE, pciConfig.INTERRUPT_LINE + 1],
] as const;

export class ConfigSpaces {
  readonly #pci = new Set<number>();
  /** By device, the bytes that the program has written. */
  readonly #written = new Map<number, Set<number>>();

  /** Takes the next call; gives the bytes of its answer that are the host's, null when there are none. */
  feed(e: TraceEvent): Placed | null {
    if (e.kind !== 'device') return null;
    if (e.op === 'ioctl') this.#info(e);
    if (e.region !== pciRegions.CONFIG || !this.#pci.has(e.handle) || e.a === null || e.length === null) return null;
    const from = Number(e.a);
    if (e.op === 'pwrite') this.#write(e.handle, from, e.length);
    return e.op === 'pread' && (e.ret ?? 0) > 0 ? this.#read(e.handle, from, e.length) : null;
  }

  #info(e: TraceEvent): void {
    if (e.call?.arg.kind !== 'struct' || e.call.arg.layout !== vfio_device_info || e.ret !== 0) return;
    const output = e.output;
    if (output && output.length >= FLAGS + 4 && output.readUInt32LE(FLAGS) & deviceFlags.PCI) this.#pci.add(e.handle);
  }

  #write(device: number, from: number, length: number): void {
    let written = this.#written.get(device);
    if (!written) {
      written = new Set();
      this.#written.set(device, written);
    }
    for (const [start, end] of spans)
      for (let at = Math.max(start, from); at < Math.min(end, from + length); at++) written.add(at);
  }

  #read(device: number, from: number, length: number): Placed | null {
    const written = this.#written.get(device);
    const placed = new Set<number>();
    for (const [start, end] of spans)
      for (let at = Math.max(start, from); at < Math.min(end, from + length); at++)
        if (!written?.has(at)) placed.add(at - from);
    return placed.size > 0 ? placed : null;
  }
}
