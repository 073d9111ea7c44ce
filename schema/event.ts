// The ring file: what the interposer writes and the recorder drains. All numbers are little-endian.
//
//   header | queue: u32[segment_count] | … pad to segment_size … | segment 0 | segment 1 | …
//
// Segments. `queue[t % segment_count]` is the segment of ticket t. A writer takes ticket `taken` by compare-and-swap
// while taken < given; the recorder hands a drained segment back by storing it at queue[given % segment_count] and then
// adding one to `given`. At the start every segment is in the queue and given = segment_count. A segment belongs to one
// stream: one thread, one level of nesting (a signal handler that interrupts the recorder's own code writes level 1).
//
// Records. One record a call. It is entered before the call (state ENTERED) and completed in place after it (state
// DONE), each by one release store of the record's first word; so a call that never returned is in the file, and half
// the space of two records is saved. The word after the last record is 0. A record never crosses a segment:
//
//        +----------+----+-------+-------+
//   head | size u32 | op | flags | state |   size counts head, fixed part and chunks; a multiple of 8
//        +----------+----+-------+-------+
//   then the fixed part of `vrr_record` (64 bytes with the head), then chunks:
//
//        +------------+-----------+-----------+-------+-------+----------- - - -+
//   chunk| length u32 | total u32 | where u16 | phase | flags | length bytes, padded to 8
//        +------------+-----------+-----------+-------+-------+----------- - - -+
//
// What does not fit a segment goes on in records of op MORE, which follow in the same stream, each holding one chunk;
// a chunk whose `flags` has CONTINUED goes on in the next chunk of the same `where` and `phase`.

import { s32, s64, struct, u8, u16, u32, u64 } from './layout.ts';

export const RING_MAGIC = 0x31474e4952525256n; // "VRRRING1"
export const RING_VERSION = 3;

/** What the program did. Part of the trace format: append only. */
export const ops = {
  ioctl: 1,
  pread: 2,
  pwrite: 3,
  read: 4,
  write: 5,
  open: 6,
  close: 7,
  dup: 8,
  mmap: 9,
  munmap: 10,
  mremap: 11,
  poll: 12,
  sendmsg: 13,
  recvmsg: 14,
  fork: 15,
  exec: 16,
  /** A descriptor that was there already: inherited, or received and looked up. */
  attach: 17,
  eventfd: 18,
  fcntl: 19,
  /** A process came under the recorder: its constructor ran, or it was forked. */
  process: 20,
  /** A load from, or store to, a mapped region (--mmio=trap). */
  load: 21,
  store: 22,
  mprotect: 23,
  /** Bytes of memory that devices reach, as they were at a chosen point (--dma). */
  dma: 24,
  /** KVM was given an eventfd that is followed, or gave it back (schema/kvm.ts): signals that nobody reads. */
  kvm: 25,
  /** Continuation of the record before. */
  more: 30,
  /** The interposer had to let something go: `a` = loss kind, `b` = how many. */
  lost: 31,
} as const;
export type Op = keyof typeof ops;
export function opName(nr: number): Op | undefined {
  return (Object.keys(ops) as Op[]).find((o) => ops[o] === nr);
}

/** Notes of the interposer's own among the records: the program made no such call. */
export const noteOps: ReadonlySet<Op> = new Set(['process', 'attach', 'dma', 'kvm', 'more', 'lost']);

export const recordStates = { NONE: 0, ENTERED: 1, DONE: 2 } as const;
export const recordFlags = {
  /** `value` holds the bytes read or written (at most 8), zero-extended; there are no chunks. */
  INLINE: 1,
  /** readv, writev, preadv, pwritev: chunks hold the bytes in order, without the vector. */
  VECTORED: 2,
  /** Something of the argument could not be read (EFAULT) or exceeded what is kept; a chunk's total says so. */
  SHORT: 4,
  /** The MMAP flag was hidden from the program in this GET_REGION_INFO answer; the chunk is what the kernel said. */
  HIDDEN: 8,
  /** MORE records follow. */
  MORE: 16,
  /** The descriptor's kind was inferred from the request, not known. */
  INFERRED: 32,
} as const;

export const phases = { IN: 0, OUT: 1 } as const;
export const chunkFlags = { CONTINUED: 1 } as const;
/** `where` of a chunk that is not behind a pointer inside the argument. */
export const wheres = {
  /** The argument itself: the ioctl's structure, the bytes read or written. */
  ARG: 0xffff,
  /** open: the path. process: the executable's path. */
  PATH: 0xfffe,
  /** sendmsg, recvmsg, poll, mmap: the array described at the op. */
  ARRAY: 0xfffd,
} as const;

