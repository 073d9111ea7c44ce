// R10 to R19. The device v1-edu saves its state in three segments of these sizes, at 4096.

import { type Act, errno, mmap, ok, pread, pwrite, type Scenario, set, u64 } from '../scenario.ts';
import { dataOffset, dataSize, MIGRATION, one, pending, readState, V1, v1Opened, writeState } from './setup.ts';

const SEGMENTS = [28840, 28840, 12408];
const AT = 4096;
const base = { devices: one('v1-edu') };
const data = (length: number, keep?: string): Act => pread('d', MIGRATION, AT, length, keep ? { keep } : {});
/** One whole iteration, without its acknowledgement. */
const iterate = (length: number, keep?: string): Act[] => [dataOffset(), dataSize(), data(length, keep)];
const names = ['s0', 's1', 's2'];
const save: Act[] = [
  ...v1Opened,
  ...writeState(V1.SAVING),
  pending(),
  ...SEGMENTS.flatMap((length, i) => [...iterate(length, names[i]), pending()]),
  ...writeState(V1.STOP),
];
const put = (keep: string, length: number): Act[] => [
  dataOffset(),
  pwrite('d', MIGRATION, AT, length, keep),
  pwrite('d', MIGRATION, 24, 8, BigInt(length)),
];
const resume = (parts: readonly (readonly [string, number])[]): Act[] => [
  ...v1Opened,
  ...writeState(V1.RESUMING),
  ...parts.flatMap(([keep, length]) => put(keep, length)),
  ...writeState(V1.RUNNING),
];
const inOrder = names.map((n, i): [string, number] => [n, SEGMENTS[i] as number]);
const saving: Act[] = [...v1Opened, ...writeState(V1.SAVING)];

