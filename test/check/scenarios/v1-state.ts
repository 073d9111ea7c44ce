// R1 to R9, R20 to R22.

import { close, errno, ioctl, ok, pread, pwrite, type Scenario, set, u32 } from '../scenario.ts';
import { MIGRATION, one, pending, readState, V1, v1Opened, writeState } from './setup.ts';

const base = { devices: one('v1-edu') };
const refuse = { fails: 'EIO', lie: errno('EIO') };

export const v1State: Scenario[] = [
  {
    ...{ ...base, rule: 'R1', name: 'half of pending_bytes' },
    acts: [...v1Opened, ...writeState(V1.PRE_COPY), pread('d', MIGRATION, 12, 4, { lie: ok(4) })],
    finds: [{ rule: 'R1', says: /4 bytes at offset 12/ }],
  },
  { ...base, rule: 'R1', name: 'whole fields', acts: [...v1Opened, ...writeState(V1.PRE_COPY), pending()], finds: [] },
  {
    ...{ ...base, rule: 'R2', name: 'RESUMING with RUNNING' },
    acts: [...v1Opened, readState(), pwrite('d', MIGRATION, 0, 4, 5, { fails: 'EINVAL' })],
    finds: [{ rule: 'R2', says: /\(5\)/ }],
  },
  {
    ...base,
    rule: 'R2',
    name: 'valid states',
    acts: [...v1Opened, ...writeState(V1.PRE_COPY), ...writeState(V1.SAVING)],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R3', name: 'written without a read' },
    acts: [...v1Opened, ...writeState(V1.PRE_COPY), pwrite('d', MIGRATION, 0, 4, V1.SAVING)],
    finds: [{ rule: 'R3', says: /without a read/ }],
  },
  {
    ...{ ...base, rule: 'R3', name: 'reserved bits dropped' },
    acts: [
      ...v1Opened,
      pread('d', MIGRATION, 0, 4, { lie: set(0, u32(0x101)) }),
      pwrite('d', MIGRATION, 0, 4, V1.PRE_COPY),
    ],
    finds: [{ rule: 'R3', says: /0x100 were read and 0x0/ }],
  },
  { ...base, rule: 'R3', name: 'read, changed, written', acts: [...v1Opened, ...writeState(V1.PRE_COPY)], finds: [] },
  {
    ...{ ...base, rule: 'R4', name: 'NDMA on a device without it' },
    acts: [...v1Opened, readState(), pwrite('d', MIGRATION, 0, 4, V1.RUNNING | V1.NDMA, { lie: ok(4) })],
    finds: [{ rule: 'R4' }],
  },
  {
    ...{ devices: one('v1-ndma'), rule: 'R4', name: 'NDMA on a device with it' },
    acts: [...v1Opened, ...writeState(V1.RUNNING | V1.NDMA)],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R5', name: 'the state changes by itself' },
    acts: [...v1Opened, ...writeState(V1.PRE_COPY), pread('d', MIGRATION, 0, 4, { lie: set(0, u32(1)) })],
    finds: [{ rule: 'R5', says: /RUNNING/ }],
  },
  {
    ...base,
    rule: 'R5',
    name: 'the state stays',
    acts: [...v1Opened, ...writeState(V1.PRE_COPY), readState()],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R6', name: 'a third state after a failure' },
    acts: [
      ...v1Opened,
      readState(),
      pwrite('d', MIGRATION, 0, 4, V1.PRE_COPY, refuse),
      pread('d', MIGRATION, 0, 4, { lie: set(0, u32(4)) }),
    ],
    finds: [{ rule: 'R6', says: /RESUMING/ }],
  },
  {
    ...{ ...base, rule: 'R6', name: 'the old state after a failure' },
    acts: [...v1Opened, readState(), pwrite('d', MIGRATION, 0, 4, V1.PRE_COPY, refuse), readState()],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R7', name: 'goes on after a failure' },
    acts: [
      ...v1Opened,
      ...writeState(V1.PRE_COPY),
      readState(),
      pwrite('d', MIGRATION, 0, 4, V1.SAVING, refuse),
      pending(),
    ],
    finds: [{ rule: 'R7' }],
  },
  {
    ...{ ...base, rule: 'R7', name: 'reads after a failure' },
    acts: [...v1Opened, readState(), pwrite('d', MIGRATION, 0, 4, V1.PRE_COPY, refuse), readState()],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R8', name: 'writes a state in ERROR' },
    acts: [
      ...v1Opened,
      readState(),
      pwrite('d', MIGRATION, 0, 4, V1.PRE_COPY, refuse),
      pread('d', MIGRATION, 0, 4, { lie: set(0, u32(6)) }),
      pwrite('d', MIGRATION, 0, 4, V1.RUNNING),
    ],
    finds: [{ rule: 'R8', says: /ERROR/ }],
  },
  {
    ...{ ...base, rule: 'R8', name: 'resets in ERROR' },
    acts: [
      ...v1Opened,
      readState(),
      pwrite('d', MIGRATION, 0, 4, V1.PRE_COPY, refuse),
      pread('d', MIGRATION, 0, 4, { lie: set(0, u32(6)) }),
      ioctl('d', 'VFIO_DEVICE_RESET'),
    ],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R9', name: 'stopped after reset' },
    acts: [
      ...v1Opened,
      ...writeState(V1.PRE_COPY),
      ioctl('d', 'VFIO_DEVICE_RESET'),
      pread('d', MIGRATION, 0, 4, { lie: set(0, u32(0)) }),
    ],
    finds: [{ rule: 'R9' }],
  },
  { ...base, rule: 'R9', name: 'running when opened', acts: [...v1Opened, readState(), close('d')], finds: [] },
  {
    ...{ ...base, rule: 'R20', name: 'reserved field has bits' },
    acts: [...v1Opened, pread('d', MIGRATION, 4, 4, { lie: set(0, u32(7)) })],
    finds: [{ rule: 'R20', says: /0x7/ }],
  },
  { ...base, rule: 'R20', name: 'reserved field is 0', acts: [...v1Opened, pread('d', MIGRATION, 4, 4)], finds: [] },
  {
    ...{ devices: one('v1-edu,precedence=v3'), rule: 'R21', name: 'RESUMING to SAVING in the order of v3' },
    acts: [...v1Opened, ...writeState(V1.RESUMING), readState(), pwrite('d', MIGRATION, 0, 4, V1.SAVING)],
    finds: [{ rule: 'R21', says: /v3 passes ERROR/ }],
    precedence: 'v3',
  },
  {
    ...{ ...base, rule: 'R21', name: 'RESUMING to SAVING in an order that is not known' },
    acts: [...v1Opened, ...writeState(V1.RESUMING), ...writeState(V1.SAVING)],
    finds: [{ rule: 'R21', says: /depends on the order/ }],
  },
  {
    ...{ ...base, rule: 'R21', name: 'RESUMING to RUNNING' },
    acts: [...v1Opened, ...writeState(V1.RESUMING), ...writeState(V1.RUNNING)],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R22', name: 'SAVING again' },
    acts: [...v1Opened, ...writeState(V1.SAVING), ...writeState(V1.SAVING)],
    finds: [{ rule: 'R22' }],
  },
  {
    ...base,
    rule: 'R22',
    name: 'another state each time',
    acts: [...v1Opened, ...writeState(V1.PRE_COPY), ...writeState(V1.SAVING)],
    finds: [],
  },
];
