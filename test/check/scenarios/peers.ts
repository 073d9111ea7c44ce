// R23, R25, R47, R48: two devices in one container.

import { dirtyPagesFlags, dmaMapFlags } from '../../../schema/container.ts';
import { type Act, address, ioctl, mmap, read, type Scenario } from '../scenario.ts';
import {
  one,
  readState,
  regionInfo,
  setState,
  two,
  V1,
  V2,
  v1Opened,
  v1OpenedTwo,
  v2OpenedTwo,
  writeState,
} from './setup.ts';

const BAR2 = 2;
/** A region of `d` is mapped for DMA: `e` can reach it. */
const peerToPeer: Act[] = [
  regionInfo('d', BAR2),
  mmap('d', 'bar', BAR2, 0, 65536),
  ioctl('c', 'VFIO_IOMMU_MAP_DMA', {
    flags: dmaMapFlags.READ | dmaMapFlags.WRITE,
    vaddr: address('bar'),
    iova: 0x1000000n,
    size: 65536n,
  }),
];
const dirty = (flags: number): Act => ioctl('c', 'VFIO_IOMMU_DIRTY_PAGES', { flags });
const { START, STOP } = dirtyPagesFlags;
const drain = (of: string): Act[] => [read(of, 1 << 20), read(of, 1 << 20)];

export const peers: Scenario[] = [
  {
    ...{ devices: two('v1-ndma'), rule: 'R23', name: 'one stops while the other runs' },
    acts: [
      ...v1OpenedTwo,
      readState('d'),
      readState('e'),
      ...writeState(V1.PRE_COPY, 'd'),
      ...writeState(V1.SAVING, 'd'),
    ],
    finds: [{ rule: 'R23', says: /is RUNNING and may do DMA/ }],
  },
  {
    ...{ devices: two('v1-edu'), rule: 'R23', name: 'peers without NDMA' },
    acts: [...v1OpenedTwo, readState('d'), readState('e'), ...writeState(V1.SAVING, 'd')],
    finds: [{ rule: 'R23', level: 'INFO', says: /no NDMA/ }],
  },
  {
    ...{ devices: two('v1-ndma'), rule: 'R23', name: 'both quiet, then both stop, and back' },
    acts: [
      ...v1OpenedTwo,
      ...writeState(V1.RUNNING | V1.NDMA, 'd'),
      ...writeState(V1.RUNNING | V1.NDMA, 'e'),
      ...writeState(V1.STOP | V1.NDMA, 'd'),
      ...writeState(V1.STOP | V1.NDMA, 'e'),
      ...writeState(V1.RUNNING | V1.NDMA, 'd'),
      ...writeState(V1.RUNNING | V1.NDMA, 'e'),
      ...writeState(V1.RUNNING, 'd'),
      ...writeState(V1.RUNNING, 'e'),
    ],
    finds: [],
  },
  {
    ...{ devices: one('v1-ndma'), rule: 'R25', name: 'tracking stops before the device does' },
    acts: [...v1Opened, dirty(START), ...writeState(V1.PRE_COPY, 'd'), dirty(STOP), ...writeState(V1.SAVING, 'd')],
    finds: [{ rule: 'R25', says: /goes on to SAVING/ }],
  },
  {
    ...{ devices: one('v1-ndma'), rule: 'R25', name: 'tracking stops after the device' },
    acts: [...v1Opened, dirty(START), ...writeState(V1.PRE_COPY, 'd'), ...writeState(V1.SAVING, 'd'), dirty(STOP)],
    finds: [],
  },
  {
    ...{ devices: two('v2-p2p'), rule: 'R47', name: 'one stops while the other runs' },
    acts: [...v2OpenedTwo, ...peerToPeer, setState(V2.STOP, undefined, 'd')],
    finds: [{ rule: 'R47', says: /goes to STOP while its peer 0000:00:05.0 is in RUNNING/ }],
  },
  {
    ...{ devices: two('v2-p2p'), rule: 'R47', name: 'no region is mapped for DMA' },
    acts: [...v2OpenedTwo, setState(V2.STOP, undefined, 'd')],
    finds: [{ rule: 'R47', level: 'INFO' }],
  },
  {
    ...{ devices: two('v2-p2p'), rule: 'R47', name: 'in step' },
    acts: [
      ...v2OpenedTwo,
      ...peerToPeer,
      setState(V2.RUNNING_P2P, undefined, 'd'),
      setState(V2.RUNNING_P2P, undefined, 'e'),
      setState(V2.STOP_COPY, 's', 'd'),
      setState(V2.STOP_COPY, 't', 'e'),
      ...drain('s'),
      ...drain('t'),
      setState(V2.RUNNING_P2P, undefined, 'd'),
      setState(V2.RUNNING_P2P, undefined, 'e'),
      setState(V2.RUNNING, undefined, 'd'),
      setState(V2.RUNNING, undefined, 'e'),
    ],
    finds: [],
  },
  {
    ...{ devices: two('v2-p2p', 'v2-stop-copy'), rule: 'R48', name: 'a device without P2P' },
    acts: [...v2OpenedTwo, ...peerToPeer, setState(V2.STOP, undefined, 'd')],
    finds: [{ rule: 'R48', says: /0000:00:05.0 cannot hold/ }],
  },
  {
    ...{ devices: two('v2-p2p', 'v2-stop-copy'), rule: 'R48', name: 'none can reach another' },
    acts: [...v2OpenedTwo, setState(V2.STOP, undefined, 'd')],
    finds: [],
  },
];