export const v1Data: Scenario[] = [
  {
    ...{ ...base, rule: 'R10', name: 'data_size before data_offset' },
    acts: [...saving, pending(), dataSize()],
    finds: [{ rule: 'R10', says: /data_size is read before data_offset/ }],
  },
  {
    ...{ ...base, rule: 'R10', name: 'no acknowledgement' },
    acts: [...saving, pending(), ...iterate(SEGMENTS[0] as number), dataOffset()],
    finds: [{ rule: 'R10', says: /acknowledged/ }],
  },
  { ...base, rule: 'R10', name: 'a whole save', acts: save, finds: [] },
  {
    ...{ ...base, rule: 'R11', name: 'iterates at 0' },
    acts: [...saving, pread('d', MIGRATION, 8, 8, { lie: set(0, u64(0)) }), dataOffset()],
    finds: [{ rule: 'R11' }],
  },
  { ...base, rule: 'R11', name: 'iterates while there is something', acts: save, finds: [] },
  {
    ...{ ...base, rule: 'R12', name: 'data_size changes' },
    acts: [...saving, pending(), dataOffset(), dataSize(), pread('d', MIGRATION, 24, 8, { lie: set(0, u64(4096)) })],
    finds: [{ rule: 'R12', says: /data_size read as 28840 and then as 4096/ }],
  },
  {
    ...{ ...base, rule: 'R12', name: 'repeated reads agree' },
    acts: [...saving, pending(), pending(), dataOffset(), dataOffset(), dataSize(), dataSize()],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R13', name: 'data_offset 0' },
    acts: [...saving, pending(), pread('d', MIGRATION, 16, 8, { lie: set(0, u64(0)) })],
    finds: [{ rule: 'R13', says: /data_offset is 0/ }],
  },
  {
    ...{ ...base, rule: 'R13', name: 'segment beyond the region' },
    acts: [...saving, pending(), dataOffset(), pread('d', MIGRATION, 24, 8, { lie: set(0, u64(0x100000)) })],
    finds: [{ rule: 'R13', says: /beyond the region/ }],
  },
  {
    ...{ devices: one('v1-mmap'), rule: 'R13', name: 'not page aligned in a mappable area' },
    acts: [...saving, pending(), pread('d', MIGRATION, 16, 8, { lie: set(0, u64(0x1010)) })],
    finds: [{ rule: 'R13', says: /page aligned/ }],
  },
  { ...base, rule: 'R13', name: 'segments inside', acts: save, finds: [] },
  {
    ...{ ...base, rule: 'R14', name: 'acknowledged too early' },
    acts: [...saving, pending(), dataOffset(), dataSize(), data(4096), pending()],
    finds: [{ rule: 'R14', says: /from 0x2000 on/ }],
  },
  {
    ...{ ...base, rule: 'R14', name: 'read in pieces, backwards' },
    acts: [
      ...saving,
      pending(),
      dataOffset(),
      dataSize(),
      pread('d', MIGRATION, AT + 8192, 20648),
      pread('d', MIGRATION, AT, 8192),
      pending(),
    ],
    finds: [],
  },
  {
    ...{ devices: one('v1-mmap'), rule: 'R14', name: 'read through a mapping' },
    acts: [...saving, mmap('d', 'window', MIGRATION, AT, 32768), pending(), dataOffset(), dataSize(), pending()],
    finds: [],
    undecidable: /mapped/,
  },
  {
    ...base,
    rule: 'R15',
    name: 'pending_bytes while running',
    acts: [...v1Opened, readState(), pread('d', MIGRATION, 8, 8, { lie: ok(8) })],
    finds: [{ rule: 'R15', says: /pending_bytes is used in state RUNNING/ }],
  },
  { ...base, rule: 'R15', name: 'while saving', acts: save, finds: [] },
  {
    ...{ ...base, rule: 'R16', name: 'stops too early' },
    acts: [...saving, pending(), ...iterate(SEGMENTS[0] as number), pending(), ...writeState(V1.STOP)],
    finds: [{ rule: 'R16', says: /last pending_bytes at 41248/ }],
  },
  { ...base, rule: 'R16', name: 'stops at 0', acts: save, finds: [] },
  {
    ...{ ...base, rule: 'R17', name: 'refuses to stop' },
    acts: [
      ...v1Opened,
      ...writeState(V1.PRE_COPY),
      pending(),
      readState(),
      pwrite('d', MIGRATION, 0, 4, V1.SAVING, { fails: 'EBUSY', lie: errno('EBUSY') }),
    ],
    finds: [{ rule: 'R17' }],
  },
  {
    ...base,
    rule: 'R17',
    name: 'stops with data pending',
    acts: [...v1Opened, ...writeState(V1.PRE_COPY), pending(), ...writeState(V1.SAVING)],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R18', name: 'data before data_offset' },
    acts: [...v1Opened, ...writeState(V1.RESUMING), pwrite('d', MIGRATION, AT, 64, Buffer.alloc(64), { lie: ok(64) })],
    finds: [{ rule: 'R18', says: /before data_offset/ }],
  },
  {
    ...{ ...base, rule: 'R18', name: 'data_size of more than was written' },
    acts: [
      ...v1Opened,
      ...writeState(V1.RESUMING),
      dataOffset(),
      pwrite('d', MIGRATION, AT, 64, Buffer.alloc(64), { lie: ok(64) }),
      pwrite('d', MIGRATION, 24, 8, 128, { lie: ok(8) }),
    ],
    finds: [{ rule: 'R18', says: /data_size 128 is written after 64 bytes/ }],
  },
  { ...base, rule: 'R18', name: 'a whole resume', acts: save, destination: resume(inOrder), finds: [] },
  { ...base, rule: 'R19', name: 'every segment', acts: save, destination: resume(inOrder), finds: [] },
  {
    ...{ ...base, rule: 'R19', name: 'a segment split in two' },
    acts: save,
    destination: [
      ...v1Opened,
      ...writeState(V1.RESUMING),
      ...put('s0', 28840),
      ...put('s1', 28840),
      dataOffset(),
      pwrite('d', MIGRATION, AT, 4096, 's2'),
      pwrite('d', MIGRATION, 24, 8, 4096n, { lie: ok(8) }),
      dataOffset(),
      pwrite('d', MIGRATION, AT, 8312, Buffer.alloc(8312)),
      pwrite('d', MIGRATION, 24, 8, 8312n, { lie: ok(8) }),
      readState(),
      pwrite('d', MIGRATION, 0, 4, V1.RUNNING, { lie: ok(4) }),
    ],
    finds: [{ rule: 'R19', says: /3 segments were written as 4/ }],
  },
  {
    ...{ ...base, rule: 'R19', name: 'a segment is missing' },
    acts: save,
    destination: [
      ...v1Opened,
      ...writeState(V1.RESUMING),
      ...put('s0', 28840),
      ...put('s1', 28840),
      readState(),
      pwrite('d', MIGRATION, 0, 4, V1.RUNNING, { lie: ok(4) }),
    ],
    finds: [{ rule: 'R19', says: /2 of 3 segments/ }],
  },
  { ...base, rule: 'R19', name: 'only the source', acts: save, finds: [], undecidable: /both ends/ },
];
