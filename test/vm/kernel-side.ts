// What the kernel saw of calls on VFIO files, and whether a trace has just that: a judge that shares nothing with the
// recorder.
import { constants } from 'node:os';

import { TYPE } from '../../schema/call.ts';
import { calls as surface } from '../../schema/surface.ts';
import { Descriptors, isForeign, newFile, type OpenFile } from './descriptors.ts';
import type { KernelEvent } from './ftrace.ts';
import { type Call, callLine } from './strace.ts';

/** A call that a trace would have if it was made on a VFIO file. */
export interface KernelCall extends Call {
  /** null: the kernel's account does not tell what file it was, such as a failed open. */
  file: OpenFile | null;
  /** Of mmap: length and offset. */
  range: string;
}

// arch/x86/entry/syscalls/syscall_64.tbl
const ops: Record<number, string> = {
  ...{ 0: 'read', 19: 'read', 1: 'write', 20: 'write', 17: 'pread', 295: 'pread', 327: 'pread' },
  ...{ 18: 'pwrite', 296: 'pwrite', 328: 'pwrite', 2: 'open', 85: 'open', 257: 'open', 437: 'open' },
  ...{ 3: 'close', 9: 'mmap', 16: 'ioctl', 32: 'dup', 33: 'dup', 292: 'dup', 72: 'dup' },
};
const SYS = { mmap: 9, ioctl: 16, dup: 32, dup2: 33, dup3: 292, fcntl: 72, close: 3, close_range: 436 } as const;
const EXECS = [59, 322];
/** Calls that return a new descriptor: the argument and bit that have it closed by exec, -1: always. */
const makers: Record<number, readonly [number, number]> = {
  ...{ 2: [1, 0o2000000], 85: [0, 0], 257: [2, 0o2000000], 437: [0, 0] }, // openat2 has its flags in memory
  ...{ 41: [1, 0o2000000], 43: [0, 0], 288: [3, 0o2000000] }, // socket, accept, accept4
  ...{ 284: [0, 0], 290: [1, 0o2000000], 213: [0, 0], 291: [0, 0o2000000] }, // eventfd, eventfd2, epoll_create, …1
  ...{ 283: [1, 0o2000000], 289: [3, 0o2000000], 282: [0, 0], 319: [1, 1] }, // timerfd, signalfd4, signalfd, memfd
  ...{ 253: [0, 0], 294: [0, 0o2000000], 323: [0, 0o2000000], 434: [-1, 0] }, // inotify, …1, userfaultfd, pidfd_open
};
/** pipe, pipe2, socketpair, recvmsg, recvmmsg, pidfd_getfd, io_uring_enter: descriptors whose numbers are not seen. */
const unseen = [22, 293, 53, 47, 299, 438, 426];
const MAP_ANONYMOUS = 0x20;
const F_DUPFD = 0;
const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030;
const FIONCLEX = 0x5450;
const FIOCLEX = 0x5451;
const { EBADF, ENOTTY } = constants.errno;
/** ERESTARTSYS to ERESTART_RESTARTBLOCK: the kernel makes the call anew, and the program sees one. */
const again = (ret: number | null): boolean => ret !== null && ret <= -512 && ret >= -516;

const numberOf = (name: string): number => {
  const call = surface.find((c) => c.name === name);
  if (!call) throw new Error(`the schema has no ${name}`);
  return (TYPE << 8) | call.nr;
};
const GET_DEVICE_FD = numberOf('VFIO_GROUP_GET_DEVICE_FD');
const FEATURE = numberOf('VFIO_DEVICE_FEATURE');

const int = (value: bigint | undefined): number => Number(BigInt.asIntN(32, value ?? 0n));

function called(tid: number, nr: number, args: readonly bigint[], fds: Descriptors): KernelCall | null {
  const op = ops[nr];
  if (op === undefined) return null;
  if (nr === SYS.fcntl && ![F_DUPFD, F_DUPFD_CLOEXEC].includes(int(args[1]))) return null;
  if (nr === SYS.mmap && int(args[3]) & MAP_ANONYMOUS) return null;
  const fd = op === 'open' ? null : int(args[nr === SYS.mmap ? 4 : 0]);
  return {
    tid,
    op,
    fd,
    request: op === 'ioctl' ? Number(BigInt.asUintN(32, args[1] ?? 0n)) : null,
    ret: null,
    file: fd === null || fd < 0 ? null : fds.file(tid, fd),
    range: op === 'mmap' ? `${args[1]}@${args[5]}` : '',
  };
}

