// An open device: by VFIO_GROUP_GET_DEVICE_FD, or by its own node, when nothing works before BIND_IOMMUFD.
// Source: drivers/vfio/vfio_main.c, drivers/vfio/device_cdev.c (6.12).

import {
  deviceCalls,
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
} from '../../schema/device.ts';
import type { Caller } from './caller.ts';
import type { Device } from './device.ts';
import { fail } from './failed.ts';
import { featureIoctl } from './feature.ts';
import { type MmapRequest, OpenFile } from './file.ts';
import type { GroupFile } from './group.ts';
import type { Iommufd } from './iommufd.ts';
import { IommufdFile } from './iommufd-file.ts';
import type { Mapping } from './region.ts';
import { requestsOf } from './request.ts';
import { endOf, User } from './user.ts';

const call = requestsOf(deviceCalls);

export class DeviceFile extends OpenFile {
  readonly kind = 'device';
  readonly device: Device;
  /** Null: opened by its own node. */
  private readonly groupFile: GroupFile | null;
  private granted = false;
  private iommufd: Iommufd | null = null;
  private position = 0n;

  constructor(device: Device, groupFile: GroupFile | null) {
    super();
    this.device = device;
    this.groupFile = groupFile;
    if (groupFile) this.openByGroup();
  }

  private openByGroup(): void {
    const { device } = this;
    const { group } = device;
    if (device.openCount > 0) device.openCount++;
    else if (group.container) {
      if (!group.container.iommu) fail('EINVAL'); // vfio_group_use_container: SET_IOMMU has not been done
      device.firstOpen();
    } else if (group.iommufd) {
      this.iommufd = group.iommufd;
      const binding = group.iommufd.bind(device);
      try {
        binding.attach(group.iommufd.compatIoas().id);
      } catch (error) {
        binding.release();
        throw error;
      }
      device.binding = binding;
      device.firstOpen();
    }
    if (group.container) group.users++;
    this.groupFile?.get();
    this.granted = true;
  }

  override ioctl(caller: Caller, request: number, arg: bigint): number {
    const user = new User(caller.memory, arg);
    if (request === call('VFIO_DEVICE_BIND_IOMMUFD')) return this.bind(caller, user);
    if (!this.granted) fail('EINVAL');
    if (!this.groupFile) {
      if (request === call('VFIO_DEVICE_ATTACH_IOMMUFD_PT')) return this.attach(user);
      if (request === call('VFIO_DEVICE_DETACH_IOMMUFD_PT')) return this.detach(user);
    }
    if (request === call('VFIO_DEVICE_FEATURE')) return featureIoctl(this.device, caller, user);
    return this.device.driver.ioctl(caller, request, user);
  }

  override pread(_caller: Caller, length: number, offset: bigint): Buffer {
    if (!this.granted) fail('EINVAL');
    return this.device.driver.read(offset, length);
  }
  override pwrite(_caller: Caller, bytes: Buffer, offset: bigint): number {
    if (!this.granted) fail('EINVAL');
    return this.device.driver.write(offset, bytes);
  }
  override read(caller: Caller, length: number): Buffer {
    const bytes = this.pread(caller, length, this.position);
    this.position += BigInt(bytes.length);
    return bytes;
  }
  override write(caller: Caller, bytes: Buffer): number {
    const done = this.pwrite(caller, bytes, this.position);
    this.position += BigInt(done);
    return done;
  }
  override mmap(_caller: Caller, request: MmapRequest): Mapping {
    if (!this.granted) fail('EINVAL');
    return this.device.driver.mmap(request);
  }

  private bind(caller: Caller, user: User): number {
    const { device } = this;
    const min = endOf(vfio_device_bind_iommufd, 'out_devid');
    const bind = user.copyIn(vfio_device_bind_iommufd, min);
    if (bind.num('argsz') < min || bind.num('flags') || bind.num('iommufd') < 0) fail('EINVAL');
    if (this.groupFile) fail('EINVAL');
    if (device.group.opened) fail('EBUSY'); // vfio_device_block_group
    if (this.granted) fail('EINVAL');
    const file = caller.file(bind.num('iommufd')) ?? fail('EBADF');
    if (!(file instanceof IommufdFile)) return fail('EBADFD');
    if (device.openCount > 0) fail('EINVAL');
    device.binding = file.iommufd.bind(device);
    device.firstOpen();
    device.cdevOpened = true;
    device.group.cdevOpen++;
    this.iommufd = file.iommufd.get();
    bind.set('out_devid', device.binding.id);
    user
      .at(endOf(vfio_device_bind_iommufd, 'iommufd'))
      .write(bind.bytes.subarray(endOf(vfio_device_bind_iommufd, 'iommufd'), min));
    this.granted = true;
    return 0;
  }

  private attach(user: User): number {
    const min = endOf(vfio_device_attach_iommufd_pt, 'pt_id');
    const attach = user.copyIn(vfio_device_attach_iommufd_pt, min);
    if (attach.num('argsz') < min || attach.num('flags')) fail('EINVAL');
    const id = this.device.binding?.attach(attach.num('pt_id')) ?? fail('EINVAL');
    user.copyOut(attach.set('pt_id', id), min);
    return 0;
  }

  private detach(user: User): number {
    const min = endOf(vfio_device_detach_iommufd_pt, 'flags');
    const detach = user.copyIn(vfio_device_detach_iommufd_pt, min);
    if (detach.num('argsz') < min || detach.num('flags')) fail('EINVAL');
    this.device.binding?.detach();
    return 0;
  }

  protected override release(): void {
    const { device, groupFile } = this;
    if (!this.granted) return;
    device.lastClose();
    if (device.openCount === 0) {
      device.binding?.release();
      device.binding = null;
    }
    if (groupFile) {
      if (device.group.container) device.group.users--;
      groupFile.put();
    } else {
      device.cdevOpened = false;
      device.group.cdevOpen--;
      this.iommufd?.put();
    }
  }
}
