// Flags and arrays of the system calls that are not ioctls. Numbers: Linux on x86 and arm64 (asm-generic/fcntl.h,
// mman-common.h, poll.h), which have them in common.

import { type Bits, s32, struct, u16, u32, u64 } from '../../schema/layout.ts';
import { bitNames } from './scalar.ts';

const bits = (prefix: string, names: Record<string, number>): Bits => ({
  prefix,
  bits: Object.fromEntries(Object.entries(names).map(([k, v]) => [`${prefix}${k}`, v])),
});
const openBits = bits('O_', {
  RDWR: 2,
  WRONLY: 1,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  NONBLOCK: 0o4000,
  CLOEXEC: 0o2000000,
});
const protBits = bits('PROT_', { READ: 1, WRITE: 2, EXEC: 4 });
const mapBits = bits('MAP_', {
  SHARED: 1,
  PRIVATE: 2,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  POPULATE: 0x8000,
  NORESERVE: 0x4000,
});
const eventfdBits = bits('EFD_', { SEMAPHORE: 1, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 });
const pollBits = bits('POLL', { IN: 1, PRI: 2, OUT: 4, ERR: 8, HUP: 16, NVAL: 32 });
const fcntlNames: Readonly<Record<number, string>> = {
  0: 'F_DUPFD',
  1: 'F_GETFD',
  2: 'F_SETFD',
  3: 'F_GETFL',
  4: 'F_SETFL',
  1030: 'F_DUPFD_CLOEXEC',
};

export const openFlags = (n: number): string =>
  n & 3 ? bitNames(openBits, n) : `O_RDONLY${n ? `|${bitNames(openBits, n)}` : ''}`;
export const protFlags = (n: number): string => (n === 0 ? 'PROT_NONE' : bitNames(protBits, n));
export const mapFlags = (n: number): string => bitNames(mapBits, n);
export const eventfdFlags = (n: number): string => bitNames(eventfdBits, n);
export const pollFlags = (n: number): string => bitNames(pollBits, n);
export const fcntlName = (n: number): string => fcntlNames[n] ?? String(n);

/** ARRAY chunks (schema/event.ts, at vrr_record). */
export const mmapArray = struct('mmap', {
  addr: u64('in'),
  length: u64('in'),
  prot: u64('in'),
  flags: u64('in'),
  offset: u64('in'),
});
export const mremapArray = struct('mremap', {
  old: u64('in'),
  old_len: u64('in'),
  new_len: u64('in'),
  flags: u64('in'),
  new: u64('out'),
});
export const passedArray = struct('passed', { fd: s32('in'), handle: u32('in') });
export const pollArray = struct('pollfd', { fd: s32('in'), events: u16('in'), revents: u16('out') });
