// Two recordings of one program with something planted in the second: found, named, and first in its class.

import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { irqSetFlags } from '../../schema/device.ts';
import { recordFlags } from '../../schema/event.ts';
import { type DiffReport, diffTraces } from '../../traces/diff/diff.ts';
import type { Difference, DifferenceKind } from '../../traces/diff/differences.ts';
import { type EventSpec, inTemporary, TraceMaker } from './make.ts';

const u32s = (...n: number[]): Buffer => Buffer.from(Uint32Array.from(n).buffer);

interface Numbers {
  readonly fd: number;
  readonly vaddr: number;
}

/** What a small driver does; file descriptors and addresses differ from run to run. */
function calls({ fd, vaddr }: Numbers): EventSpec[] {
  const device = { handle: 2, fd, kind: 'device' as const };
  const register = (op: 'pread' | 'pwrite', a: number, val: number): EventSpec => ({
    ...device,
    op,
    region: 0,
    length: 4,
    flags: recordFlags.INLINE,
    a,
    ret: 4,
    val,
  });
  const map = (iova: number, ret = 0): EventSpec => {
    const input = u32s(32, 3, vaddr + iova, 0x7f, iova, 0, 0x1000, 0);
    return { handle: 1, fd: fd - 1, name: 'VFIO_IOMMU_MAP_DMA', input, output: input, ret };
  };
  const irqs = u32s(20, irqSetFlags.DATA_NONE | irqSetFlags.ACTION_TRIGGER, 1, 0, 1);
  return [
    {
      op: 'open',
      kind: 'container',
      fd: -1,
      ret: fd - 1,
      made: { handle: 1, kind: 'container' },
      input: Buffer.from('/dev/vfio/vfio\0'),
    },
    {
      op: 'ioctl',
      name: 'VFIO_GROUP_GET_DEVICE_FD',
      kind: 'group',
      fd: 9,
      ret: fd,
      made: { handle: 2, kind: 'device' },
      input: Buffer.from('0000:00:04.0\0'),
    },
    map(0),
    map(0x1000),
    map(0x1000, -17),
    map(0x2000),
    register('pread', 0, 0x10000ed),
    register('pwrite', 8, 5),
    ...Array.from({ length: fd }, () => register('pread', 0x20, 1)), // a loop that waits, as long as it takes
    register('pread', 0x20, 0),
    register('pread', 8, 120),
    { ...device, name: 'VFIO_DEVICE_SET_IRQS', input: irqs, output: irqs },
    register('pwrite', 0x60, 1),
    register('pread', 0x24, 1),
    register('pwrite', 0x64, 1),
    { ...device, name: 'VFIO_DEVICE_RESET' },
  ];
}

function make(path: string, events: readonly EventSpec[]): string {
  const m = new TraceMaker(path);
  m.handle(1, 'container', { path: '/dev/vfio/vfio' }).handle(2, 'device', { name: '0000:00:04.0' });
  m.region(2, 0);
  for (const e of events) m.event(e);
  m.finish();
  return path;
}

/** The report of a clean run against one that `plant` has changed. */
function planted(
  plant: (events: EventSpec[]) => EventSpec[],
  options: Partial<Parameters<typeof diffTraces>[0]> = {},
): DiffReport {
  return inTemporary((dir) => {
    const a = make(join(dir, 'a.vrr'), calls({ fd: 5, vaddr: 0x1000_0000 }));
    const b = make(join(dir, 'b.vrr'), plant(calls({ fd: 12, vaddr: 0x2000_0000 })));
    return diffTraces({ a, b, masks: [], learn: [], timing: false, ...options });
  });
}

function only(report: DiffReport, kind: DifferenceKind): Difference {
  assert.equal([...report.differences.counts], [[kind, 1]]);
  const found = report.differences.byKind.get(kind)?.[0];
  assert.ok(found);
  assert.is(report.first, found);
  return found;
}

const indexOf = (events: EventSpec[], match: Partial<EventSpec>): number =>
  events.findIndex((e) => Object.entries(match).every(([k, v]) => e[k as keyof EventSpec] === v));
const changed =
  (match: Partial<EventSpec>, to: Partial<EventSpec>) =>
  (events: EventSpec[]): EventSpec[] => {
    const i = indexOf(events, match);
    assert.ok(i >= 0);
    return events.map((e, j) => (i === j ? { ...e, ...to } : e));
  };

test('another run with other descriptors, addresses and waits has no difference', () => {
  const report = planted((events) => events);
  assert.equal([...report.differences.counts], []);
  assert.ok(report.differences.same);
  assert.is.not(report.collapsed[0], report.collapsed[1]); // the loops were of different length, and said so
});

test('one register value', () => {
  const d = only(planted(changed({ op: 'pread', a: 8 }, { val: 121 })), 'output');
  assert.is(d.call, 'pread region 0+0x8');
  assert.equal([d.field, d.expected, d.actual], ['value', '0x78', '0x79']);
});

