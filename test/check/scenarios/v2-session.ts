// R30, R31, R37 to R45. The device v2-full saves 65920 bytes in pre-copy and 4168 after it.

import { type Act, close, errno, feature, ioctl, ok, read, type Scenario, set, u32, u64, write } from '../scenario.ts';
import { one, setState, V2, v2Opened } from './setup.ts';

const base = { devices: one('v2-full') };
const MUCH = 1 << 20;
const all = (of: string, keep?: string): Act[] => [read(of, MUCH, keep ? { keep } : {}), read(of, MUCH)];
const info = (of = 's'): Act => ioctl(of, 'VFIO_MIG_GET_PRECOPY_INFO', {});
const lyingInfo = (initial: number, flags = 0): Act =>
  ioctl('s', 'VFIO_MIG_GET_PRECOPY_INFO', {}, { lie: set(4, Buffer.concat([u32(flags), u64(initial)])) });
const temporaryEnd = read('s', MUCH, { fails: 'ENOMSG' });
const stopCopy: Act[] = [...v2Opened, setState(V2.STOP_COPY, 's'), ...all('s'), setState(V2.STOP), close('s')];
const preCopy: Act[] = [...v2Opened, setState(V2.PRE_COPY, 's')];
const whole: Act[] = [
  ...preCopy,
  info(),
  read('s', MUCH),
  temporaryEnd,
  info(),
  setState(V2.STOP_COPY),
  ...all('s'),
  setState(V2.STOP),
  close('s'),
];
const save: Act[] = [
  ...v2Opened,
  setState(V2.STOP_COPY, 's'),
  read('s', 30000, { keep: 'a' }),
  read('s', MUCH, { keep: 'b' }),
  read('s', MUCH),
  setState(V2.STOP),
  close('s'),
];
const gone = { fails: 'ENODEV' };

