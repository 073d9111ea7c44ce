// The beginning that most scripts share: container, groups, devices, and what they ask first.

import { pciRegions } from '../../../schema/device.ts';
import { type Act, type DeviceSpec, fd, feature, ioctl, open, pread, pwrite } from '../scenario.ts';

export const A = '0000:00:04.0';
export const B = '0000:00:05.0';
/** v1 devices are mediated ones. */
const UUID_A = '11111111-2222-3333-4444-000000000001';
const UUID_B = '11111111-2222-3333-4444-000000000002';
const nameOf = (profile: string, address: string, uuid: string): string => (profile.startsWith('v1') ? uuid : address);
export const one = (profile: string): DeviceSpec[] => [{ profile, name: nameOf(profile, A, UUID_A), group: 4 }];
export const two = (a: string, b = a): DeviceSpec[] => [
  { profile: a, name: nameOf(a, A, UUID_A), group: 4 },
  { profile: b, name: nameOf(b, B, UUID_B), group: 5 },
];

export const TYPE1v2 = 3;
export const container = (as = 'c'): Act[] => [open(as, '/dev/vfio/vfio')];
export const group = (as: string, number: number, of = 'c'): Act[] => [
  open(as, `/dev/vfio/${number}`),
  ioctl(as, 'VFIO_GROUP_SET_CONTAINER', fd(of)),
];
const device = (as: string, from: string, name: string): Act => ioctl(from, 'VFIO_GROUP_GET_DEVICE_FD', name, { as });

const openOne = (name: string): Act[] => [
  ...container(),
  ...group('g', 4),
  ioctl('c', 'VFIO_SET_IOMMU', TYPE1v2),
  device('d', 'g', name),
];
const openTwo = (a: string, b: string): Act[] => [
  ...container(),
  ...group('g', 4),
  ...group('h', 5),
  ioctl('c', 'VFIO_SET_IOMMU', TYPE1v2),
  device('d', 'g', a),
  device('e', 'h', b),
];
/** One device `d`, in group `g`, in container `c`. */
export const opened = openOne(A);
export const openedV1 = openOne(UUID_A);
/** Two devices `d` and `e` in one container. */
const openedTwo = openTwo(A, B);

export const REGION_INFO = 256;
export const regionInfo = (of: string, index: number): Act =>
  ioctl(of, 'VFIO_DEVICE_GET_REGION_INFO', { index }, { argsz: REGION_INFO });
export const irqInfo = (of: string, index: number): Act => ioctl(of, 'VFIO_DEVICE_GET_IRQ_INFO', { index });

/** The v1 migration region is the first behind those of PCI. */
export const MIGRATION = Object.keys(pciRegions).length;
export const V1 = { STOP: 0, RUNNING: 1, SAVING: 2, PRE_COPY: 3, RESUMING: 4, NDMA: 8 } as const;
export const v1Opened: Act[] = [...openedV1, regionInfo('d', MIGRATION)];
export const v1OpenedTwo: Act[] = [...openTwo(UUID_A, UUID_B), regionInfo('d', MIGRATION), regionInfo('e', MIGRATION)];
export const readState = (of = 'd'): Act => pread(of, MIGRATION, 0, 4);
/** Read, then write, as a program should. */
export const writeState = (state: number, of = 'd'): Act[] => [readState(of), pwrite(of, MIGRATION, 0, 4, state)];
export const pending = (of = 'd'): Act => pread(of, MIGRATION, 8, 8);
export const dataOffset = (of = 'd'): Act => pread(of, MIGRATION, 16, 8);
export const dataSize = (of = 'd'): Act => pread(of, MIGRATION, 24, 8);

export const migrationFlags = (of = 'd'): Act => feature(of, 'GET', 'MIGRATION');
export const getState = (of = 'd'): Act => feature(of, 'GET', 'MIG_DEVICE_STATE');
export const V2 = {
  ERROR: 0,
  STOP: 1,
  RUNNING: 2,
  STOP_COPY: 3,
  RESUMING: 4,
  RUNNING_P2P: 5,
  PRE_COPY: 6,
  PRE_COPY_P2P: 7,
} as const;
/** `as`: the data descriptor that it makes. */
export const setState = (state: number, as?: string, of = 'd'): Act =>
  feature(of, 'SET', 'MIG_DEVICE_STATE', { device_state: state, data_fd: -1 }, as ? { as } : {});
export const v2Opened: Act[] = [...opened, migrationFlags()];
export const v2OpenedTwo: Act[] = [...openedTwo, migrationFlags('d'), migrationFlags('e')];
