// What strace saw of a program's VFIO files: the judge of a trace's completeness, which shares no code with the recorder.
import { constants } from 'node:os';

/** One call on a VFIO file. `ret`: the result, -errno on failure, null when it never returned. */
export interface Call {
  tid: number;
  op: string;
  fd: number | null;
  request: number | null;
  ret: number | null;
}

/** Arguments for strace: every call with its descriptors' paths, numbers raw, so that nothing depends on its tables. */
export const straceOptions = (output: string): string[] => [
  ...['-f', '-y', '-X', 'raw', '-s', '0', '-o', output],
  ...['-e', `trace=${Object.keys(opOf).join(',')}`, '-e', 'signal=none'],
];

const opOf: Record<string, string> = {
  ioctl: 'ioctl',
  pread64: 'pread',
  preadv: 'pread',
  preadv2: 'pread',
  pwrite64: 'pwrite',
  pwritev: 'pwrite',
  pwritev2: 'pwrite',
  read: 'read',
  readv: 'read',
  write: 'write',
  writev: 'write',
  open: 'open',
  openat: 'open',
  close: 'close',
  dup: 'dup',
  dup2: 'dup',
  dup3: 'dup',
  fcntl: 'dup', // F_DUPFD and F_DUPFD_CLOEXEC; the others are no new descriptor
  mmap: 'mmap',
};

// a container, a group, a cdev, an iommufd; a device, a migration driver's data file (names as in schema/kinds.ts)
const vfioPath = /^(\/dev\/vfio\/.*|\/dev\/iommu|anon_inode:(\[vfio-device\]|\w+_(mig|lm)))$/;
const errnos = constants.errno as Record<string, number>;
const unnamed: Record<string, number> = { ENOTSUPP: 524 };

function result(text: string): number | null {
  const failed = /^-1 (E\w+)/.exec(text);
  if (failed) return -(errnos[failed[1] as string] ?? unnamed[failed[1] as string] ?? Number.NaN);
  const value = /^(0x[0-9a-f]+|-?\d+)/.exec(text);
  return value ? Number(value[1]) : null;
}

/** The calls on VFIO files, in the order in which they were entered. */
export function straceCalls(text: string): Call[] {
  const calls: Call[] = [];
  const pending = new Map<number, Call>();
  for (const line of text.split('\n')) {
    const head = /^(\d+) +(.*)$/.exec(line);
    if (!head) continue;
    const tid = Number(head[1]);
    const rest = head[2] as string;
    const end = / = (?=[^=]*$)(.*)$/.exec(rest);
    if (rest.startsWith('<... ')) {
      const call = pending.get(tid);
      pending.delete(tid);
      if (call && end) call.ret = result(end[1] as string);
      continue;
    }
    const called = /^(\w+)\((.*)$/.exec(rest);
    const op = called && opOf[called[1] as string];
    if (!called || !op) continue;
    if (called[1] === 'fcntl' && !/^[^,]*, (0|0x406)[,)]/.test(called[2] as string)) continue;
    const args = called[2] as string;
    const file =
      op === 'mmap'
        ? /^[^,]+, [^,]+, [^,]+, [^,]+, (\d+)<([^>]*(?:\[[^\]]*\])?)>/.exec(args)
        : /^(\d+)<([^>]*)>/.exec(args);
    const opened = op === 'open' ? /"([^"]*)"/.exec(args)?.[1] : undefined;
    if (!vfioPath.test(opened ?? file?.[2] ?? '')) continue;
    const call: Call = {
      tid,
      op,
      fd: op === 'open' ? null : Number(file?.[1]),
      request: op === 'ioctl' ? Number(/^[^,]+, (0x[0-9a-f]+|\d+)/.exec(args)?.[1]) : null,
      ret: end ? result(end[1] as string) : null,
    };
    calls.push(call);
    if (rest.includes('<unfinished ...>')) pending.set(tid, call);
  }
  return calls;
}

export const callLine = (c: Call): string =>
  `${c.op}${c.request === null ? '' : ` ${`0x${c.request.toString(16)}`}`}${c.fd === null ? '' : ` fd ${c.fd}`} = ${c.ret ?? '?'}`;

/** Empty when both have the same calls of every thread in the same order; else the first difference. */
export function difference(strace: Call[], trace: Call[]): string | null {
  const threads = new Set([...strace, ...trace].map((c) => c.tid));
  for (const tid of threads) {
    const a = strace.filter((c) => c.tid === tid).map(callLine);
    const b = trace.filter((c) => c.tid === tid).map(callLine);
    const at = a.findIndex((text, i) => text !== b[i]);
    const first = at >= 0 ? at : a.length < b.length ? a.length : -1;
    if (first >= 0)
      return `thread ${tid}, call ${first + 1}: strace has ${a[first] ?? 'no more'}, the trace ${b[first] ?? 'no more'} (${a.length} and ${b.length} calls in all)`;
  }
  return null;
}
