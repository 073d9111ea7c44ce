// Containers and their type1 IOMMU: the errors and limits of drivers/vfio/{container,vfio_iommu_type1}.c.

import { suite } from 'uvu';
import { equal, is } from 'uvu/assert';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import {
  dirtyPagesFlags,
  dmaMapFlags,
  dmaUnmapFlags,
  vfio_bitmap,
  vfio_iommu_type1_dirty_bitmap,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../schema/container.ts';
import { decode } from '../../schema/decode.ts';
import { type Client, fill, get, openDevice, start, TYPE1, TYPE1v2 } from './client.ts';

const RW = dmaMapFlags.READ | dmaMapFlags.WRITE;
const PAGE = 4096n;
const edu = { profile: profileOf('edu') };
const mdev = { profile: profileOf('serial') };

const map = (c: Client, container: number, iova: bigint, vaddr: bigint, size: bigint, flags: number = RW) =>
  c.ioctl(container, 'VFIO_IOMMU_MAP_DMA', fill(vfio_iommu_type1_dma_map, { flags, iova, vaddr, size }));
function unmap(c: Client, container: number, iova: bigint, size: bigint, flags = 0) {
  const arg = fill(vfio_iommu_type1_dma_unmap, { flags, iova, size });
  const ret = c.ioctl(container, 'VFIO_IOMMU_UNMAP_DMA', arg);
  return ret === 0 ? get(vfio_iommu_type1_dma_unmap, arg, 'size') : ret;
}
const dirty = (c: Client, container: number, flags: number) =>
  c.ioctl(container, 'VFIO_IOMMU_DIRTY_PAGES', fill(vfio_iommu_type1_dirty_bitmap, { flags }));
function getDirty(c: Client, container: number, iova: bigint, size: bigint, bitmap: bigint, bytes = 8n) {
  const tail = Buffer.alloc(40);
  [iova, size, PAGE, bytes, bitmap].forEach((v, i) => {
    tail.writeBigUInt64LE(v, 8 * i);
  });
  const arg = fill(vfio_iommu_type1_dirty_bitmap, { flags: dirtyPagesFlags.GET_BITMAP }, tail);
  return c.ioctl(container, 'VFIO_IOMMU_DIRTY_PAGES', arg);
}

const test = suite('container');

test('gives out an IOMMU only to a container with a group, and once', () => {
  const it = start([edu]);
  const empty = it.client.open('/dev/vfio/vfio');
  is(it.client.ioctl(empty, 'VFIO_SET_IOMMU', TYPE1v2), 'EINVAL');
  is(it.client.ioctl(empty, 'VFIO_IOMMU_MAP_DMA', fill(vfio_iommu_type1_dma_map, {})), 'EINVAL');
  is(it.client.ioctl(it.container, 'VFIO_SET_IOMMU', TYPE1v2), 'EINVAL');
  is(it.client.ioctl(it.container, 'VFIO_CHECK_EXTENSION', TYPE1), 1);
  is(it.client.ioctl(it.container, 'VFIO_CHECK_EXTENSION', 99n), 0);
});

test('answers GET_INFO with a chain when there is room, else with the size it needs', () => {
  const it = start([edu]);
  const small = fill(vfio_iommu_type1_info, {});
  is(it.client.ioctl(it.container, 'VFIO_IOMMU_GET_INFO', small), 0);
  is(get(vfio_iommu_type1_info, small, 'argsz'), 0x78n); // as the lab kernel says
  is(get(vfio_iommu_type1_info, small, 'cap_offset'), 0n);
  const large = fill(vfio_iommu_type1_info, {}, Buffer.alloc(0x78 - vfio_iommu_type1_info.size));
  is(it.client.ioctl(it.container, 'VFIO_IOMMU_GET_INFO', large), 0);
  const info = decode(vfio_iommu_type1_info, large) as Record<string, Record<string, unknown>>;
  is(info.DMA_AVAIL?.avail, 65535);
  equal(info.IOVA_RANGE?.iova_ranges, [
    { start: 0n, end: 0xfedfffffn },
    { start: 0xfef00000n, end: 0x7fffffffffn },
  ]);
  is(it.client.ioctl(it.container, 'VFIO_IOMMU_GET_INFO', fill(vfio_iommu_type1_info, { argsz: 15 })), 'EINVAL');
});

test('refuses maps that are wrong', () => {
  const { client, container } = start([edu]);
  const at = client.allocate(64 << 10);
  is(map(client, container, 0x1000n, at, 0n), 'EINVAL');
  is(map(client, container, 0x1001n, at, PAGE), 'EINVAL');
  is(map(client, container, 0x1000n, at, PAGE, 0), 'EINVAL');
  is(map(client, container, 0x1000n, at, PAGE, 0x80), 'EINVAL');
  is(map(client, container, (1n << 64n) - PAGE, at, 2n * PAGE), 'EINVAL');
  is(map(client, container, 0xfee00000n, at, PAGE), 'EINVAL', 'the interrupt window');
  is(map(client, container, 1n << 39n, at, PAGE), 'EINVAL', 'beyond the aperture');
  is(map(client, container, 0x1000n, 0x1000n, PAGE), 'EFAULT', 'no memory there');
  is(map(client, container, 0x1000n, at, 2n * PAGE), 0);
  is(map(client, container, 0x2000n, at, PAGE), 'EEXIST');
  is(map(client, container, 0x3000n, at, PAGE), 0);
});

test('unmaps whole maps only, says how much, and all at once', () => {
  const { client, container } = start([edu]);
  const at = client.allocate(64 << 10);
  for (const iova of [0x10000n, 0x12000n]) is(map(client, container, iova, at, 2n * PAGE), 0);
  is(unmap(client, container, 0x10000n, PAGE), 'EINVAL');
  is(unmap(client, container, 0x11000n, 2n * PAGE), 'EINVAL');
  is(unmap(client, container, 0x30000n, PAGE), 0n);
  is(unmap(client, container, 0x10000n, 4n * PAGE), 4n * PAGE);
  is(map(client, container, 0x10000n, at, 2n * PAGE), 0);
  is(unmap(client, container, 0x1000n, 0n, dmaUnmapFlags.ALL), 'EINVAL');
  is(unmap(client, container, 0n, 0n, dmaUnmapFlags.ALL), 2n * PAGE);
});

test('version 1 gives back a whole map for its start, and nothing for its middle', () => {
  const it = start([edu]);
  const { client } = it;
  client.close(it.device);
  is(client.ioctl(it.group, 'VFIO_GROUP_UNSET_CONTAINER'), 0);
  const container = client.open('/dev/vfio/vfio');
  const fd = Buffer.alloc(4);
  fd.writeInt32LE(container);
  is(client.ioctl(it.group, 'VFIO_GROUP_SET_CONTAINER', fd), 0);
  is(client.ioctl(container, 'VFIO_SET_IOMMU', TYPE1), 0);
  is(map(client, container, 0x10000n, client.allocate(8192), 2n * PAGE), 0);
  is(unmap(client, container, 0x11000n, PAGE), 0n);
  is(unmap(client, container, 0x10000n, PAGE), 2n * PAGE);
  is(dirty(client, container, dirtyPagesFlags.START), 'EACCES');
});

test('has 65535 maps and not one more', () => {
  const { client, container } = start([edu]);
  const at = client.allocate(4096);
  for (let i = 0; i < 65535; i++) if (map(client, container, BigInt(i) * PAGE, at, PAGE) !== 0) throw new Error(`${i}`);
  is(map(client, container, 65535n * PAGE, at, PAGE), 'ENOSPC');
  is(unmap(client, container, 0n, PAGE), PAGE);
  is(map(client, container, 0n, at, PAGE), 0);
});

test('counts locked memory: over the limit it is ENOMEM, and twice for two containers', () => {
  const two = { profile: profileOf('edu') };
  const it = start([edu, two]);
  const { client, emulator } = it;
  client.memlock = 4n * PAGE;
  const at = client.allocate(4 * 4096);
  is(map(client, it.container, 0n, at, 3n * PAGE), 0);
  is(map(client, it.container, 0x10000n, at, 2n * PAGE), 'ENOMEM');
  client.memlock = null;
  const second = client.open('/dev/vfio/vfio');
  const group = client.open(`/dev/vfio/${emulator.devices[1]?.group.id}`);
  const fd = Buffer.alloc(4);
  fd.writeInt32LE(second);
  is(client.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', fd), 0);
  is(client.ioctl(second, 'VFIO_SET_IOMMU', TYPE1v2), 0);
  is(map(client, second, 0n, at, 3n * PAGE), 0);
  is(emulator.lockedPages(client.process), 6n);
  is(unmap(client, it.container, 0n, 3n * PAGE), 3n * PAGE);
  is(emulator.lockedPages(client.process), 3n);
});

test('an mdev pins nothing', () => {
  const { client, container, emulator } = start([mdev]);
  client.memlock = 0n;
  is(map(client, container, 0n, client.allocate(8192), 2n * PAGE), 0);
  is(emulator.lockedPages(client.process), 0n);
});

test('a pinned container is all dirty; asking needs tracking, the page size and whole maps', () => {
  const { client, container } = start([edu]);
  const at = client.allocate(16 * 4096);
  const bitmap = client.allocate(64);
  is(map(client, container, 0x100000n, at, 4n * PAGE), 0);
  is(getDirty(client, container, 0x100000n, 4n * PAGE, bitmap), 'EINVAL');
  is(dirty(client, container, dirtyPagesFlags.START | dirtyPagesFlags.STOP), 'EINVAL');
  is(dirty(client, container, dirtyPagesFlags.START), 0);
  is(map(client, container, 0x104000n, at, 2n * PAGE), 0);
  is(getDirty(client, container, 0x100000n, 2n * PAGE, bitmap), 'EINVAL', 'bisects a map');
  is(getDirty(client, container, 0x100000n, 6n * PAGE, bitmap, 0n), 'EINVAL');
  is(getDirty(client, container, 0x100000n, 6n * PAGE, bitmap), 0);
  is(client.memory.read(bitmap, 8)?.readBigUInt64LE(), 0x3fn);
});

test('UNMAP_DMA gives the dirty bits of what goes', () => {
  const { client, container } = start([edu]);
  const bitmap = client.allocate(8);
  is(map(client, container, 0x1000n, client.allocate(8192), 2n * PAGE), 0);
  is(dirty(client, container, dirtyPagesFlags.START), 0);
  const tail = fill(vfio_bitmap, { pgsize: PAGE, size: 8n, data: bitmap });
  const flags = dmaUnmapFlags.GET_DIRTY_BITMAP;
  const arg = fill(vfio_iommu_type1_dma_unmap, { flags, iova: 0x1000n, size: 2n * PAGE }, tail);
  is(client.ioctl(container, 'VFIO_IOMMU_UNMAP_DMA', arg), 0);
  is(client.memory.read(bitmap, 8)?.readBigUInt64LE(), 3n);
});

const group = suite('group');

test('a container cannot be left while a device is open', () => {
  const it = start([edu]);
  is(it.client.ioctl(it.group, 'VFIO_GROUP_UNSET_CONTAINER'), 'EBUSY');
  it.client.close(it.device);
  is(it.client.ioctl(it.group, 'VFIO_GROUP_UNSET_CONTAINER'), 0);
  is(it.client.ioctl(it.group, 'VFIO_GROUP_UNSET_CONTAINER'), 'EINVAL');
});

group('holds several devices, in one container; it opens once', () => {
  const it = start([
    { ...edu, group: 7 },
    { ...edu, group: 7 },
  ]);
  const other = it.emulator.devices[1]?.name ?? '';
  is(typeof openDevice(it.client, it.group, other), 'number');
  is(it.client.ioctl(it.group, 'VFIO_GROUP_GET_DEVICE_FD', Buffer.from('0000:ff:00.0\0')), 'ENODEV');
  is(it.client.emulator.open('/dev/vfio/7'), -16);
  is(it.client.emulator.open('/dev/vfio/9'), -2);
});

group('is not viable beside a device of another driver', () => {
  const it = start([edu, { ...edu, viable: false }]);
  const fd = it.client.open(`/dev/vfio/${it.emulator.devices[1]?.group.id}`);
  const status = Buffer.alloc(8);
  status.writeUInt32LE(8);
  is(it.client.ioctl(fd, 'VFIO_GROUP_GET_STATUS', status), 0);
  is(status.readUInt32LE(4), 0);
  const set = Buffer.alloc(4);
  set.writeInt32LE(it.container);
  is(it.client.ioctl(fd, 'VFIO_GROUP_SET_CONTAINER', set), 'EPERM');
});
group.run();
test.run();
