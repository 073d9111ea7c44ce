// iommufd and devices opened by their own node: the errors of drivers/iommu/iommufd and drivers/vfio/device_cdev.c.

import { suite } from 'uvu';
import { equal, is, ok } from 'uvu/assert';
import { Emulator } from '../../replayer/emulator/emulator.ts';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import { vfio_iommu_type1_dma_map } from '../../schema/container.ts';
import {
  vfio_device_attach_iommufd_pt,
  vfio_device_bind_iommufd,
  vfio_device_detach_iommufd_pt,
  vfio_device_info,
} from '../../schema/device.ts';
import { iommufdStructs as s } from '../../schema/iommufd.ts';
import type { Struct } from '../../schema/layout.ts';
import { Client, fill, get, type Values } from './client.ts';

const FIXED = 1;
const WRITEABLE = 2;
const READABLE = 4;
const U64_MAX = (1n << 64n) - 1n;

/** A device bound and attached, with what is needed to talk to it. */
function setUp(profile = 'edu') {
  const client = new Client(new Emulator([{ profile: profileOf(profile) }]));
  const iommufd = client.open('/dev/iommu');
  const device = client.open('/dev/vfio/devices/vfio0');
  const call = (name: string, layout: Struct, values: Values) => {
    const arg = fill(layout, values);
    return { ret: client.ioctl(iommufd, name, arg), out: (field: string) => get(layout, arg, field) };
  };
  const onDevice = (name: string, layout: Struct, values: Values) => {
    const arg = fill(layout, values);
    return { ret: client.ioctl(device, name, arg), out: (field: string) => get(layout, arg, field) };
  };
  const bind = () => onDevice('VFIO_DEVICE_BIND_IOMMUFD', vfio_device_bind_iommufd, { iommufd });
  const ioas = () => Number(call('IOMMU_IOAS_ALLOC', s.iommu_ioas_alloc, {}).out('out_ioas_id'));
  const attach = (pt_id: number) =>
    onDevice('VFIO_DEVICE_ATTACH_IOMMUFD_PT', vfio_device_attach_iommufd_pt, { pt_id, argsz: 12 });
  return { client, iommufd, device, call, onDevice, bind, ioas, attach };
}

const test = suite('iommufd');

test('nothing works on a device’s own node before BIND, and BIND works once', () => {
  const it = setUp();
  is(it.client.ioctl(it.device, 'VFIO_DEVICE_GET_INFO', fill(vfio_device_info, {})), 'EINVAL');
  is(it.client.pread(it.device, 4, 0n), 'EINVAL');
  is(it.bind().ret, 0);
  is(it.client.ioctl(it.device, 'VFIO_DEVICE_GET_INFO', fill(vfio_device_info, {})), 0);
  is(it.bind().ret, 'EINVAL');
  is(it.client.emulator.open('/dev/vfio/1'), -16, 'its group cannot be opened');
  const other = setUp();
  const wrong = other.client.eventfd().fd;
  is(other.onDevice('VFIO_DEVICE_BIND_IOMMUFD', vfio_device_bind_iommufd, { iommufd: wrong }).ret, 'EBADFD');
  is(other.onDevice('VFIO_DEVICE_BIND_IOMMUFD', vfio_device_bind_iommufd, { iommufd: 99 }).ret, 'EBADF');
});

test('an attached IOAS has the IOMMU’s ranges; too little room is EMSGSIZE with the number', () => {
  const it = setUp();
  const id = it.ioas();
  const to = it.client.allocate(64);
  const ranges = (num_iovas: number) =>
    it.call('IOMMU_IOAS_IOVA_RANGES', s.iommu_ioas_iova_ranges, { ioas_id: id, num_iovas, allowed_iovas: to });
  is(ranges(1).out('num_iovas'), 1n);
  it.bind();
  is(it.attach(id).ret, 0);
  const short = ranges(1);
  is(short.ret, 'EMSGSIZE');
  is(short.out('num_iovas'), 2n);
  const whole = ranges(2);
  is(whole.ret, 0);
  is(whole.out('out_iova_alignment'), 4096n);
  is(it.client.memory.read(to + 8n, 8)?.readBigUInt64LE(), 0xfedfffffn);
});

