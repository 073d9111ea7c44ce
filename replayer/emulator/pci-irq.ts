// Interrupts of a vfio-pci device. Source: drivers/vfio/pci/vfio_pci_intrs.c (6.12).

import { irqSetFlags, pciIrqs } from '../../schema/device.ts';
import type { Caller, Eventfd } from './caller.ts';
import type { Device } from './device.ts';
import { fail } from './failed.ts';

/** vfio_set_irqs_validate_and_prepare, and the data read: what a SET_IRQS asks for. */
export interface IrqSet {
  readonly action: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly data: { readonly kind: 'none' } | { readonly kind: 'bool' | 'eventfd'; readonly values: readonly number[] };
}

/** The eventfd behind `fd`: EBADF, or EINVAL where it is something else (eventfd_ctx_fdget). */
export function eventfdOf(caller: Caller, fd: number): Eventfd {
  const file = caller.file(fd) ?? fail('EBADF');
  return typeof file === 'object' && file.kind === 'eventfd' && 'signal' in file ? file : fail('EINVAL');
}

export interface Line {
  /** Level of the INTx line. */
  readonly asserted: boolean;
  /** MSI or MSI-X was turned on or off by SET_IRQS. */
  messages(index: number | null): void;
}

export class PciIrqs {
  private readonly device: Device;
  private readonly line: Line;
  /** Index that is on, null: none. */
  on: number | null = null;
  private readonly triggers = new Map<number, Eventfd>();
  private readonly single = new Map<number, Eventfd>();
  private masked = false;
  private unwatch: (() => void) | null = null;

  constructor(device: Device, line: Line) {
    this.device = device;
    this.line = line;
  }

  set(caller: Caller, set: IrqSet, express: boolean): void {
    const { index, action } = set;
    if (index === pciIrqs.INTX) {
      if (action === irqSetFlags.ACTION_MASK) this.mask(set);
      else if (action === irqSetFlags.ACTION_UNMASK) this.unmask(caller, set);
      else if (action === irqSetFlags.ACTION_TRIGGER) this.intx(caller, set);
      else fail('ENOTTY');
    } else if (action !== irqSetFlags.ACTION_TRIGGER) fail('ENOTTY');
    else if (index === pciIrqs.MSI || index === pciIrqs.MSIX) this.messages(caller, set);
    else if (index === pciIrqs.ERR && !express) fail('ENOTTY');
    else this.one(caller, set);
  }

  /** The device asserts its interrupt line, or sends message `vector`. */
  raise(vector: number): void {
    if (this.on === pciIrqs.INTX) {
      if (this.masked) return;
      this.masked = true;
      this.fireIntx();
    } else if (this.on !== null) this.fire(this.on === pciIrqs.MSI ? 'MSI' : 'MSIX', this.triggers.get(vector));
  }

  /** Index and vector whose trigger this is: "1:0"; undefined: none. */
  placeOf(eventfd: Eventfd): string | undefined {
    for (const [vector, trigger] of this.triggers) if (trigger === eventfd) return `${this.on}:${vector}`;
    for (const [index, trigger] of this.single) if (trigger === eventfd) return `${index}:0`;
    return undefined;
  }

  /** Last close. */
  off(): void {
    this.disable();
    this.single.clear();
  }

  private fire(name: string, eventfd: Eventfd | undefined): void {
    if (eventfd) this.device.signal(name, eventfd);
  }
  private fireIntx(): void {
    this.fire('INTX', this.triggers.get(0));
  }
  private disable(): void {
    this.unwatch?.();
    this.unwatch = null;
    this.triggers.clear();
    this.masked = false;
    if (this.on !== null && this.on !== pciIrqs.INTX) this.line.messages(null);
    this.on = null;
  }

