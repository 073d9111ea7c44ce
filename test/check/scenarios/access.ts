// R54, R55, R57, R61, R68.

import { pciRegions } from '../../../schema/device.ts';
import {
  type Act,
  errno,
  eventfd,
  fd,
  feature,
  ioctl,
  load,
  mmap,
  munmap,
  ok,
  pread,
  pwrite,
  type Scenario,
} from '../scenario.ts';
import { MIGRATION, one, regionInfo, setState, V1, V2, v1Opened, v2Opened, writeState } from './setup.ts';

const { BAR0, CONFIG } = pciRegions;
const BAR2 = 2;
const base = { devices: one('v2-full') };
const regions: Act[] = [...v2Opened, regionInfo('d', BAR0), regionInfo('d', BAR2), regionInfo('d', CONFIG)];
const bar0 = pread('d', BAR0, 0, 4);
const ioeventfd: Act = ioctl(
  'd',
  'VFIO_DEVICE_IOEVENTFD',
  { flags: 4, offset: 0n, data: 1n, fd: fd('e') },
  { lie: ok() },
);
const low = (name: string): Act => feature('d', 'SET', name, {}, { lie: ok() });

export const access: Scenario[] = [
  {
    ...base,
    rule: 'R54',
    name: 'a BAR in STOP',
    acts: [...regions, setState(V2.STOP), bar0],
    finds: [{ rule: 'R54', says: /region 0 is read at 0x0 in STOP/ }],
  },
  {
    ...base,
    rule: 'R54',
    name: 'a BAR in RUNNING_P2P',
    acts: [...regions, setState(V2.RUNNING_P2P), pwrite('d', BAR0, 4, 4, 1)],
    finds: [{ rule: 'R54', says: /written at 0x4/ }],
  },
  {
    ...{ devices: one('v1-edu'), rule: 'R54', name: 'a BAR of a stopped v1 device' },
    acts: [...v1Opened, regionInfo('d', BAR0), ...writeState(V1.SAVING), bar0],
    finds: [{ rule: 'R54', level: 'SHOULD', says: /device_state 2/ }],
  },
  {
    ...{ ...base, rule: 'R54', name: 'an ioeventfd still there' },
    acts: [...regions, eventfd('e'), ioeventfd, setState(V2.STOP)],
    finds: [{ rule: 'R54', says: /ioeventfds/ }],
  },
  {
    ...base,
    rule: 'R54',
    name: 'only config space',
    acts: [...regions, bar0, setState(V2.STOP), pread('d', CONFIG, 0, 4), setState(V2.RUNNING), bar0],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R54', name: 'a mapping nobody records', mmio: 'pass' },
    acts: [...regions, mmap('d', 'bar', BAR2, 0, 65536), setState(V2.STOP)],
    finds: [],
    undecidable: /mapped/,
  },
  {
    ...base,
    rule: 'R55',
    name: 'a mapping alive',
    acts: [...regions, mmap('d', 'bar', BAR2, 0, 65536), setState(V2.STOP)],
    finds: [{ rule: 'R55', level: 'INFO', says: /1 mappings/ }],
  },
  {
    ...base,
    rule: 'R55',
    name: 'unmapped before',
    acts: [...regions, mmap('d', 'bar', BAR2, 0, 65536), munmap('bar'), setState(V2.STOP)],
    finds: [],
  },
  {
    ...base,
    rule: 'R57',
    name: 'an access that never returns',
    acts: [...regions, setState(V2.STOP), pread('d', BAR0, 0, 4, { lie: { kind: 'hang' } })],
    finds: [{ rule: 'R57', level: 'INFO' }],
  },
  {
    ...base,
    rule: 'R57',
    name: 'an access that fails',
    acts: [...regions, setState(V2.STOP), pread('d', BAR0, 0, 4, { fails: 'EIO', lie: errno('EIO') })],
    finds: [],
    also: ['R54'],
  },
  {
    ...base,
    rule: 'R61',
    name: 'beyond the end',
    acts: [...regions, pread('d', BAR2, 65532, 8, { lie: ok(4) })],
    finds: [{ rule: 'R61', says: /beyond region 2/ }],
  },
  {
    ...base,
    rule: 'R61',
    name: 'an area that cannot be mapped',
    acts: [...regions, mmap('d', 'config', CONFIG, 0, 4096, { fails: 'EINVAL' })],
    finds: [{ rule: 'R61', says: /no MMAP flag/ }],
  },
  {
    ...base,
    rule: 'R61',
    name: 'mapped private',
    acts: [...regions, mmap('d', 'bar', BAR2, 0, 65536, { fails: 'EINVAL', private: true })],
    finds: [{ rule: 'R61', says: /MAP_SHARED/ }],
  },
  {
    ...{ devices: one('v1-sparse'), rule: 'R61', name: 'outside the sparse areas' },
    acts: [...v1Opened, mmap('d', 'window', MIGRATION, 0, 4096, { fails: 'EINVAL' })],
    finds: [{ rule: 'R61', says: /leaves its mappable areas/ }],
  },
  {
    ...base,
    rule: 'R61',
    name: 'inside',
    acts: [...regions, bar0, pwrite('d', BAR2, 65528, 8, 1n), mmap('d', 'bar', BAR2, 4096, 8192)],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R68', name: 'a load in low power', mmio: 'trap' },
    acts: [...regions, low('LOW_POWER_ENTRY'), mmap('d', 'bar', BAR2, 0, 65536), load('bar', 0, 4)],
    finds: [{ rule: 'R68', says: /in low power/ }],
  },
  {
    ...{ ...base, rule: 'R68', name: 'mapped in low power' },
    acts: [...regions, mmap('d', 'bar', BAR2, 0, 65536), low('LOW_POWER_ENTRY')],
    finds: [{ rule: 'R68', level: 'INFO' }],
  },
  {
    ...base,
    rule: 'R68',
    name: 'unmapped in low power',
    acts: [...regions, low('LOW_POWER_ENTRY'), low('LOW_POWER_EXIT'), mmap('d', 'bar', BAR2, 0, 65536)],
    finds: [],
  },
];
