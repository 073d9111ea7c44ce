// A VFIO device: its place in a group, who has it open, its way to memory. Source: drivers/vfio/vfio_main.c (6.12).

import type { Eventfd } from './caller.ts';
import { type AddressSpace, type DmaLog, dmaRead, dmaWrite } from './dma.ts';
import type { Driver } from './driver.ts';
import type { Group } from './group.ts';
import type { Host } from './host.ts';
import type { Binding } from './iommufd.ts';

export class Device {
  /** "0000:00:04.0", or an mdev's UUID. */
  readonly name: string;
  readonly group: Group;
  readonly host: Host;
  /** Number of /dev/vfio/devices/vfioN. */
  readonly cdev: number;
  driver!: Driver;
  openCount = 0;
  cdevOpened = false;
  /** Set while it is bound to an iommufd. */
  binding: Binding | null = null;
  log: DmaLog | null = null;

  constructor(name: string, group: Group, host: Host, cdev: number) {
    this.name = name;
    this.group = group;
    this.host = host;
    this.cdev = cdev;
    group.devices.push(this);
  }

  /** A name given to GET_DEVICE_FD: the device's, for PCI perhaps with " vf_token=…" behind it. */
  answersTo(name: string): boolean {
    return name === this.name || name.startsWith(`${this.name} `);
  }

  /** Where its DMA goes; null: nowhere. */
  get space(): AddressSpace | null {
    return this.binding ? this.binding.space : (this.group.container?.iommu ?? null);
  }

  /** DMA of the device. Null and false: the transaction failed (not mapped, read only, or lost by a fault). */
  dmaRead(iova: bigint, length: number): Buffer | null {
    if (this.host.faults.take('DMA', ['read'], this.name)) return null;
    return dmaRead(this.space, iova, length);
  }
  dmaWrite(iova: bigint, bytes: Buffer): boolean {
    if (this.host.faults.take('DMA', ['write'], this.name)) return false;
    if (!dmaWrite(this.space, iova, bytes)) return false;
    this.log?.dirtied(iova, BigInt(bytes.length));
    return true;
  }

  /** Signals an interrupt's eventfd, unless a fault loses or delays it. `irq`: INTX, MSI, MSIX, ERR, REQ. */
  signal(irq: string, eventfd: Eventfd): void {
    const fault = this.host.faults.take('IRQ', [irq], this.name);
    if (fault?.kind === 'late' || fault?.kind === 'delay') this.host.clock.after(fault.ns, () => eventfd.signal());
    else if (fault) this.host.note(this.name, `interrupt ${irq} lost by a fault`);
    else eventfd.signal();
  }

  firstOpen(): void {
    this.openCount++;
    if (this.openCount === 1) this.driver.open();
  }
  lastClose(): void {
    this.openCount--;
    if (this.openCount > 0) return;
    this.driver.close();
    this.log = null;
    if (this.driver.migration) this.driver.migration.precopyInfoV2 = false;
  }
}
