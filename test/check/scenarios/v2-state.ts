// R26 to R29, R32 to R36, R46.

import { migStates } from '../../../schema/features.ts';
import { type Act, close, errno, feature, ioctl, ok, read, type Scenario, set, u32 } from '../scenario.ts';
import { getState, migrationFlags, one, opened, setState, V2, v2Opened } from './setup.ts';

const base = { devices: one('v2-full') };
const DATA = 8; // of struct vfio_device_feature
const answer = (state: number): Act => feature('d', 'GET', 'MIG_DEVICE_STATE', {}, { lie: set(DATA, u32(state)) });
/** SET that the driver refuses half way. */
const failing = (state: number): Act =>
  feature('d', 'SET', 'MIG_DEVICE_STATE', { device_state: state }, { fails: 'EIO', lie: errno('EIO') });
const lying = (state: number): Act =>
  feature('d', 'SET', 'MIG_DEVICE_STATE', { device_state: state, data_fd: -1 }, { lie: ok() });
const refused = (state: number): Act =>
  feature('d', 'SET', 'MIG_DEVICE_STATE', { device_state: state }, { fails: 'EINVAL' });
const drained: Act[] = [
  ...v2Opened,
  setState(V2.STOP_COPY, 's'),
  read('s', 1 << 20),
  read('s', 1 << 20),
  setState(V2.STOP),
  close('s'),
];
const reset = ioctl('d', 'VFIO_DEVICE_RESET');

export const v2State: Scenario[] = [
  {
    ...{ ...base, rule: 'R26', name: 'STOP_COPY to PRE_COPY succeeds' },
    acts: [...v2Opened, setState(V2.STOP_COPY, 's'), lying(V2.PRE_COPY)],
    finds: [{ rule: 'R26', says: /PRE_COPY succeeds from STOP_COPY/ }],
  },
  { ...base, rule: 'R26', name: 'allowed transitions', acts: drained, finds: [] },
  {
    ...base,
    rule: 'R27',
    name: 'ERROR',
    acts: [...v2Opened, refused(migStates.ERROR)],
    finds: [{ rule: 'R27', says: /ERROR/ }],
  },
  {
    ...base,
    rule: 'R27',
    name: 'a number that is no state',
    acts: [...v2Opened, refused(8)],
    finds: [{ rule: 'R27', says: /no state/ }],
  },
  {
    ...{ devices: one('v2-stop-copy'), rule: 'R27', name: 'PRE_COPY without its flag' },
    acts: [...v2Opened, refused(V2.PRE_COPY)],
    finds: [{ rule: 'R27', says: /do not offer/ }],
  },
  { ...base, rule: 'R27', name: 'states that exist', acts: drained, finds: [] },
  {
    ...{ ...base, rule: 'R28', name: 'back to pre-copy' },
    acts: [...v2Opened, setState(V2.STOP_COPY, 's'), refused(V2.PRE_COPY_P2P)],
    finds: [{ rule: 'R28' }],
  },
  { ...base, rule: 'R28', name: 'on to STOP', acts: drained, finds: [] },
  {
    ...{ ...base, rule: 'R29', name: 'no descriptor where a session opens' },
    acts: [...v2Opened, lying(V2.PRE_COPY)],
    finds: [{ rule: 'R29', says: /answers no data_fd/ }],
  },
  {
    ...{ ...base, rule: 'R29', name: 'a descriptor where none opens' },
    acts: [
      ...v2Opened,
      feature('d', 'SET', 'MIG_DEVICE_STATE', { device_state: V2.STOP }, { lie: set(DATA + 4, u32(33)) }),
    ],
    finds: [{ rule: 'R29', says: /data_fd 33/ }],
  },
  { ...base, rule: 'R29', name: 'descriptors where they belong', acts: [...drained, getState()], finds: [] },
  {
    ...{ ...base, rule: 'R32', name: 'the state changes by itself' },
    acts: [...v2Opened, setState(V2.STOP), answer(V2.RUNNING)],
    finds: [{ rule: 'R32', says: /RUNNING, although STOP/ }],
  },
  { ...base, rule: 'R32', name: 'the state stays', acts: [...v2Opened, setState(V2.STOP), getState()], finds: [] },
  {
    ...{ ...base, rule: 'R33', name: 'a state off the path' },
    acts: [...v2Opened, failing(V2.STOP_COPY), answer(V2.RESUMING)],
    finds: [{ rule: 'R33', says: /RESUMING; possible are RUNNING, RUNNING_P2P, STOP, ERROR/ }],
  },
  {
    ...base,
    rule: 'R33',
    name: 'a state on the path',
    acts: [...v2Opened, failing(V2.STOP_COPY), answer(V2.RUNNING_P2P)],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R34', name: 'SET after a failed SET' },
    acts: [...v2Opened, failing(V2.STOP_COPY), setState(V2.RUNNING)],
    finds: [{ rule: 'R34', says: /without GET; the state may be RUNNING, RUNNING_P2P, STOP, ERROR/ }],
  },
  {
    ...base,
    rule: 'R34',
    name: 'GET after a failed SET',
    acts: [...v2Opened, failing(V2.STOP_COPY), getState()],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R35', name: 'SET in ERROR' },
    acts: [...v2Opened, failing(V2.STOP_COPY), answer(V2.ERROR), lying(V2.RUNNING)],
    finds: [{ rule: 'R35' }],
  },
  {
    ...base,
    rule: 'R35',
    name: 'RESET in ERROR',
    acts: [...v2Opened, failing(V2.STOP_COPY), answer(V2.ERROR), reset],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R36', name: 'stopped after RESET' },
    acts: [...v2Opened, setState(V2.STOP), reset, answer(V2.STOP)],
    finds: [{ rule: 'R36', says: /STOP/ }],
  },
  {
    ...base,
    rule: 'R36',
    name: 'running after RESET',
    acts: [...v2Opened, setState(V2.STOP), reset, getState()],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R46', name: 'P2P without STOP_COPY' },
    acts: [...opened, feature('d', 'GET', 'MIGRATION', {}, { lie: set(DATA, u32(2)) })],
    finds: [{ rule: 'R46', says: /0x2/ }],
  },
  { ...base, rule: 'R46', name: 'all three', acts: [...opened, migrationFlags()], finds: [] },
];
