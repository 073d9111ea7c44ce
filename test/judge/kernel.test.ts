// The judge that reads the kernel's own tracing must itself be right: whose descriptor is VFIO's, and every difference.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { kernelEvents } from '../vm/ftrace.ts';
import { kernelCalls, kernelDisagrees, onVfio, withoutAliases } from '../vm/kernel-side.ts';
import { type Call, callLine } from '../vm/strace.ts';

const test = suite('the kernel as a judge');

const head = (tid: number, what: string): string =>
  `${'sh'.padStart(16)}-${String(tid).padEnd(7)} [000] ..... 1.000000: ${what}`;
const call = (tid: number, nr: number, args: (number | bigint)[], ret: number | null): string[] => {
  const hex = [...args, 0, 0, 0, 0, 0, 0].slice(0, 6).map((a) => BigInt.asUintN(64, BigInt(a)).toString(16));
  const enter = head(tid, `sys_enter: NR ${nr} (${hex.join(', ')})`);
  return ret === null ? [enter] : [enter, head(tid, `sys_exit: NR ${nr} = ${ret}`)];
};
const born = (tid: number, child: number, flags: string): string =>
  head(tid, `task_newtask: pid=${child} comm=a b clone_flags=${flags} oom_score_adj=0`);

const OPEN = 257;
const CLOEXEC = 0o2000000n;
const LOG = [
  '# tracer: nop',
  ...call(131, OPEN, [-100, 0x1000, CLOEXEC], 3), // some library
  ...call(131, 0, [3, 0x2000, 832], 832),
  ...call(131, 3, [3], 0),
  ...call(131, OPEN, [-100, 0x1000, 2], 3), // the container
  ...call(131, OPEN, [-100, 0x1000, 2], 4), // a group
  ...call(131, 16, [9, 0x3b64], -9),
  ...call(131, 16, [3, 0x3b64], 0),
  ...call(131, 16, [4, 0x3b6a, 0x3000], 5), // a device, closed by exec
  ...call(131, 16, [5, 0x5401, 0x3000], -25),
  ...call(131, 290, [0, 0], 6), // an eventfd
  ...call(131, 1, [6, 0x2000, 8], 8),
  ...call(131, 16, [6, 0x3b6b], -25),
  ...call(131, 33, [4, 200], 200),
  ...call(131, 72, [3, 1030, 300], 301),
  ...call(131, 72, [3, 2, 0], 0),
  born(131, 132, '3d0f00'), // a thread
  ...call(132, 17, [5, 0x2000, 4, 36], 4),
  born(131, 140, '1200011'), // a process
  ...call(140, 3, [5], 0),
  ...call(140, OPEN, [-100, 0x1000, 0], 5), // some file
  ...call(140, 0, [5, 0x2000, 100], 24),
  ...call(140, OPEN, [-100, 0x1000, 0], 6), // some folder
  ...call(140, 3, [6], 0),
  ...call(131, 17, [5, 0x2000, 4, 36], 4),
  ...call(131, 9, [0, 4096, 3, 1, 5, 0], 0x7f76bbf7d000),
  ...call(131, 9, [0, 4096, 3, 1, 5, 0], 0x7f76bbf7e000),
  ...call(131, 9, [0, 4096, 3, 0x22, -1, 0], 0x7f76bbf7f000),
  ...call(131, 16, [5, 0x3b75, 0x3000], 0), // makes a data file: 7
  ...call(131, 0, [7, 0x2000, 100], -512),
  ...call(131, 0, [7, 0x2000, 100], 24),
  ...call(131, 59, [0x1000, 0x2000, 0x3000], 0),
  ...call(131, 3, [5], -9),
  ...call(131, 3, [4], 0),
  ...call(131, 0, [3, 0x2000, 1], null),
].join('\n');

const kernel = kernelCalls(kernelEvents(LOG));
const trace: Call[] = onVfio(kernel).map(({ tid, op, fd, request, ret }) => ({ tid, op, fd, request, ret }));

test('knows which calls are on VFIO files', () => {
  assert.equal(
    trace.map((c) => `${c.tid} ${callLine(c)}`),
    [
      '131 open = 3',
      '131 open = 4',
      '131 ioctl 0x3b64 fd 3 = 0',
      '131 ioctl 0x3b6a fd 4 = 5',
      '131 ioctl 0x5401 fd 5 = -25',
      '131 dup fd 4 = 200',
      '131 dup fd 3 = 301',
      '132 pread fd 5 = 4',
      '140 close fd 5 = 0',
      '131 pread fd 5 = 4',
      '131 mmap fd 5 = 140147936448512',
      '131 mmap fd 5 = 140147936452608',
      '131 ioctl 0x3b75 fd 5 = 0',
      '131 read fd 7 = 24',
      '131 close fd 4 = 0',
      '131 read fd 3 = ?',
    ],
  );
  assert.is(kernelDisagrees(kernel, trace), null);
});

test('finds a call that is lost, one too many, another result, another order', () => {
  for (const [i, c] of trace.entries()) {
    assert.ok(kernelDisagrees(kernel, trace.toSpliced(i, 1)), `${callLine(c)} left out`);
    assert.ok(kernelDisagrees(kernel, trace.toSpliced(i, 0, c)), `${callLine(c)} twice`);
    assert.ok(kernelDisagrees(kernel, trace.with(i, { ...c, ret: -999 })), `${callLine(c)} with another result`);
  }
  assert.ok(kernelDisagrees(kernel, [...trace.slice(0, 2), ...trace.slice(2, 4).reverse(), ...trace.slice(4)]));
});

test('takes a call on a file that it does not know from the trace', () => {
  const first = kernel.find((c) => c.op === 'close' && !c.file?.vfio) as Call;
  assert.is(kernelDisagrees(kernel, [...trace, first]), null);
  assert.ok(kernelDisagrees(kernel, [first, ...trace]), 'but not at another place');
});

test('knows the second mapping of a trapped region', () => {
  const { calls, aliases } = withoutAliases(kernel);
  assert.is(aliases, 1);
  assert.is(calls.filter((c) => c.op === 'mmap').length, 1);
});

test('does not pass over what it cannot read', () => {
  assert.throws(() => kernelEvents(`${LOG}\nCPU:0 [LOST 12 EVENTS]`), /no event of ours/);
  assert.throws(() => kernelEvents(head(1, 'sched_switch: x')), /not understood/);
});

test.run();
