// The play transport: how the library inside a played program (native/play) asks the server that answers instead of the
// kernel. One directory (environment.play names it), made by the server:
//
//   requests      FIFO: every thread of every process writes whole requests, each at most PIPE_BUF bytes, so they never mix
//   reply/PID.TID FIFO, made by the thread that asks; the server writes its replies there
//   fd/KIND.N     the file (data, pgfault, veventq: FIFO) that a played descriptor of handle N really is
//   ram/N         device memory that the program maps
//   root/         what the program sees instead of /dev and /sys
//
// The server reads and writes the program's memory through /proc/PID/mem, so a request carries addresses; only short
// reads and writes carry their bytes.

import { s32, s64, struct, u16, u32, u64 } from './layout.ts';

export const PLAY_VERSION = 1;
/** Longest request with its data: PIPE_BUF, up to which a pipe keeps writes whole (pipe(7)). */
export const PLAY_REQUEST_MAX = 4096;
/** Bytes of a read or write that travel in the message itself. */
export const PLAY_INLINE_MAX = 3072;
/** Eventfds that one reply can signal. */
export const PLAY_SIGNALS_MAX = 64;

/** Meanings of a, b, c by op. `data`: what follows the request, `>` what follows the reply. */
export const playOps = {
  /** A thread speaks for the first time. `a`: PLAY_VERSION; `b`: parent's pid; `c`: 1 from a new process or program. */
  hello: 1,
  /** `a`: flags; `b`: mode; data: the path. */
  open: 2,
  /** `a`: request; `b`: argument. */
  ioctl: 3,
  /** `a`: offset; `b`: length; `c`: address. > the bytes, if at most PLAY_INLINE_MAX. */
  pread: 4,
  /** `a`: offset; `b`: length; `c`: address; data: the bytes, if at most PLAY_INLINE_MAX. */
  pwrite: 5,
  /** As pread and pwrite, with no offset; `a`: the descriptor's O_NONBLOCK. */
  read: 6,
  write: 7,
  /** The descriptor was closed already. Its handle is released when no process holds it any more. */
  close: 8,
  /** `a`: offset; `b`: length; `c`: prot | flags << 32. The program maps ram/MADE_HANDLE at the offset in the answer's ret. */
  mmap: 9,
  /** The descriptor was put into a message: it may be held by nobody for a while. */
  sent: 10,
  /** Answered when eventfds are to be signalled that no reply to another call of this process can carry. */
  wait: 11,
  /** Answers a reply that said PLAY_INSTALL. `a`: the new descriptor's number, or -errno. */
  installed: 14,
  /** A mapping that was trapped is gone. */
  unmap: 15,
  /** From the server itself: the virtual clock may go on. No reply. */
  tick: 12,
  /** From the server itself: the program ended. No reply. */
  end: 13,
} as const;

export const play_request = struct('play_request', {
  size: u32('in'), // with the data
  op: u16('in'),
  pad: u16('in'),
  pid: u32('in'),
  tid: u32('in'),
  seq: u32('in'),
  handle: u32('in'),
  fd: s32('in'),
  length: u32('in'), // of the data
  a: u64('in'),
  b: u64('in'),
  c: u64('in'),
  d: u64('in'),
});

/** Followed by `signals` s32 (eventfds as the program numbered them at SET_IRQS), then `length` bytes. */
export const play_reply = struct('play_reply', {
  size: u32('in'), // with signals and data
  seq: u32('in'),
  ret: s64('in'), // -errno on failure
  signals: u32('in'),
  kind: u16('in'), // install: fdKinds
  flags: u16('in'), // playFlags
  handle: u32('in'), // install: of the new descriptor; mmap: the file in ram/
  length: u32('in'),
});

export const playFlags = {
  /** Not the answer yet: make a descriptor of `kind` for `handle`, say `installed`, and read on. */
  INSTALL: 1,
  /** mmap: loads and stores have effects, so each is to be asked for. */
  TRAP: 2,
} as const;
