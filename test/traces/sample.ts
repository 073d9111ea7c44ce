// A small trace with one of everything that readers must show.

import { featureOps } from '../../schema/device.ts';
import { recordFlags, wheres } from '../../schema/event.ts';
import { TraceMaker } from './make.ts';

type Item = readonly [1 | 2 | 4 | 8, number | bigint];
export const u8 = (n: number): Item => [1, n];
export const u16 = (n: number): Item => [2, n];
export const u32 = (n: number): Item => [4, n];
export const u64 = (n: number | bigint): Item => [8, n];

/** Numbers one after the other, little-endian, with no padding but what is written. */
export function packed(...items: Item[]): Buffer {
  const bytes = Buffer.alloc(items.reduce((n, [w]) => n + w, 0));
  let at = 0;
  for (const [width, value] of items) {
    const n = BigInt.asUintN(width * 8, BigInt(value));
    for (let i = 0; i < width; i++) bytes[at + i] = Number((n >> BigInt(8 * i)) & 0xffn);
    at += width;
  }
  return bytes;
}

const BDF = '0000:00:04.0';
const feature = (flags: number, ...data: Item[]): Buffer =>
  packed(u32(8 + data.reduce((n, [w]) => n + w, 0)), u32(flags), ...data);

/** Handles: 1 container, 2 group, 3 device 0000:00:04.0, 4 data descriptor, 5 a second device with a v1 region 9. */
export function sample(path: string): void {
  const m = new TraceMaker(path);
  m.meta('state', 'finished')
    .meta('command', 'client 0000:00:04.0')
    .process(2, 200, '/usr/bin/child')
    .thread(2, 2, 201);
  m.handle(1, 'container', { fd: 3, path: '/dev/vfio/vfio' }).handle(2, 'group', { fd: 4, path: '/dev/vfio/7' });
  m.handle(3, 'device', { fd: 5, name: BDF, parent: 2 }).handle(4, 'data', { fd: 6, parent: 3 });
  m.handle(5, 'device', { fd: 8, name: '0000:00:05.0', parent: 2 });
  m.region(3, 0).region(3, 7, { size: 256n }).region(5, 9, { type: 3, subtype: 1, size: 0x10000n });
  const dev = { handle: 3, fd: 5 };
  const open = { op: 'open', fd: -1, a: 0o2000002 } as const;
  m.event({
    ...open,
    kind: 'container',
    ret: 3,
    input: Buffer.from('/dev/vfio/vfio\0'),
    made: { handle: 1, kind: 'container' },
  });
  m.event({ ...open, kind: 'group', ret: 4, input: Buffer.from('/dev/vfio/7\0'), made: { handle: 2, kind: 'group' } });
  m.event({ name: 'VFIO_GET_API_VERSION', handle: 1, fd: 3, ret: 0 });
  m.event({ name: 'VFIO_CHECK_EXTENSION', handle: 1, fd: 3, a: 3, ret: 1 });
  m.event({
    name: 'VFIO_GROUP_GET_STATUS',
    handle: 2,
    fd: 4,
    input: packed(u32(8), u32(0)),
    output: packed(u32(8), u32(1)),
  });
  m.event({ name: 'VFIO_GROUP_SET_CONTAINER', handle: 2, fd: 4, input: packed(u32(3)) });
  m.event({
    name: 'VFIO_IOMMU_MAP_DMA',
    handle: 1,
    fd: 3,
    input: packed(u32(32), u32(3), u64(0x7f0000000000), u64(0), u64(0x1000)),
  });
  m.event({
    name: 'VFIO_IOMMU_MAP_DMA',
    handle: 1,
    fd: 3,
    ret: -17,
    input: packed(u32(32), u32(3), u64(0x7f0000000000), u64(0), u64(0x1000)),
  });
  m.event({
    name: 'VFIO_GROUP_GET_DEVICE_FD',
    handle: 2,
    fd: 4,
    ret: 5,
    input: Buffer.from(`${BDF}\0`),
    made: { handle: 3, kind: 'device' },
  });
  // argsz 56, flags READ|WRITE|MMAP|CAPS, index 0; one capability: SPARSE_MMAP with one area
  const cap = [u16(1), u16(1), u32(0), u32(1), u32(0), u64(0x2000), u64(0x1000)];
  m.event({
    name: 'VFIO_DEVICE_GET_REGION_INFO',
    ...dev,
    flags: recordFlags.HIDDEN,
    input: packed(u32(64), u32(0), u32(0), u32(0), u64(0), u64(0)),
    output: packed(u32(64), u32(15), u32(0), u32(32), u64(0x100000), u64(0), ...cap),
  });
  m.event({
    name: 'VFIO_DEVICE_SET_IRQS',
    ...dev,
    input: packed(u32(28), u32(0x24), u32(1), u32(0), u32(2), u32(7), u32(-1)),
  });
  m.event({ op: 'pread', ...dev, region: 0, length: 4, flags: recordFlags.INLINE, a: 8, ret: 4, val: 0x12345678 });
  m.event({ op: 'pwrite', ...dev, region: 7, length: 2, flags: recordFlags.INLINE, a: 4, ret: 2, val: 7 });
  m.event({ name: 'VFIO_DEVICE_RESET', ...dev, thread: 2 });
  m.event({
    name: 'VFIO_DEVICE_FEATURE',
    ...dev,
    feature: featureOps.GET | 1,
    input: feature(featureOps.GET | 1, u64(0)),
    output: feature(featureOps.GET | 1, u64(7)),
  });
  const set = featureOps.SET | 2;
  m.event({
    name: 'VFIO_DEVICE_FEATURE',
    ...dev,
    feature: set,
    input: feature(set, u32(6), u32(-1)),
    output: feature(set, u32(6), u32(6)),
    made: { handle: 4, kind: 'data' },
  });
  m.event({
    name: 'VFIO_MIG_GET_PRECOPY_INFO',
    handle: 4,
    fd: 6,
    input: packed(u32(24), u32(0), u64(0), u64(0)),
    output: packed(u32(24), u32(0), u64(100), u64(20)),
  });
  m.event({ op: 'read', kind: 'data', handle: 4, fd: 6, length: 4096, ret: 100, output: Buffer.alloc(100, 0xab) });
  m.event({ name: 'VFIO_DEVICE_FEATURE', ...dev, feature: set, ret: -5, input: feature(set, u32(3), u32(-1)) });
  m.event({
    name: 'VFIO_DEVICE_FEATURE',
    ...dev,
    feature: featureOps.GET | 2,
    input: feature(featureOps.GET | 2, u32(0), u32(0)),
    output: feature(featureOps.GET | 2, u32(0), u32(-1)),
  });
  m.event({ name: 'VFIO_DEVICE_RESET', ...dev });
  const bitmap = Buffer.alloc(8);
  bitmap[0] = 0x8f;
  m.event({
    name: 'VFIO_IOMMU_DIRTY_PAGES',
    handle: 1,
    fd: 3,
    input: packed(u32(48), u32(4), u64(0x1000), u64(0x40000), u64(0x1000), u64(8), u64(0x7f0000001000)),
    memory: [
      { at: 40, phase: 0, bytes: Buffer.alloc(8) },
      { at: 40, phase: 1, bytes: bitmap },
    ],
  });
  m.event({ kind: 'device', request: 0x3b7f, ...dev, ret: -25, input: packed(u32(8), u32(0xdead)) });
  // A second device that speaks v1.
  const old = { handle: 5, fd: 8, region: 9, length: 4, flags: recordFlags.INLINE } as const;
  m.event({
    name: 'VFIO_GROUP_GET_DEVICE_FD',
    handle: 2,
    fd: 4,
    ret: 8,
    input: Buffer.from('0000:00:05.0\0'),
    made: { handle: 5, kind: 'device' },
  });
  m.event({ op: 'pread', ...old, a: 0, ret: 4, val: 1 });
  m.event({ op: 'pwrite', ...old, a: 0, ret: 4, val: 3 });
  m.event({ op: 'pread', ...old, length: 8, a: 8, ret: 8, val: 64 });
  m.event({ op: 'pread', ...old, length: 64, flags: 0, a: 32, ret: 64, output: Buffer.alloc(64, 1) });
  m.event({ op: 'pwrite', ...old, a: 0, ret: -22, val: 2 });
  const passed = packed(u32(5), u32(3));
  m.event({
    op: 'sendmsg',
    kind: 'none',
    fd: 9,
    a: 1,
    ret: 1,
    memory: [{ at: wheres.ARRAY, phase: 0, bytes: passed }],
  });
  m.event({ op: 'close', ...dev });
  m.event({ op: 'read', kind: 'data', handle: 4, fd: 6, length: 1, ret: null, dur: null });
  m.loss('MAPPED', 1, 'BAR2 of 0000:00:04.0');
  m.finish();
}
