// What counts as a divergence, what is masked, and what the report says of it.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exitOf, reportLines } from '../../replayer/report.ts';
import { recordFlags, wheres } from '../../schema/event.ts';
import type { TraceMaker } from '../traces/make.ts';
import { packed, u32, u64 } from './event.ts';
import { device, opened, run } from './run.ts';
import { type Answer, Scripted } from './scripted.ts';

const onCall = (request: bigint, answer: Answer) =>
  new Scripted((r) => (r.op === 'ioctl' && r.a === request ? answer : undefined));
const IRQ_INFO = 0x3b6dn;
const irqInfo = (flags: number, count: number, argsz = 16) => packed(u32(argsz), u32(flags), u32(1), u32(count));
const askIrq = (m: TraceMaker) =>
  m.event({ ...device, name: 'VFIO_DEVICE_GET_IRQ_INFO', input: irqInfo(0, 0), output: irqInfo(9, 1) });

test('the same answers are the same', async () => {
  const { verdict } = await run(
    (m) => {
      opened(m);
      askIrq(m);
    },
    onCall(IRQ_INFO, { arg: irqInfo(9, 1) }),
  );
  assert.is(verdict.divergent, 0);
  assert.is(verdict.compared, 4);
  assert.is(exitOf(verdict), 0);
  assert.match([...reportLines(verdict)][0] ?? '', /^same: 4 calls replayed on scripted/);
});

test('a field that differs is named with both values', async () => {
  const { verdict } = await run(
    (m) => {
      opened(m);
      askIrq(m);
    },
    onCall(IRQ_INFO, { arg: irqInfo(9, 4, 99) }),
  );
  assert.is(exitOf(verdict), 1);
  assert.equal(verdict.divergences[0]?.differences, [{ field: 'count', expected: '1', actual: '4' }]);
  assert.is(verdict.divergences[0]?.event, 4);
  const report = [...reportLines(verdict)].join('\n');
  assert.match(report, /First divergence, event 4:\n.*VFIO_DEVICE_GET_IRQ_INFO/);
  assert.match(report, /count: expected 1, got 4/);
});

test('argsz is the caller and is masked, and the report says so', async () => {
  const info = (argsz: number) => packed(u32(argsz), u32(2), u32(9), u32(5), u32(0), u32(0));
  const { verdict } = await run(
    (m) => {
      opened(m);
      m.event({ ...device, name: 'VFIO_DEVICE_GET_INFO', input: info(24), output: info(24) });
    },
    onCall(0x3b6bn, { arg: info(32) }),
  );
  assert.is(verdict.divergent, 0);
  assert.match([...reportLines(verdict)].join('\n'), /VFIO_DEVICE_GET_INFO argsz: 1 difference masked/);
});

test('results and errors must be the recorded ones', async () => {
  const reset = (ret: number) => (m: TraceMaker) => {
    opened(m);
    m.event({ ...device, name: 'VFIO_DEVICE_RESET', ret });
  };
  const first = async (recorded: number, own: number) =>
    (await run(reset(recorded), onCall(0x3b6fn, { ret: own }))).verdict.divergences[0]?.differences[0];
  assert.is(await first(-16, -16), undefined);
  assert.equal(await first(0, -16), { field: 'result', expected: '0', actual: '-1 EBUSY' });
  assert.equal(await first(-22, -16), { field: 'errno', expected: '-1 EINVAL', actual: '-1 EBUSY' });
});

test('a mask of the user leaves a field out and is listed', async () => {
  const { verdict } = await run(
    (m) => {
      opened(m);
      askIrq(m);
    },
    onCall(IRQ_INFO, { arg: irqInfo(9, 4) }),
    {
      masks: ['VFIO_DEVICE_GET_IRQ_INFO:count'],
    },
  );
  assert.is(verdict.divergent, 0);
  assert.is(verdict.masked[0]?.why, 'VFIO_DEVICE_GET_IRQ_INFO:count');
});

const read = (m: TraceMaker, val: number, more: object = {}) =>
  m.event({ ...device, op: 'pread', region: 0, a: 8, length: 4, ret: 4, val, flags: recordFlags.INLINE, ...more });
const reads = (...values: number[]) => {
  let i = 0;
  return new Scripted((r) => (r.op === 'pread' ? { ret: 4, arg: packed(u32(values[i++] ?? 0)) } : undefined));
};

test("a register's value is compared, with its last writer in the report", async () => {
  const { verdict } = await run(
    (m) => {
      opened(m);
      m.event({ ...device, op: 'pwrite', region: 0, a: 8, length: 4, ret: 4, val: 5, flags: recordFlags.INLINE });
      m.event({ ...device, op: 'pwrite', region: 0, a: 12, length: 4, ret: 4, val: 6, flags: recordFlags.INLINE });
      read(m, 5);
    },
    new Scripted((r) =>
      r.op === 'pread' ? { ret: 4, arg: packed(u32(4)) } : r.op === 'pwrite' ? { ret: 4 } : undefined,
    ),
  );
  assert.is(verdict.divergent, 1);
  assert.match(verdict.divergences[0]?.differences[0]?.expected ?? '', /5/);
  assert.match(verdict.explanation?.inputs.join('\n') ?? '', /last written by event 4: pwrite/);
  assert.match(verdict.explanation?.state.join('\n') ?? '', /device 0000:00:04.0/);
});