test('maps where it is told or where there is room, and refuses what is wrong', () => {
  const it = setUp();
  const ioas_id = it.ioas();
  it.bind();
  it.attach(ioas_id);
  const user_va = it.client.allocate(65536);
  const map = (values: Values) =>
    it.call('IOMMU_IOAS_MAP', s.iommu_ioas_map, {
      ...{ ioas_id, user_va, length: 8192n, iova: 0x10000n, flags: FIXED | READABLE | WRITEABLE },
      ...values,
    });
  is(map({ flags: FIXED }).ret, 'EINVAL');
  is(map({ flags: 0x80 }).ret, 'ENOTSUP');
  is(map({ iova: U64_MAX }).ret, 'EOVERFLOW');
  is(map({ ioas_id: 99 }).ret, 'ENOENT');
  is(map({ iova: 0x10001n }).ret, 'EINVAL');
  is(map({ length: 0n }).ret, 'EINVAL');
  is(map({ iova: 0xfee00000n }).ret, 'EINVAL');
  is(map({ user_va: 0x1000n }).ret, 'EFAULT');
  is(map({}).ret, 0);
  is(map({ iova: 0x11000n }).ret, 'EEXIST');
  const free = map({ flags: READABLE });
  is(free.ret, 0);
  ok(free.out('iova') >= 4096n);
  const unmap = (iova: bigint, length: bigint) =>
    it.call('IOMMU_IOAS_UNMAP', s.iommu_ioas_unmap, { ioas_id, iova, length });
  is(unmap(0x10000n, 4096n).ret, 'ENOENT', 'a part');
  is(unmap(0x50000n, 4096n).ret, 'ENOENT', 'nothing there');
  is(unmap(0x10000n, 8192n).out('length'), 8192n);
  is(unmap(0n, U64_MAX).out('length'), 8192n);
});

test('copies a map to another IOAS, whose pages are counted once', () => {
  const it = setUp();
  const [a, b] = [it.ioas(), it.ioas()];
  it.bind();
  it.attach(a);
  const user_va = it.client.allocate(8192);
  const flags = FIXED | READABLE | WRITEABLE;
  is(it.call('IOMMU_IOAS_MAP', s.iommu_ioas_map, { ioas_id: a, user_va, length: 8192n, iova: 0n, flags }).ret, 0);
  is(it.client.emulator.lockedPages(1), 2n);
  const copy = (src_iova: bigint) =>
    it.call('IOMMU_IOAS_COPY', s.iommu_ioas_copy, {
      ...{ flags, dst_ioas_id: b, src_ioas_id: a, length: 4096n, dst_iova: 0x9000n, src_iova },
    }).ret;
  is(copy(0x4000n), 'ENOENT');
  is(copy(0x1000n), 0);
  is(copy(0x1000n), 'EEXIST');
  is(it.client.emulator.lockedPages(1), 2n);
});

test('objects are busy while they are used, and gone after', () => {
  const it = setUp();
  const id = it.ioas();
  const devid = Number(it.bind().out('out_devid'));
  const { ret, out } = it.attach(id);
  is(ret, 0);
  ok(Number(out('pt_id')) !== id, 'the page table made for it');
  const destroy = (what: number) => it.call('IOMMU_DESTROY', s.iommu_destroy, { id: what }).ret;
  is(destroy(id), 'EBUSY');
  is(destroy(devid), 'EBUSY');
  is(it.onDevice('VFIO_DEVICE_DETACH_IOMMUFD_PT', vfio_device_detach_iommufd_pt, { argsz: 8 }).ret, 0);
  is(destroy(id), 0);
  is(destroy(id), 'ENOENT');
});

