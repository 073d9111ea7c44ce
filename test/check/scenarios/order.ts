// R58, R59, R66, R67, R70.

import { type Act, errno, fd, feature, ioctl, ok, open, type Scenario, u32 } from '../scenario.ts';
import {
  A,
  container,
  group,
  migrationFlags,
  one,
  opened,
  openedV1,
  regionInfo,
  TYPE1v2,
  v1Opened,
  v2Opened,
} from './setup.ts';

const base = { devices: one('edu') };
const CDEV = '/dev/vfio/devices/vfio0';
const hotInfo = (groupId: number): Act =>
  ioctl(
    'd',
    'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
    {},
    {
      argsz: 12 + 16,
      lie: {
        kind: 'ok',
        ret: 0,
        bytes: Buffer.concat([u32(28), u32(0), u32(2), u32(4), u32(0), u32(groupId), u32(0)]),
      },
    },
  );
const hotReset = (groups: readonly string[], more: Parameters<typeof ioctl>[3] = {}): Act =>
  ioctl('d', 'VFIO_DEVICE_PCI_HOT_RESET', { count: groups.length }, { tail: groups.map(fd), lie: ok(), ...more });

export const order: Scenario[] = [
  {
    ...base,
    rule: 'R58',
    name: 'argsz too small',
    acts: [...opened, ioctl('d', 'VFIO_DEVICE_GET_IRQ_INFO', {}, { argsz: 12, fails: 'EINVAL' })],
    finds: [{ rule: 'R58', says: /argsz is 12, less than 16/ }],
  },
  {
    ...{ ...base, rule: 'R58', name: 'an unknown flag' },
    acts: [
      ...opened,
      ioctl('c', 'VFIO_IOMMU_MAP_DMA', { flags: 0x103, vaddr: 0n, iova: 0n, size: 4096n }, { fails: 'EINVAL' }),
    ],
    finds: [{ rule: 'R58', says: /unknown bits 0x100/ }],
  },
  { ...base, rule: 'R58', name: 'in order', acts: [...opened, regionInfo('d', 0)], finds: [] },
  {
    ...{ devices: one('v1-edu'), rule: 'R59', name: 'not asked again' },
    acts: [...openedV1, ioctl('d', 'VFIO_DEVICE_GET_REGION_INFO', { index: 9 })],
    finds: [{ rule: 'R59', says: /not called again/ }],
  },
  {
    ...{ devices: one('v1-edu'), rule: 'R59', name: 'asked again' },
    acts: [...openedV1, ioctl('d', 'VFIO_DEVICE_GET_REGION_INFO', { index: 9 }), ...v1Opened.slice(-1)],
    finds: [],
  },
  {
    ...base,
    rule: 'R66',
    name: 'device before container',
    acts: [open('g', '/dev/vfio/4'), ioctl('g', 'VFIO_GROUP_GET_DEVICE_FD', A, { fails: 'EINVAL' })],
    finds: [{ rule: 'R66', says: /before the group has a container/ }],
  },
  {
    ...base,
    rule: 'R66',
    name: 'IOMMU before group',
    acts: [...container(), ioctl('c', 'VFIO_SET_IOMMU', TYPE1v2, { fails: 'EINVAL' })],
    finds: [{ rule: 'R66', says: /before any group/ }],
  },
  {
    ...base,
    rule: 'R66',
    name: 'device before IOMMU',
    acts: [...container(), ...group('g', 4), ioctl('g', 'VFIO_GROUP_GET_DEVICE_FD', A, { fails: 'EINVAL' })],
    finds: [{ rule: 'R66', says: /before SET_IOMMU/ }],
  },
  {
    ...base,
    rule: 'R66',
    name: 'cdev before BIND',
    acts: [open('d', CDEV), ioctl('d', 'VFIO_DEVICE_GET_INFO', {}, { fails: 'EINVAL' })],
    finds: [{ rule: 'R66', says: /before BIND_IOMMUFD/ }],
  },
  { ...base, rule: 'R66', name: 'in order', acts: opened, finds: [] },
  {
    ...{ ...base, rule: 'R66', name: 'cdev in order' },
    acts: [
      open('i', '/dev/iommu'),
      open('d', CDEV),
      ioctl('d', 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: fd('i') }, { argsz: 16 }),
      ioctl('d', 'VFIO_DEVICE_GET_INFO', {}),
    ],
    finds: [],
  },
  {
    ...base,
    rule: 'R67',
    name: 'no group',
    acts: [...opened, hotInfo(4), hotReset([], { lie: errno('EINVAL'), fails: 'EINVAL' })],
    finds: [{ rule: 'R67', says: /names no group/ }],
  },
  {
    ...base,
    rule: 'R67',
    name: 'a group left out',
    acts: [...opened, hotInfo(9), hotReset(['g'], { lie: errno('EINVAL'), fails: 'EINVAL' })],
    finds: [{ rule: 'R67', says: /leaves out group 9/ }],
  },
  { ...base, rule: 'R67', name: 'every group', acts: [...opened, hotInfo(4), hotReset(['g'])], finds: [] },
  {
    devices: one('v2-full'),
    rule: 'R70',
    name: 'a feature this kernel lacks',
    acts: [...v2Opened, feature('d', 'SET', 'MIG_PRECOPY_INFOv2', {}, { fails: 'ENOTTY', lie: errno('ENOTTY') })],
    finds: [{ rule: 'R70', says: /older than 7.2/ }],
  },
  {
    devices: one('v2-full'),
    rule: 'R70',
    name: 'a feature it has',
    acts: [...opened, migrationFlags(), feature('d', 'GET', 'MIG_DATA_SIZE')],
    finds: [],
  },
];
