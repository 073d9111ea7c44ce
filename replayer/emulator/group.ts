// /dev/vfio/N: an IOMMU group. Source: drivers/vfio/group.c (6.12).

import { groupCalls, groupFlags, vfio_group_status } from '../../schema/group.ts';
import type { Caller } from './caller.ts';
import { type Container, ContainerFile } from './container.ts';
import type { Device } from './device.ts';
import { DeviceFile } from './device-file.ts';
import { fail } from './failed.ts';
import { OpenFile } from './file.ts';
import type { Iommufd } from './iommufd.ts';
import { IommufdFile } from './iommufd-file.ts';
import { requestsOf } from './request.ts';
import { User } from './user.ts';

const call = requestsOf(groupCalls);
/** Longest name that GET_DEVICE_FD takes, with its NUL (strndup_user). */
const NAME_MAX = 4096;

export class Group {
  readonly id: number;
  readonly devices: Device[] = [];
  /** False: mdev (VFIO_EMULATED_IOMMU). */
  readonly physical: boolean;
  /** False: another device of the group belongs to a driver that is not VFIO's. */
  readonly viable: boolean;
  opened: GroupFile | null = null;
  container: Container | null = null;
  iommufd: Iommufd | null = null;
  /** Open devices of it, and one for having a container. */
  users = 0;
  /** Devices of the group that are bound through their own node. */
  cdevOpen = 0;

  constructor(id: number, physical: boolean, viable: boolean) {
    this.id = id;
    this.physical = physical;
    this.viable = viable;
  }

  get hasIommu(): boolean {
    return this.container !== null || this.iommufd !== null;
  }

  detachContainer(): void {
    this.container?.detach(this);
    this.container = null;
    this.users = 0;
  }
}

export class GroupFile extends OpenFile {
  readonly kind = 'group';
  readonly group: Group;

  constructor(group: Group) {
    super();
    if (group.cdevOpen > 0 || group.opened) fail('EBUSY');
    group.opened = this;
    this.group = group;
  }

  override ioctl(caller: Caller, request: number, arg: bigint): number {
    const user = new User(caller.memory, arg);
    switch (request) {
      case call('VFIO_GROUP_GET_DEVICE_FD'):
        return this.getDevice(caller, user);
      case call('VFIO_GROUP_GET_STATUS'):
        return this.getStatus(user);
      case call('VFIO_GROUP_SET_CONTAINER'):
        return this.setContainer(caller, user.read(4).readInt32LE());
      case call('VFIO_GROUP_UNSET_CONTAINER'):
        return this.unsetContainer();
      default:
        return fail('ENOTTY');
    }
  }

  private getStatus(user: User): number {
    const status = user.copyIn(vfio_group_status);
    if (status.num('argsz') < vfio_group_status.size) fail('EINVAL');
    let flags = 0;
    if (this.group.hasIommu) flags = groupFlags.CONTAINER_SET | groupFlags.VIABLE;
    else if (this.group.viable) flags = groupFlags.VIABLE;
    user.copyOut(status.set('flags', flags));
    return 0;
  }

  private setContainer(caller: Caller, fd: number): number {
    const { group } = this;
    const file = caller.file(fd) ?? fail('EBADF');
    if (group.hasIommu) fail('EINVAL');
    if (file instanceof ContainerFile) {
      if (group.physical && !group.viable) fail('EPERM'); // iommu_group_claim_dma_owner
      file.container.attach(group);
      group.container = file.container;
      group.users = 1;
    } else if (file instanceof IommufdFile) {
      file.iommufd.createCompatIoas();
      group.iommufd = file.iommufd;
      file.iommufd.get();
    } else fail('EBADFD');
    return 0;
  }

  private unsetContainer(): number {
    const { group } = this;
    if (!group.hasIommu) fail('EINVAL');
    if (group.container) {
      if (group.users !== 1) fail('EBUSY');
      group.detachContainer();
    }
    group.iommufd?.put();
    group.iommufd = null;
    return 0;
  }

  private getDevice(caller: Caller, user: User): number {
    const { group } = this;
    const name = user.string(NAME_MAX);
    const device = group.devices.find((d) => d.answersTo(name)) ?? fail('ENODEV');
    if (!group.hasIommu) fail('EINVAL');
    const file = new DeviceFile(device, this);
    const fd = caller.install(file);
    if (fd < 0) file.put();
    return fd;
  }

  protected override release(): void {
    const { group } = this;
    if (group.container) group.detachContainer();
    group.iommufd?.put();
    group.iommufd = null;
    group.opened = null;
  }
}