test('page tables are made and chosen; dirty tracking needs an IOMMU that has it', () => {
  const it = setUp();
  const pt_id = it.ioas();
  const dev_id = Number(it.bind().out('out_devid'));
  const alloc = (flags: number) => it.call('IOMMU_HWPT_ALLOC', s.iommu_hwpt_alloc, { dev_id, pt_id, flags });
  is(alloc(2).ret, 'ENOTSUP');
  const hwpt = Number(alloc(0).out('out_hwpt_id'));
  is(it.attach(hwpt).out('pt_id'), BigInt(hwpt));
});

test('an mdev is an access, not a device; its IOAS wants whole pages once it is attached', () => {
  const it = setUp('serial');
  const id = it.ioas();
  const dev_id = Number(it.bind().out('out_devid'));
  is(it.attach(id).out('pt_id'), BigInt(id));
  is(it.call('IOMMU_GET_HW_INFO', s.iommu_hw_info, { dev_id }).ret, 'ENOENT');
});

test('structures may be longer than the kernel knows, if the rest is zero', () => {
  const it = setUp();
  const long = fill(s.iommu_ioas_alloc, {}, Buffer.alloc(8));
  is(it.client.ioctl(it.iommufd, 'IOMMU_IOAS_ALLOC', long), 0);
  long[16] = 1;
  is(it.client.ioctl(it.iommufd, 'IOMMU_IOAS_ALLOC', long), 'E2BIG');
  is(it.client.ioctl(it.iommufd, 'IOMMU_IOAS_ALLOC', fill(s.iommu_ioas_alloc, { size: 8 })), 'EINVAL');
});

test('the container’s requests act on the compatibility IOAS', () => {
  const it = setUp();
  is(it.client.ioctl(it.iommufd, 'VFIO_SET_IOMMU', 3n), 'ENODEV');
  const id = it.ioas();
  is(it.call('IOMMU_VFIO_IOAS', s.iommu_vfio_ioas, { op: 0 }).ret, 'ENODEV');
  is(it.call('IOMMU_VFIO_IOAS', s.iommu_vfio_ioas, { op: 1, ioas_id: id }).ret, 0);
  equal(it.call('IOMMU_VFIO_IOAS', s.iommu_vfio_ioas, { op: 0 }).out('ioas_id'), BigInt(id));
  is(it.client.ioctl(it.iommufd, 'VFIO_SET_IOMMU', 3n), 0);
});
test('a group joins an iommufd instead of a container, and DMA goes through its IOAS', () => {
  const client = new Client(new Emulator([{ profile: profileOf('edu') }]));
  const iommufd = client.open('/dev/iommu');
  const group = client.open('/dev/vfio/1');
  const set = Buffer.alloc(4);
  set.writeInt32LE(iommufd);
  is(client.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', set), 0);
  is(client.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', set), 'EINVAL');
  is(client.ioctl(iommufd, 'VFIO_SET_IOMMU', 3n), 0);
  const device = client.ioctl(group, 'VFIO_GROUP_GET_DEVICE_FD', Buffer.from('0000:00:04.0\0')) as number;
  const at = client.allocate(4096);
  const map = fill(vfio_iommu_type1_dma_map, { flags: 3, iova: 0x100000n, vaddr: at, size: 4096n });
  is(client.ioctl(iommufd, 'VFIO_IOMMU_MAP_DMA', map), 0);
  client.memory.write(at, Buffer.from('through an IOAS'));
  client.store(device, 7, 4, 6, 2);
  for (const [i, v] of [0x100000, 0x40000, 15, 1].entries()) client.store(device, 0, 0x80 + 8 * i, v);
  for (const [i, v] of [0x40000, 0x100800, 15, 3].entries()) client.store(device, 0, 0x80 + 8 * i, v);
  is(client.memory.read(at + 0x800n, 15)?.toString(), 'through an IOAS');
  client.close(device);
  is(client.ioctl(group, 'VFIO_GROUP_UNSET_CONTAINER'), 0);
});
test.run();
