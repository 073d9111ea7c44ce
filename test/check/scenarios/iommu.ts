// R62, R63, R65, R69, C1 to C4.

import { dmaMapFlags, dmaUnmapFlags } from '../../../schema/container.ts';
import {
  type Act,
  address,
  close,
  errno,
  ioctl,
  memory,
  mmap,
  munmap,
  pread,
  type Scenario,
  set,
  u32,
  u64,
} from '../scenario.ts';
import { container, group, one, opened, regionInfo, TYPE1v2 } from './setup.ts';

const PAGE = 4096n;
const SIZE = 1 << 20;
const RW = dmaMapFlags.READ | dmaMapFlags.WRITE;
const base = { devices: one('edu') };
const ram: Act[] = [...opened, memory('ram', SIZE), memory('more', SIZE)];
const info = ioctl('c', 'VFIO_IOMMU_GET_INFO', {}, { argsz: 256 });
const map = (
  iova: bigint,
  size: bigint,
  more: Parameters<typeof ioctl>[3] = {},
  from = 'ram',
  of = 'c',
  flags = RW,
): Act => ioctl(of, 'VFIO_IOMMU_MAP_DMA', { flags, vaddr: address(from), iova, size }, more);
const unmap = (iova: bigint, size: bigint, more: Parameters<typeof ioctl>[3] = {}, flags = 0): Act =>
  ioctl('c', 'VFIO_IOMMU_UNMAP_DMA', { flags, iova, size }, more);
/** An unmap that says it undid nothing. */
const nothing = (iova: bigint, size: bigint): Act =>
  unmap(iova, size, { lie: { kind: 'ok', ret: 0, bytes: Buffer.concat([u32(24), u32(0), u64(iova), u64(0)]) } });
const oneMap: Act[] = [...ram, map(0n, 16n * PAGE)];
const bar = 2;

