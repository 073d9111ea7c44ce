// The objects of one open /dev/iommu. Source: drivers/iommu/iommufd/{main,ioas,device,hw_pagetable,vfio_compat}.c (6.12).

import type { Device } from './device.ts';
import type { AddressSpace } from './dma.ts';
import { fail } from './failed.ts';
import type { Host } from './host.ts';
import { Ioas } from './ioas.ts';

/** A hardware page table made for an IOAS. */
export interface Hwpt {
  readonly kind: 'hwpt';
  readonly id: number;
  readonly ioas: Ioas;
  /** Made by an attach, and destroyed with the last device. */
  readonly auto: boolean;
  readonly devices: Set<Binding>;
  readonly dirtyTracking: boolean;
  /** Others that hold it, besides devices. */
  users: number;
  tracking: boolean;
}
export interface DeviceObject {
  readonly kind: 'device';
  readonly id: number;
  readonly binding: Binding;
  /** False: an mdev (an access object, which the user cannot name as a device). */
  readonly physical: boolean;
}
export interface FaultQueue {
  readonly kind: 'fault';
  readonly id: number;
  users: number;
}
export type IommufdObject = Ioas | Hwpt | DeviceObject | FaultQueue;

/** A device bound to this iommufd. */
export class Binding {
  readonly id: number;
  readonly device: Device;
  private readonly iommufd: Iommufd;
  private hwpt: Hwpt | null = null;
  private ioas: Ioas | null = null;

  constructor(iommufd: Iommufd, device: Device) {
    this.iommufd = iommufd;
    this.device = device;
    this.id = iommufd.newId();
    iommufd.objects.set(this.id, { kind: 'device', id: this.id, binding: this, physical: device.driver.physical });
  }

  get space(): AddressSpace | null {
    return this.hwpt?.ioas ?? this.ioas;
  }

  /** Attaches to an IOAS or a hardware page table, instead of what it was attached to; the id of the table used. */
  attach(id: number): number {
    const object = this.iommufd.objects.get(id) ?? fail('ENOENT');
    if (!this.device.driver.physical) {
      if (object.kind !== 'ioas') return fail('ENOENT');
      this.detach();
      this.ioas = object;
      object.users++;
      return id;
    }
    if (object.kind === 'ioas') return this.attachIoas(object);
    if (object.kind !== 'hwpt') return fail('EINVAL');
    this.replace(object);
    return object.id;
  }

  private attachIoas(ioas: Ioas): number {
    const found = ioas.hwpts.find((h) => h.auto) ?? this.iommufd.makeHwpt(ioas, true, false);
    this.replace(found);
    return found.id;
  }
  private replace(hwpt: Hwpt): void {
    if (this.hwpt === hwpt) return;
    this.detach();
    hwpt.devices.add(this);
    this.hwpt = hwpt;
  }

  detach(): void {
    if (this.ioas) this.ioas.users--;
    this.ioas = null;
    const { hwpt } = this;
    this.hwpt = null;
    if (!hwpt) return;
    hwpt.devices.delete(this);
    if (hwpt.auto && hwpt.devices.size === 0) this.iommufd.dropHwpt(hwpt);
  }

  release(): void {
    this.detach();
    this.iommufd.objects.delete(this.id);
  }
}

export class Iommufd {
  readonly host: Host;
  readonly objects = new Map<number, IommufdObject>();
  /** IOMMU_OPTION_RLIMIT_MODE: locked memory is counted per process, as type1 does, not per user. */
  accountByProcess = false;
  /** What the container's requests act on. */
  private compat: Ioas | null = null;
  private refs = 1;

  constructor(host: Host) {
    this.host = host;
  }
  get(): this {
    this.refs++;
    return this;
  }
  put(): void {
    this.refs--;
    if (this.refs === 0) for (const object of this.objects.values()) if (object.kind === 'ioas') object.release();
  }

  /** The lowest id that is free; they begin at 1 (XA_FLAGS_ALLOC1). */
  newId(): number {
    let id = 1;
    while (this.objects.has(id)) id++;
    return id;
  }

  makeIoas(): Ioas {
    const ioas = new Ioas(this.newId(), this);
    this.objects.set(ioas.id, ioas);
    return ioas;
  }
  ioas(id: number): Ioas {
    const object = this.objects.get(id);
    return object?.kind === 'ioas' ? object : fail('ENOENT');
  }

  makeHwpt(ioas: Ioas, auto: boolean, dirtyTracking: boolean): Hwpt {
    ioas.fill();
    const hwpt: Hwpt = {
      kind: 'hwpt',
      id: this.newId(),
      ioas,
      auto,
      devices: new Set(),
      dirtyTracking,
      users: 0,
      tracking: false,
    };
    ioas.hwpts.push(hwpt);
    this.objects.set(hwpt.id, hwpt);
    return hwpt;
  }
  dropHwpt(hwpt: Hwpt): void {
    hwpt.ioas.hwpts.splice(hwpt.ioas.hwpts.indexOf(hwpt), 1);
    hwpt.ioas.unfillIfUnused();
    this.objects.delete(hwpt.id);
  }

  destroy(id: number): void {
    const object = this.objects.get(id) ?? fail('ENOENT');
    switch (object.kind) {
      case 'ioas':
        if (object.users > 0 || object.hwpts.length > 0) fail('EBUSY');
        object.release();
        if (this.compat === object) this.compat = null;
        this.objects.delete(id);
        break;
      case 'hwpt':
        if (object.devices.size > 0 || object.users > 0) fail('EBUSY');
        this.dropHwpt(object);
        break;
      case 'fault':
        if (object.users > 0) fail('EBUSY');
        this.objects.delete(id);
        break;
      case 'device':
        fail('EBUSY'); // VFIO holds it
        break;
      default:
        throw new Error(object satisfies never);
    }
  }

  bind(device: Device): Binding {
    if (device.driver.physical && !device.group.viable) fail('EPERM');
    return new Binding(this, device);
  }

  createCompatIoas(): void {
    this.compat ??= this.makeIoas();
  }
  setCompat(ioas: Ioas | null): void {
    this.compat = ioas;
  }
  compatIoas(): Ioas {
    return this.compat ?? fail('ENODEV');
  }
}