/** Why something was not kept. */
export const losses = {
  QUOTA: 1, // no segment came in time; records dropped
  FD_RANGE: 2, // descriptor number beyond the table
  RECORDER_GONE: 3, // ring file unusable
  NESTING: 4, // signal handlers nested too deep
  TOO_BIG: 5, // bytes over PAYLOAD_MAX
  MAPPED: 6, // mapped region whose loads and stores are not recorded (--mmio=pass)
  KIND_UNKNOWN: 7, // VFIO request on a descriptor of unknown kind
  PAUSED: 8, // calls made while recording was stopped (`ctl stop`)
  DMA_LIMIT: 9, // pages of DMA memory that were not looked at (--dma-limit)
  DMA_GONE: 10, // pages of DMA memory that could not be read
  UNREADABLE: 11, // memory not looked at: no fault handler may be installed under a seccomp filter, or ptrace reached none
  RAW_UNSEEN: 12, // processes and threads whose system calls outside libc could not be dispatched, though asked for
  RAW_CLONED: 13, // threads made by a raw clone(), whose own system calls are not dispatched
  TABLE_FULL: 14, // mappings, and descriptors waited for, that a table had no room for: their later calls are not recorded
} as const;

/** Points at which DMA memory is looked at; `ret` of a dma record. */
export const dmaPoints = {
  /** The program read an eventfd that a device signals. */
  interrupt: 1,
  /** Before UNMAP_DMA or IOAS_UNMAP, of what it unmaps. */
  unmap: 2,
  /** Before a change of migration state. */
  migration: 3,
  /** Before a write to a range that the user named. */
  doorbell: 4,
} as const;

/**
 * The record's fixed part. By op, `a` and `b` are:
 * ioctl: request, argument as passed. pread/pwrite: file offset, length. read/write: 0, length. open: flags, mode.
 * dup: new fd (as ret), old fd is `fd`. mmap: file offset, length (ARRAY chunk: u64 addr, length, prot, flags, offset).
 * munmap: address, length. mremap: old address, old length (ARRAY: u64 old, old_len, new_len, flags, new).
 * poll: timeout in ms (signed; epoll too), number of fds (ARRAY chunks in and out: {s32 fd, s16 events, s16 revents}).
 * sendmsg/recvmsg: number of fds passed, 0 (ARRAY chunk: {s32 fd, u32 handle} each). fork: child pid as ret.
 * eventfd: initial value, flags. fcntl: command, argument. process: pid, parent pid.
 * load/store: region offset from the mapping's file offset, width in bytes; `value` inline.
 * dma: IOVA, length; handle: container or iommufd; ret: dmaPoints. kvm: request, 0; fd: KVM's, handle: the eventfd.
 */
export const vrr_record = struct('vrr_record', {
  head: u64('in'), // size u32 | op u8 | flags u8 | state u16, written as one word
  enter: u64('in'), // clock ticks
  leave: u64('in'),
  ret: s64('in'), // -errno when the call failed
  a: u64('in'),
  b: u64('in'),
  fd: s32('in'),
  handle: u32('in'), // open file, unique in the trace; 0 unknown
  value: u64('in'), // with INLINE: the bytes. Else low half: handle that the call made (0 none), high half: its kind
});

export const vrr_chunk = struct('vrr_chunk', {
  length: u32('in'), // bytes kept
  total: u32('in'), // bytes there were
  where: u16('in'), // offset of the pointer's field in the argument, or one of `wheres`
  phase: u8('in'),
  flags: u8('in'),
  pad: u32('in'),
});

export const vrr_segment = struct('vrr_segment', {
  ticket: u64('in'), // ticket + 1, stored last with release; 0 never used
  stream: u32('in'), // unique in the file
  part: u32('in'), // 0, 1, … within the stream
  pid: u32('in'),
  tid: u32('in'),
  level: u32('in'),
  closed: u32('in'), // 1: the writer has gone on; nothing more comes
  pad: u64('in', { count: 4 }),
});