export const v2Session: Scenario[] = [
  {
    ...{ ...base, rule: 'R30', name: 'read after the session' },
    acts: [...v2Opened, setState(V2.STOP_COPY, 's'), ...all('s'), setState(V2.STOP), read('s', 8, gone), close('s')],
    finds: [{ rule: 'R30', says: /read after its session/ }],
  },
  {
    ...{ ...base, rule: 'R30', name: 'never closed' },
    acts: [...v2Opened, setState(V2.STOP_COPY, 's'), ...all('s'), setState(V2.STOP), setState(V2.STOP_COPY, 't')],
    finds: [{ rule: 'R30', says: /never closed/ }],
  },
  { ...base, rule: 'R30', name: 'closed after the session', acts: stopCopy, finds: [] },
  {
    ...{ ...base, rule: 'R31', name: 'read works after the session' },
    acts: [
      ...v2Opened,
      setState(V2.STOP_COPY, 's'),
      ...all('s'),
      setState(V2.STOP),
      read('s', 8, { lie: ok(8) }),
      close('s'),
    ],
    finds: [{ rule: 'R31' }],
  },
  {
    ...{ ...base, rule: 'R31', name: 'read fails after RESET' },
    acts: [
      ...v2Opened,
      setState(V2.STOP_COPY, 's'),
      ioctl('d', 'VFIO_DEVICE_RESET'),
      read('s', 8, { ...gone, lie: errno('ENODEV') }),
    ],
    finds: [],
    also: ['R30'],
  },
  {
    ...{ ...base, rule: 'R37', name: 'the whole stream, cut otherwise' },
    acts: save,
    destination: [
      ...v2Opened,
      setState(V2.RESUMING, 'r'),
      write('r', 'a'),
      write('r', 'b'),
      setState(V2.RUNNING),
      close('r'),
    ],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R37', name: 'out of order' },
    acts: save,
    destination: [
      ...v2Opened,
      setState(V2.RESUMING, 'r'),
      write('r', 'b', { lie: ok(40088) }),
      write('r', 'a', { lie: ok(30000) }),
      feature('d', 'SET', 'MIG_DEVICE_STATE', { device_state: V2.RUNNING, data_fd: -1 }, { lie: ok() }),
    ],
    finds: [{ rule: 'R37', says: /not fed the stream/ }],
  },
  {
    ...{ ...base, rule: 'R37', name: 'the end is missing' },
    acts: save,
    destination: [
      ...v2Opened,
      setState(V2.RESUMING, 'r'),
      write('r', 'a'),
      feature('d', 'SET', 'MIG_DEVICE_STATE', { device_state: V2.RUNNING, data_fd: -1 }, { lie: ok() }),
    ],
    finds: [{ rule: 'R37', says: /30000 of \d+ bytes/ }],
  },
  { ...base, rule: 'R37', name: 'only the source', acts: save, finds: [], undecidable: /both ends/ },
  {
    ...{ ...base, rule: 'R38', name: 'STOP_COPY left too early' },
    acts: [...v2Opened, setState(V2.STOP_COPY, 's'), read('s', 4096), setState(V2.STOP), close('s')],
    finds: [{ rule: 'R38', says: /after 4096 bytes/ }],
  },
  { ...base, rule: 'R38', name: 'read to its end', acts: stopCopy, finds: [] },
  {
    ...{ ...base, rule: 'R39', name: 'ENOMSG in STOP_COPY' },
    acts: [
      ...v2Opened,
      setState(V2.STOP_COPY, 's'),
      read('s', MUCH),
      read('s', MUCH, { fails: 'ENOMSG', lie: errno('ENOMSG') }),
    ],
    finds: [{ rule: 'R39' }],
  },
  { ...base, rule: 'R39', name: '0 at the end', acts: stopCopy, finds: [] },
  {
    ...{ devices: one('v2-zero'), rule: 'R40', name: '0 at the temporary end' },
    acts: [...preCopy, read('s', MUCH), read('s', MUCH)],
    finds: [{ rule: 'R40' }],
  },
  {
    ...base,
    rule: 'R40',
    name: 'ENOMSG at the temporary end',
    acts: [...preCopy, read('s', MUCH), temporaryEnd],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R41', name: 'in STOP_COPY' },
    acts: [...v2Opened, setState(V2.STOP_COPY, 's'), ioctl('s', 'VFIO_MIG_GET_PRECOPY_INFO', {}, { fails: 'EINVAL' })],
    finds: [{ rule: 'R41', says: /STOP_COPY/ }],
  },
  { ...base, rule: 'R41', name: 'in PRE_COPY', acts: whole, finds: [] },
  {
    ...base,
    rule: 'R42',
    name: 'grows',
    acts: [...preCopy, lyingInfo(100), lyingInfo(200)],
    finds: [{ rule: 'R42', says: /from 100 to 200/ }],
  },
  {
    ...base,
    rule: 'R42',
    name: 'begins at 0',
    acts: [...preCopy, lyingInfo(0)],
    finds: [{ rule: 'R42', says: /begins at 0/ }],
  },
  { ...base, rule: 'R42', name: 'falls', acts: whole, finds: [] },
  { ...base, rule: 'R43', name: 'REINIT unasked', acts: [...preCopy, lyingInfo(100, 1)], finds: [{ rule: 'R43' }] },
  { ...base, rule: 'R43', name: 'no REINIT', acts: whole, finds: [] },
  {
    ...base,
    rule: 'R44',
    name: 'initial_bytes unread',
    acts: [...preCopy, info(), setState(V2.STOP_COPY)],
    finds: [{ rule: 'R44', says: /unread/ }],
  },
  { ...base, rule: 'R44', name: 'initial_bytes read', acts: whole, finds: [] },
  {
    ...{ ...base, rule: 'R45', name: 'not implemented' },
    acts: [...preCopy, ioctl('s', 'VFIO_MIG_GET_PRECOPY_INFO', {}, { fails: 'ENOTTY', lie: errno('ENOTTY') })],
    finds: [{ rule: 'R45' }],
  },
  { ...base, rule: 'R45', name: 'implemented', acts: whole, finds: [] },
];
