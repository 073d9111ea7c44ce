// The agent's protocol: frames over a pipe, little-endian. The replayer writes requests, the agent performs each in
// order and answers each with one reply; nothing waits for the other side but the pipe itself, so a batch is any number
// of requests written together. The agent keeps what the kernel hands out (descriptors, object ids) and the memory it
// allocates in numbered slots, so a later request of the same batch can name them before the reply has come back.
//
//   request: header | parts …      part: header | length bytes, padded to 8
//   reply:   header | parts …
//
// The agent's first frame, before any request, is a reply with tag AGENT_HELLO whose one part (ARG) is
// "vfio-rr-agent VERSION\nuname -srm\n". It exits when its input ends, closing everything it opened.

import { s64, struct, u16, u32, u64 } from './layout.ts';

export const AGENT_VERSION = 1;
export const AGENT_HELLO = 0xffffffff;
/** Longest frame that either side takes. */
export const FRAME_MAX = 80 << 20;

/** The ops of event.ts that an agent performs (ioctl … fcntl) keep their numbers; these are its own. */
export const agentOps = {
  /** Allocate memory slot `subject`: `a` bytes, page-aligned, zeroed; `b` = 1 asks for the lowest 4 GiB. */
  memory: 100,
  /** Free it. */
  free: 101,
  /** Sleep `a` ns. */
  sleep: 102,
  /** Read `b` bytes at offset `a` of memory slot `subject` (reply ARG) / write the ARG part there. */
  peek: 103,
  poke: 104,
  /** Where the symbolic link whose path is ARG points (reply ARG). A host's sysfs only; an emulator answers -ENOENT. */
  link: 105,
  /** Names in the directory whose path is ARG, each ended by a NUL (reply ARG). */
  list: 106,
} as const;

/** `flags` of a request. */
export const agentFlags = {
  /**
   * read, pread: the bytes that are awaited are in ARG; read again until they come, for at most `timeout` ms. The reply
   * has the last bytes read. Lets a device that is still busy catch up; a target whose time is virtual may ignore it.
   */
  UNTIL: 1,
  /** read, write, pread, pwrite of `b` bytes: with a buffer that is nowhere, as the recorded one was (EFAULT). */
  FAULT: 2,
} as const;

/**
 * `subject` is the slot of the descriptor the call is made on (for open, eventfd, dup: the slot that is filled; dup's
 * source is `a`). `a`, `b` as in vrr_record, with these differences:
 * - ioctl: without an ARG part `b` is the argument itself.
 * - poll: ARG is the pollfds; `revents` in it are what is awaited. With a timeout poll goes on until all of them are
 *   there; without one it looks once.
 * - mmap: ARG is the record's {u64 addr, length, prot, flags, offset}; the address is the kernel's choice.
 * - munmap: `subject` is a memory slot, `a` an offset in it.
 * `timeout`: read and poll wait for readiness at most so many ms, then give -ETIMEDOUT (0: as the descriptor does by
 * itself). A request that names an empty slot is not performed: -EBADF (descriptor), -ENOENT (id), -EFAULT (memory).
 */
export const agent_request = struct('agent_request', {
  size: u32('in'), // with this header and all parts
  op: u16('in'),
  flags: u16('in'),
  tag: u32('in'), // given back in the reply
  subject: u32('in'),
  a: u64('in'),
  b: u64('in'),
  timeout: u32('in'),
  parts: u32('in'),
});

export const agentParts = {
  /**
   * The argument: the ioctl's structure, bytes to write, path (open, NUL-terminated), pollfds. Sent back as it is after;
   * read and pread send back what was read, write, open and mmap nothing.
   */
  ARG: 1,
  /** Memory behind the pointer at `at` in ARG: `length` bytes follow; its address is written into ARG. Sent back after. */
  BUFFER: 2,
  /** Like BUFFER, but `slot` bytes of zeroes are meant and length is 0. */
  ZEROES: 3,
  /** Write the descriptor in `slot` as s32 at `at` of ARG. */
  FD: 4,
  /** Write the object id in `slot` as u32 at `at` of ARG. */
  ID: 5,
  /** Write the address of memory `slot` plus the u64 that follows, as u64 at `at` of ARG. */
  ADDRESS: 6,
  /** After success, keep the descriptor at `at` of ARG (s32; RET: the result) in `slot`. */
  KEEP_FD: 7,
  /** After success, keep the u32 at `at` of ARG in `slot`. */
  KEEP_ID: 8,
  /** mmap: keep the mapping in memory `slot`. */
  KEEP_MEMORY: 9,
} as const;
export const RET = 0xffffffff;

export const agent_part = struct('agent_part', {
  type: u16('in'),
  pad: u16('in'),
  at: u32('in'),
  slot: u32('in'),
  length: u32('in'),
});

export const agent_reply = struct('agent_reply', {
  size: u32('in'),
  tag: u32('in'),
  ret: s64('in'),
  duration: u64('in'),
  parts: u32('in'),
  pad: u32('in'),
});