export const vrr_ring = struct('vrr_ring', {
  magic: u64('in'),
  version: u32('in'),
  header_size: u32('in'), // bytes before segment 0
  segment_size: u32('in'),
  segment_count: u32('in'),
  mmio: u32('in'), // mmioModes
  clock: u32('in'), // clocks
  clock_start: u64('in'), // ticks at the recording's start
  clock_hz: u64('in'), // ticks per second
  mono_start: u64('in'), // CLOCK_MONOTONIC ns at clock_start
  real_start: u64('in'), // CLOCK_REALTIME ns at clock_start
  flags: u32('in'),
  recorder_pid: u32('in'),
  dma: u32('in'), // dmaModes
  doorbells: u32('in'), // how many of the arrays at the end are in use
  dma_limit: u64('in'), // bytes of DMA memory looked at in one point, at most
  seccomp_filters: u64('in'), // that the recorder is under: of a container, for one
  raw: u32('in'), // rawModes
  pad_raw: u32('in'),
  pad0: u64('in', { count: 2 }),
  // One writer group a cache line.
  taken: u64('in'),
  pad1: u64('in', { count: 7 }),
  given: u64('in'),
  heartbeat: u64('in'), // the recorder adds one each time round
  populated: u64('in'), // tickets below this have their pages already
  recording: u32('in'), // recordings
  spare: u32('in'),
  pad2: u64('in', { count: 4 }),
  next_handle: u32('in'),
  next_stream: u32('in'),
  lost: u64('in', { count: 16 }), // by losses
  waits: u64('in'), // times a writer waited for a segment
  wait_ticks: u64('in'),
  pad3: u64('in', { count: 5 }),
  // The flight recorder's triggers: what asks for a dump, and what did.
  dump_on: u32('in'), // triggers, a bit each
  dump_state: u32('in'), // dumpStates
  dump_errnos: u64('in', { count: 3 }), // bit set: a call that fails with that error
  dump_reason: u32('in'), // the bit of `dump_on`
  dump_detail: u32('in'), // errno of a call that failed, number of the request otherwise
  dump_tid: u32('in'),
  pad4: u32('in'),
  dump_tick: u64('in'), // before the triggering call's `leave`
  dump_count: u64('in'), // triggers in all, those that came while one was pending included
  // Ranges of regions whose writes are points to look at DMA memory.
  doorbell_region: u32('in', { count: 8 }),
  doorbell_size: u32('in', { count: 8 }),
  doorbell_offset: u64('in', { count: 8 }),
});
export const DOORBELLS_MAX = 8;
/** hash: the memory goes through the ring all the same, the trace keeps its hash. */
export const dmaModes = { none: 0, hash: 1, pages: 2 } as const;
export type DmaMode = keyof typeof dmaModes;
/** Bytes of DMA memory looked at in one point unless the user says otherwise. */
export const DMA_LIMIT = 64 << 20;

export const recordings = {
  /** Writers pass everything through. */ OFF: 0,
  ON: 1,
  /** Accesses and polls pass through, counted as PAUSED; calls that later ones need are recorded. */ PAUSED: 2,
} as const;

/** What the interposer itself can notice. */
export const triggers = {
  /** A recorded call failed with one of `dump_errnos`. */ ERRNO: 1,
  /** A device says that its migration state is ERROR (v1: SAVING and RESUMING). */ ERROR: 2,
  /** VFIO_DEVICE_RESET or VFIO_DEVICE_PCI_HOT_RESET was called. */ RESET: 4,
} as const;
/** RAISED: the other dump_ fields are set and wait for the recorder. */
export const dumpStates = { NONE: 0, CLAIMED: 1, RAISED: 2 } as const;

export const mmioModes = { pass: 0, hide: 1, trap: 2 } as const;
export type MmioMode = keyof typeof mmioModes;
/** dispatch: system call instructions outside libc are handed to the interposer. */
export const rawModes = { off: 0, dispatch: 1 } as const;
export type RawMode = keyof typeof rawModes;
export const clocks = { TSC: 1, MONOTONIC: 2 } as const;

export const SEGMENT_SIZE = 1 << 20;
/** Bytes of the ring file unless the user says otherwise; sparse, so only what is in use costs memory. */
export const RING_QUOTA = 1 << 30;
/** Longest payload of one call that is kept, in bytes. */
export const PAYLOAD_MAX = 64 << 20;
/** Longest chunk taken of one pointer or argument whose size the caller states, before the call. */
export const ARG_MAX = 1 << 20;

/** Environment the recorder hands to the interposer. */
export const environment = { ring: 'VFIO_RR_RING', play: 'VFIO_RR_PLAY' } as const;