  private checkIntx(set: IrqSet): void {
    if (this.on !== pciIrqs.INTX || set.start !== 0 || set.count !== 1) fail('EINVAL');
  }
  private mask(set: IrqSet): void {
    this.checkIntx(set);
    if (set.data.kind === 'eventfd') fail('ENOTTY');
    if (set.data.kind === 'none' || set.data.values[0]) this.masked = true;
  }
  private unmask(caller: Caller, set: IrqSet): void {
    this.checkIntx(set);
    if (set.data.kind === 'eventfd') {
      const fd = set.data.values[0] as number;
      if (fd >= 0 && this.unwatch) fail('EBUSY'); // vfio_virqfd_enable
      const eventfd = fd >= 0 ? eventfdOf(caller, fd) : null;
      this.unwatch?.();
      this.unwatch = eventfd?.watch?.(() => this.unmaskNow()) ?? null;
    } else if (set.data.kind === 'none' || set.data.values[0]) this.unmaskNow();
  }
  /** A line that is still asserted interrupts again at once. */
  private unmaskNow(): void {
    if (!this.masked) return;
    this.masked = this.line.asserted;
    if (this.masked) this.fireIntx();
  }

  private intx(caller: Caller, set: IrqSet): void {
    const isOn = this.on === pciIrqs.INTX;
    if (isOn && set.count === 0 && set.data.kind === 'none') {
      this.disable();
      return;
    }
    if (!(isOn || this.on === null) || set.start !== 0 || set.count !== 1) fail('EINVAL');
    if (set.data.kind === 'eventfd') {
      const fd = set.data.values[0] as number;
      const eventfd = fd >= 0 ? eventfdOf(caller, fd) : null;
      this.on = pciIrqs.INTX;
      this.triggers.clear();
      if (eventfd) this.triggers.set(0, eventfd);
      if (!isOn && this.line.asserted) this.raise(0);
      return;
    }
    if (!isOn) fail('EINVAL');
    if (set.data.kind === 'none' || set.data.values[0]) this.fireIntx();
  }

  private messages(caller: Caller, set: IrqSet): void {
    const isOn = this.on === set.index;
    if (isOn && set.count === 0 && set.data.kind === 'none') {
      this.disable();
      return;
    }
    if (!isOn && this.on !== null) fail('EINVAL');
    if (set.data.kind === 'eventfd') {
      const was = this.on;
      this.on = set.index;
      try {
        this.connect(caller, set, set.data.values);
      } catch (error) {
        if (was === null) this.disable();
        throw error;
      }
      if (was === null) this.line.messages(set.index);
      return;
    }
    if (!isOn) fail('EINVAL');
    const name = set.index === pciIrqs.MSI ? 'MSI' : 'MSIX';
    for (let i = 0; i < set.count; i++)
      if (set.data.kind === 'none' || set.data.values[i]) this.fire(name, this.triggers.get(set.start + i));
  }
  /** vfio_msi_set_block: all or none of the block. */
  private connect(caller: Caller, set: IrqSet, fds: readonly number[]): void {
    try {
      fds.forEach((fd, i) => {
        this.triggers.delete(set.start + i);
        if (fd >= 0) this.triggers.set(set.start + i, eventfdOf(caller, fd));
      });
    } catch (error) {
      fds.forEach((_, i) => {
        this.triggers.delete(set.start + i);
      });
      throw error;
    }
  }

  /** ERR and REQ (vfio_pci_set_ctx_trigger_single). */
  private one(caller: Caller, set: IrqSet): void {
    if (set.start !== 0 || set.count > 1) fail('EINVAL');
    const name = set.index === pciIrqs.ERR ? 'ERR' : 'REQ';
    const eventfd = this.single.get(set.index);
    if (set.data.kind === 'none') {
      if (!eventfd) fail('EINVAL');
      if (set.count) this.fire(name, eventfd);
      else this.single.delete(set.index);
      return;
    }
    if (!set.count) fail('EINVAL');
    const value = set.data.values[0] as number;
    if (set.data.kind === 'bool') {
      if (value) this.fire(name, eventfd);
    } else if (value === -1) this.single.delete(set.index);
    else if (value >= 0) this.single.set(set.index, eventfdOf(caller, value));
    else fail('EINVAL');
  }
}