test('in a loop that waits, only the last value counts', async () => {
  const body = (m: TraceMaker) => {
    opened(m);
    read(m, 1);
    read(m, 1);
    read(m, 0);
  };
  assert.is((await run(body, reads(1, 0, 0))).verdict.divergent, 0);
  assert.is((await run(body, reads(0, 0, 0))).verdict.masked[0]?.count, 2);
  assert.is((await run(body, reads(1, 1, 1))).verdict.divergent, 1);
});

test('where the host has put the device is masked until the program writes it', async () => {
  const info = packed(u32(24), u32(2), u32(9), u32(5), u32(0), u32(0));
  const config = (m: TraceMaker, op: 'pread' | 'pwrite', a: number, val: number) =>
    m.event({ ...device, op, region: 7, a, length: 4, ret: 4, val, flags: recordFlags.INLINE });
  const pci = (m: TraceMaker) => {
    opened(m);
    m.event({ ...device, name: 'VFIO_DEVICE_GET_INFO', input: info, output: info });
  };
  const answer = (value: number) =>
    new Scripted((r) => {
      if (r.op === 'pread') return { ret: 4, arg: packed(u32(value)) };
      return r.op === 'pwrite' ? { ret: 4 } : undefined;
    });
  const untouched = await run((m) => {
    pci(m);
    config(m, 'pread', 0x10, 0xfea00000);
  }, answer(0xfeb00000));
  assert.is(untouched.verdict.divergent, 0);
  assert.match(untouched.verdict.masked[0]?.why ?? '', /the host gives the device/);
  const written = await run((m) => {
    pci(m);
    config(m, 'pwrite', 0x10, 0xffffffff);
    config(m, 'pread', 0x10, 0xfff00000);
  }, answer(0xffe00000));
  assert.is(written.verdict.divergent, 1, 'the size of a BAR is the device');
  const vendor = await run((m) => {
    pci(m);
    config(m, 'pread', 0, 0x11e81234);
  }, answer(0x11e81235));
  assert.is(vendor.verdict.divergent, 1);
});

test('the count of an eventfd is masked, its failure is not', async () => {
  const body = (m: TraceMaker) => {
    m.handle(8, 'eventfd');
    m.event({ op: 'eventfd', kind: 'eventfd', fd: -1, a: 0, ret: 9, made: { handle: 8, kind: 'eventfd' } });
    m.event({ op: 'read', kind: 'eventfd', fd: 9, handle: 8, length: 8, ret: 8, val: 3, flags: recordFlags.INLINE });
  };
  const answer = (a: Answer) => new Scripted((r) => (r.op === 'read' ? a : undefined));
  assert.is((await run(body, answer({ ret: 8, arg: packed(u64(1)) }))).verdict.divergent, 0);
  const late = (await run(body, answer({ ret: -110 }))).verdict;
  assert.match(late.divergences[0]?.differences[0]?.actual ?? '', /ETIMEDOUT/);
});

test('an interrupt may come sooner than it did, but it must come', async () => {
  const fds = (revents: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeInt32LE(9, 0);
    bytes.writeInt16LE(1, 4);
    bytes.writeInt16LE(revents, 6);
    return bytes;
  };
  const poll = (m: TraceMaker, revents: number) =>
    m.event({
      ...{ op: 'poll', kind: 'none', fd: -1, a: 0, length: 1, ret: revents },
      memory: [{ at: wheres.ARRAY, phase: 1, bytes: fds(revents) }],
    });
  const body =
    (...revents: number[]) =>
    (m: TraceMaker) => {
      opened(m);
      m.handle(8, 'eventfd');
      m.event({ op: 'eventfd', kind: 'eventfd', fd: -1, a: 0, ret: 9, made: { handle: 8, kind: 'eventfd' } });
      m.event({
        ...{ ...device, name: 'VFIO_DEVICE_SET_IRQS' },
        input: packed(u32(24), u32(36), u32(1), u32(0), u32(1), u32(9)),
      });
      for (const r of revents) {
        poll(m, r);
        askIrq(m); // so that the polls are no loop
      }
    };
  const ready = (revents: number) =>
    new Scripted((r) => {
      if (r.op === 'poll') return { ret: revents, arg: fds(revents) };
      return r.a === IRQ_INFO ? { arg: irqInfo(9, 1) } : undefined;
    });
  const sooner = (await run(body(0, 1), ready(1))).verdict;
  assert.is(sooner.divergent, 0);
  assert.is(sooner.masked[0]?.why, 'an interrupt that comes sooner');
  assert.is((await run(body(1, 0), ready(1))).verdict.divergent, 1, 'no interrupt came after the second');
  assert.is((await run(body(1), ready(0))).verdict.divergent, 1);
});