/** What the call, now that it has returned, did to the process's descriptors. */
function follow(
  fds: Descriptors,
  tid: number,
  nr: number,
  args: readonly bigint[],
  ret: number,
  file: OpenFile | null,
) {
  const maker = makers[nr];
  const req = nr === SYS.ioctl ? int(args[1]) : null;
  if (ret < 0) return;
  if (maker) {
    const [at, bit] = maker;
    fds.made(tid, ret, file ?? newFile('other'), at < 0 || (int(args[at]) & bit) !== 0);
  } else if ((nr === SYS.dup || nr === SYS.dup2 || nr === SYS.dup3) && file) {
    if (!(nr === SYS.dup2 && args[0] === args[1])) fds.made(tid, ret, file, nr === SYS.dup3 && int(args[2]) !== 0);
  } else if (nr === SYS.fcntl && int(args[1]) === F_SETFD) fds.setClosedByExec(tid, int(args[0]), int(args[2]) !== 0);
  else if (nr === SYS.fcntl && file) fds.made(tid, ret, file, int(args[1]) === F_DUPFD_CLOEXEC);
  else if (nr === SYS.close_range)
    fds.closed(tid, Number(args[0]), Number(BigInt.asUintN(32, args[1] ?? 0n)), int(args[2]));
  else if (unseen.includes(nr)) fds.madeUnseen(tid, 'other');
  else if (req === GET_DEVICE_FD) fds.made(tid, ret, newFile('other', true), true);
  else if (req === FEATURE) fds.madeUnseen(tid, 'feature');
  else if (req === FIOCLEX || req === FIONCLEX) fds.setClosedByExec(tid, int(args[0]), req === FIOCLEX);
}

/** The calls of every thread, in the order in which they were entered, but those on files that are surely not VFIO's. */
export function kernelCalls(events: readonly KernelEvent[]): KernelCall[] {
  const fds = new Descriptors();
  const calls: KernelCall[] = [];
  const inside = new Map<number, { args: readonly bigint[]; call: KernelCall | null }>();
  for (const e of events) {
    if (e.kind === 'new') fds.forked(e.tid, e.child, e.flags);
    else if (e.kind === 'enter') {
      const call = called(e.tid, e.nr, e.args, fds);
      if (call) calls.push(call);
      if (e.nr === SYS.close) fds.closed(e.tid, int(e.args[0])); // another thread may have the number before it returns
      inside.set(e.tid, { args: e.args, call });
    } else {
      // Entered perhaps as a program that is left out of the tracing.
      if (EXECS.includes(e.nr) && e.ret === 0) fds.executed(e.tid);
      const begun = inside.get(e.tid);
      inside.delete(e.tid);
      if (!begun) continue; // entered before the tracing began
      const { call } = begun;
      if (call) call.ret = e.ret;
      if (call?.op === 'open' && e.ret >= 0) call.file = newFile('open');
      if (call && e.ret === -EBADF) {
        fds.closed(e.tid, call.fd ?? -1);
        call.file = null;
      }
      if (call?.file && !['open', 'close', 'dup'].includes(call.op)) call.file.used = true;
      if (call?.file && call.request !== null && call.request >> 8 === TYPE && e.ret !== -ENOTTY) call.file.vfio = true;
      follow(fds, e.tid, e.nr, begun.args, e.ret, call?.file ?? null);
    }
  }
  return calls.filter((c) => !again(c.ret) && !(c.file && isForeign(c.file)));
}

const same = (a: Call, b: Call): boolean =>
  a.op === b.op && a.fd === b.fd && a.request === b.request && a.ret === b.ret;

/** Whether the trace's calls of one thread are the kernel's: all those on VFIO files, and none that was not made. */
function disagreement(kernel: readonly KernelCall[], trace: readonly Call[]): string | null {
  // Where in the kernel's account the trace can be up to. Calls on files that are unknown to it may be passed over.
  let reached = new Set([0]);
  let furthest = 0;
  const required = (from: number): number => {
    const at = kernel.findIndex((c, i) => i >= from && c.file?.vfio);
    return at < 0 ? kernel.length : at;
  };
  for (const [n, call] of trace.entries()) {
    const next = new Set<number>();
    for (const from of reached) {
      const last = required(from);
      for (let at = from; at <= last && at < kernel.length; at++)
        if (same(kernel[at] as KernelCall, call)) next.add(at + 1);
    }
    if (next.size === 0) {
      const missing = kernel[required(furthest)];
      return `call ${n + 1}: the kernel saw ${missing ? callLine(missing) : 'no more'}, the trace has ${callLine(call)}`;
    }
    reached = next;
    furthest = Math.max(...next);
  }
  if ([...reached].some((from) => required(from) === kernel.length)) return null;
  const missing = kernel[required(furthest)] as KernelCall;
  return `the kernel saw ${callLine(missing)} after the trace's last of ${trace.length} calls`;
}

/** null when they agree; else the first thread's first difference. */
export function kernelDisagrees(kernel: readonly KernelCall[], trace: readonly Call[]): string | null {
  for (const tid of new Set([...kernel, ...trace].map((c) => c.tid))) {
    const found = disagreement(
      kernel.filter((c) => c.tid === tid),
      trace.filter((c) => c.tid === tid),
    );
    if (found) return `thread ${tid}, ${found}`;
  }
  return null;
}

/** Calls that are on VFIO files for certain. */
export const onVfio = (kernel: readonly KernelCall[]): KernelCall[] => kernel.filter((c) => c.file?.vfio);

/**
 * Without the second mapping that --mmio=trap makes of each region that a program maps, right after the program's; and
 * how many those were.
 */
export function withoutAliases(kernel: readonly KernelCall[]): { calls: KernelCall[]; aliases: number } {
  const last = new Map<number, KernelCall>();
  const calls = kernel.filter((c) => {
    const before = last.get(c.tid);
    const alias = c.op === 'mmap' && before?.op === 'mmap' && before.fd === c.fd && before.range === c.range;
    if (alias) last.delete(c.tid);
    else last.set(c.tid, c);
    return !alias;
  });
  return { calls, aliases: kernel.length - calls.length };
}