test('the last writes of what a differing register depends on come with it', () => {
  const report = inTemporary((dir) => {
    const a = make(join(dir, 'a.vrr'), calls({ fd: 5, vaddr: 0 }));
    const b = make(join(dir, 'b.vrr'), changed({ op: 'pread', a: 8 }, { val: 121 })(calls({ fd: 5, vaddr: 0 })));
    const r = diffTraces({ a, b, masks: [], learn: [], timing: false });
    return r.slice?.a.map((e) => e.id) ?? [];
  });
  const write = indexOf(calls({ fd: 5, vaddr: 0 }), { op: 'pwrite', a: 8 }) + 1;
  assert.ok(report.includes(write), `event ${write} wrote the register, the slice has ${report.join()}`);
});

test('one errno', () => {
  const d = only(planted(changed({ ret: -17 }, { ret: -22 })), 'errno');
  assert.equal([d.call, d.expected, d.actual], ['VFIO_IOMMU_MAP_DMA', '-1 EEXIST', '-1 EINVAL']);
});

test('a call that succeeds where it failed', () => {
  assert.is(only(planted(changed({ ret: -17 }, { ret: 0 })), 'result').actual, '0');
});

test('one argument', () => {
  const d = only(planted(changed({ op: 'pwrite', a: 8 }, { val: 6 })), 'input');
  assert.equal([d.field, d.expected, d.actual], ['value', '0x5', '0x6']);
});

test('one missing call', () => {
  const d = only(
    planted((events) => events.filter((_e, i) => i !== indexOf(events, { op: 'pwrite', a: 0x64 }))),
    'missing',
  );
  assert.is(d.call, 'pwrite region 0+0x64');
  assert.is(d.b, null);
});

test('one call more', () => {
  const more = (events: EventSpec[]): EventSpec[] => [...events, { handle: 2, fd: 12, name: 'VFIO_DEVICE_RESET' }];
  assert.is(only(planted(more), 'extra').call, 'VFIO_DEVICE_RESET');
});

test('two calls swapped', () => {
  const swap = (events: EventSpec[]): EventSpec[] => {
    const i = indexOf(events, { op: 'pwrite', a: 0x60 });
    return events.map((e, j) => (j === i ? events[i + 1] : j === i + 1 ? events[i] : e) as EventSpec);
  };
  const d = only(planted(swap), 'order');
  assert.ok(['pwrite region 0+0x60', 'pread region 0+0x24'].includes(d.call), d.call);
});

test('the earliest difference leads, whatever its kind', () => {
  const two = (events: EventSpec[]): EventSpec[] =>
    changed({ ret: -17 }, { ret: -22 })(changed({ op: 'pread', a: 8 }, { val: 121 })(events));
  const report = planted(two);
  assert.is(report.first?.kind, 'errno');
  assert.is(report.differences.counts.get('output'), 1);
});

test('a mask hides what it names, and says so', () => {
  const report = planted(changed({ op: 'pread', a: 8 }, { val: 121 }), {
    masks: [{ text: 'pread region 0+0x8:value', from: 'user' }],
  });
  assert.ok(report.differences.same);
  assert.equal([...report.differences.masked], [['pread region 0+0x8:value', 1]]);
});

test('a mask of no form is refused', () => {
  assert.throws(() => planted((e) => e, { masks: [{ text: 'everything', from: 'user' }] }), /is not CALL:FIELD/);
});

test('what differs among recordings of the same thing is learned', () => {
  inTemporary((dir) => {
    const events = calls({ fd: 5, vaddr: 0 });
    const at = (name: string, plant: (e: EventSpec[]) => EventSpec[]): string => make(join(dir, name), plant(events));
    const counter = changed({ op: 'pread', a: 0x24 }, { val: 2 });
    const a = at('a.vrr', (e) => e);
    const learn = [at('a2.vrr', counter)];
    const b = at('b.vrr', (e) =>
      changed({ op: 'pread', a: 8 }, { val: 121 })(changed({ op: 'pread', a: 0x24 }, { val: 3 })(e)),
    );
    const report = diffTraces({ a, b, masks: [], learn, timing: false });
    assert.equal(report.learned, ['pread region 0+0x24:value']);
    assert.is(only(report, 'output').call, 'pread region 0+0x8');
  });
});

test('threads are paired by what they do, not by their numbers', () => {
  inTemporary((dir) => {
    const read = (thread: number, a: number): EventSpec => ({
      thread,
      handle: 2,
      kind: 'device',
      op: 'pread',
      region: 0,
      length: 4,
      flags: recordFlags.INLINE,
      a,
      ret: 4,
      val: a,
    });
    const left = Array.from({ length: 40 }, (_x, i) => read((i % 2) + 1, (i % 2) * 0x100 + i * 4));
    const right = [...left]
      .sort((x, y) => (y.thread ?? 0) - (x.thread ?? 0))
      .map((e) => ({ ...e, thread: 3 - (e.thread ?? 0) }));
    const report = diffTraces({
      a: make(join(dir, 'a.vrr'), left),
      b: make(join(dir, 'b.vrr'), right),
      masks: [],
      learn: [],
      timing: false,
    });
    assert.equal([...report.differences.counts], []);
  });
});

test.run();