test('bytes that were not kept are said not to be compared', async () => {
  const { verdict } = await run(
    (m) => {
      opened(m);
      m.event({ ...device, op: 'pread', region: 0, a: 0, length: 64, ret: 64 });
    },
    new Scripted((r) => (r.op === 'pread' ? { ret: 64, arg: Buffer.alloc(64) } : undefined)),
  );
  assert.is(verdict.divergent, 0);
  assert.is(verdict.masked[0]?.why, 'the recording kept no bytes');
});

test('object ids are compared by what they name', async () => {
  const alloc = (id: number) => packed(u32(12), u32(0), u32(id));
  const vfio = (id: number) => packed(u32(12), u32(id), u32(0));
  const body = (m: TraceMaker) => {
    m.handle(1, 'iommufd', { fd: 3, path: '/dev/iommu' });
    const on = { handle: 1, fd: 3 };
    m.event({
      op: 'open',
      kind: 'iommufd',
      fd: -1,
      a: 2,
      ret: 3,
      input: Buffer.from('/dev/iommu\0'),
      made: { handle: 1, kind: 'iommufd' },
    });
    m.event({ ...on, name: 'IOMMU_IOAS_ALLOC', input: alloc(0), output: alloc(4) });
    m.event({ ...on, name: 'IOMMU_IOAS_ALLOC', input: alloc(0), output: alloc(5) });
    m.event({ ...on, name: 'IOMMU_VFIO_IOAS', input: vfio(0), output: vfio(4) });
  };
  const ids = (a: number, b: number, answer: number) => {
    let made = 0;
    return new Scripted((r) =>
      r.a === 0x3b81n ? { arg: alloc(made++ ? b : a) } : r.a === 0x3b88n ? { arg: vfio(answer) } : undefined,
    );
  };
  assert.is((await run(body, ids(11, 12, 11))).verdict.divergent, 0);
  const { verdict } = await run(body, ids(11, 12, 12));
  assert.equal(verdict.divergences[0]?.differences, [{ field: 'ioas_id', expected: '4', actual: '5' }]);
});

test('what depends on a call that diverged is counted, not listed', async () => {
  const { verdict } = await run(
    (m) => {
      opened(m);
      askIrq(m);
      m.event({ ...device, name: 'VFIO_DEVICE_RESET' });
    },
    new Scripted((r) => (r.a === 0x3b6an ? { ret: -19 } : undefined)),
  );
  assert.is(verdict.divergent, 1);
  assert.is(verdict.consequences, 2);
});

test('what is not made again is said', async () => {
  const { verdict, target } = await run((m) => {
    opened(m);
    m.event({ ...device, request: 0x3bf0, input: packed(u32(8), u32(0)) });
    m.event({ ...device, name: 'VFIO_DEVICE_RESET', dur: null, ret: null });
  }, new Scripted());
  assert.is(target.of('ioctl').length, 1);
  assert.equal(
    verdict.skipped.map((s) => [s.count, s.first]),
    [
      [1, 4],
      [1, 5],
    ],
  );
  assert.match(
    [...reportLines(verdict)].join('\n'),
    /1 call not made: never returned in the recording \(first: event 5\)/,
  );
  assert.is(exitOf(verdict), 0);
});

test('an unknown call is made with --raw', async () => {
  const { target } = await run(
    (m) => {
      opened(m);
      m.event({ ...device, request: 0x3bf0, input: packed(u32(8), u32(7)) });
    },
    new Scripted(),
    { raw: true },
  );
  assert.is(target.of('ioctl').at(-1)?.a, 0x3bf0n);
});

test('it may end at an event, or at the first divergence', async () => {
  const body = (m: TraceMaker) => {
    opened(m);
    askIrq(m);
    askIrq(m);
    askIrq(m);
  };
  const wrong = () => onCall(IRQ_INFO, { arg: irqInfo(9, 4) });
  assert.is((await run(body, wrong(), { until: 4 })).verdict.calls, 4);
  assert.is((await run(body, wrong(), { until: 3 })).verdict.divergent, 0);
  assert.is((await run(body, wrong())).verdict.divergent, 3);
  assert.is((await run(body, wrong(), { stop: true })).verdict.divergent, 1);
});

test('at the recorded speed the pauses of the program are kept', async () => {
  const body = (m: TraceMaker) => {
    opened(m);
    m.event({ ...device, name: 'VFIO_DEVICE_RESET', t: 1_000_000, dur: 100 });
    m.event({ ...device, name: 'VFIO_DEVICE_RESET', t: 5_000_100, dur: 100 });
  };
  const { target } = await run(body, new Scripted(), { speed: 'recorded' });
  assert.is(target.of('sleep').at(-1)?.a, 4_000_000n);
  assert.is((await run(body, new Scripted())).target.of('sleep').length, 0);
});

test.run();