export const iommu: Scenario[] = [
  {
    ...base,
    rule: 'R62',
    name: 'not aligned',
    acts: [...ram, map(512n, PAGE, { fails: 'EINVAL' })],
    finds: [{ rule: 'R62', says: /aligned/ }],
  },
  {
    ...base,
    rule: 'R62',
    name: 'neither readable nor writable',
    acts: [...ram, map(0n, PAGE, { fails: 'EINVAL' }, 'ram', 'c', 0)],
    finds: [{ rule: 'R62', says: /neither/ }],
  },
  {
    ...base,
    rule: 'R62',
    name: 'overlapping',
    acts: [...oneMap, map(8n * PAGE, 16n * PAGE, { fails: 'EEXIST' })],
    finds: [{ rule: 'R62', says: /overlaps the mapping of event \d+/ }],
  },
  {
    ...base,
    rule: 'R62',
    name: 'outside the ranges',
    acts: [...ram, info, map(0xfee00000n, PAGE, { fails: 'EINVAL' })],
    finds: [{ rule: 'R62', says: /IOVA ranges/ }],
  },
  {
    ...base,
    rule: 'R62',
    name: 'no mapping left',
    acts: [...ram, map(0n, PAGE, { fails: 'ENOSPC', lie: errno('ENOSPC') })],
    finds: [{ rule: 'R62', says: /ENOSPC/ }],
  },
  {
    ...base,
    rule: 'R62',
    name: 'locked memory',
    acts: [...ram, map(0n, PAGE, { fails: 'ENOMEM', lie: errno('ENOMEM') })],
    finds: [{ rule: 'R62', says: /RLIMIT_MEMLOCK/ }],
  },
  {
    ...base,
    rule: 'R62',
    name: 'side by side',
    acts: [...ram, info, map(0n, PAGE), map(PAGE, PAGE, {}, 'more')],
    finds: [],
  },
  {
    ...base,
    rule: 'R63',
    name: 'cut in two',
    acts: [...oneMap, unmap(PAGE, PAGE, { fails: 'EINVAL' })],
    finds: [{ rule: 'R63', says: /cuts the mapping/ }],
  },
  {
    ...base,
    rule: 'R63',
    name: 'ALL with a size',
    acts: [...oneMap, unmap(0n, PAGE, { fails: 'EINVAL' }, dmaUnmapFlags.ALL)],
    finds: [{ rule: 'R63', says: /ALL has/ }],
  },
  {
    ...base,
    rule: 'R63',
    name: 'whole mappings',
    acts: [...oneMap, map(16n * PAGE, PAGE, {}, 'more'), unmap(0n, 17n * PAGE)],
    finds: [],
  },
  {
    ...base,
    rule: 'R65',
    name: 'memory given back',
    acts: [...oneMap, munmap('ram')],
    finds: [{ rule: 'R65', says: /maps it for DMA/ }],
  },
  { ...base, rule: 'R65', name: 'unmapped first', acts: [...oneMap, unmap(0n, 16n * PAGE), munmap('ram')], finds: [] },
  {
    ...{
      devices: [...one('edu'), { profile: 'edu', name: '0000:00:05.0', group: 5 }],
      rule: 'R69',
      name: 'in two containers',
    },
    acts: [
      ...oneMap,
      ...container('c2'),
      ...group('h', 5, 'c2'),
      ioctl('c2', 'VFIO_SET_IOMMU', TYPE1v2),
      map(0n, PAGE, {}, 'ram', 'c2'),
    ],
    finds: [{ rule: 'R69', says: /count twice/ }],
  },
  { ...base, rule: 'R69', name: 'in one container', acts: oneMap, finds: [] },
  {
    ...{ ...base, rule: 'C1', name: 'the memory is given back' },
    acts: [...oneMap, nothing(0n, 16n * PAGE), munmap('ram')],
    finds: [{ rule: 'C1', says: /undid 0 bytes, and its memory/ }],
  },
  {
    ...{ ...base, rule: 'C1', name: 'mapped again' },
    acts: [...oneMap, nothing(0n, 16n * PAGE), map(0n, PAGE, { fails: 'EEXIST' }, 'more')],
    finds: [{ rule: 'C1', says: /is mapped as if/ }],
  },
  {
    ...base,
    rule: 'C1',
    name: 'undone whole',
    acts: [...oneMap, unmap(0n, 16n * PAGE), map(0n, PAGE, {}, 'more')],
    finds: [],
  },
  {
    ...{ ...base, rule: 'C2', name: 'passed over' },
    acts: [...oneMap, map(0n, PAGE, { fails: 'EEXIST' }, 'more'), map(32n * PAGE, PAGE, {}, 'more')],
    finds: [{ rule: 'C2', says: /another map follows/ }],
  },
  {
    ...{ ...base, rule: 'C2', name: 'the device is used' },
    acts: [...oneMap, regionInfo('d', 0), map(0n, PAGE, { fails: 'EEXIST' }, 'more'), pread('d', 0, 0, 4)],
    finds: [{ rule: 'C2', says: /the device is used/ }],
  },
  {
    ...{ ...base, rule: 'C2', name: 'the older mapping is undone' },
    acts: [...oneMap, map(0n, PAGE, { fails: 'EEXIST' }, 'more'), unmap(0n, 16n * PAGE), map(0n, PAGE, {}, 'more')],
    finds: [],
    also: ['R62'],
  },
  {
    ...base,
    rule: 'C3',
    name: 'left mapped',
    acts: [...oneMap, close('d'), close('g'), close('c')],
    finds: [{ rule: 'C3', says: /1 mappings of 65536 bytes/ }],
  },
  {
    ...base,
    rule: 'C3',
    name: 'undone',
    acts: [...oneMap, unmap(0n, 16n * PAGE), close('d'), close('g'), close('c')],
    finds: [],
  },
  {
    ...{ devices: one('v2-full'), rule: 'C4', name: 'mapped without a look at the areas' },
    acts: [
      ...opened,
      ioctl('d', 'VFIO_DEVICE_GET_REGION_INFO', { index: bar }, { lie: set(0, Buffer.concat([u32(80), u32(15)])) }),
      mmap('d', 'bar', bar, 0, 65536),
    ],
    finds: [{ rule: 'C4', says: /region 2 is mapped/ }],
  },
  {
    ...base,
    rule: 'C4',
    name: 'IOVA ranges cut off',
    acts: [...ram, ioctl('c', 'VFIO_IOMMU_GET_INFO', {}), map(0n, PAGE)],
    finds: [{ rule: 'C4', says: /IOVA ranges/ }],
  },
  {
    devices: one('v2-full'),
    rule: 'C4',
    name: 'asked with room',
    acts: [...opened, regionInfo('d', bar), mmap('d', 'bar', bar, 0, 65536)],
    finds: [],
  },
];
