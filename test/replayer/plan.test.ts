// What the target is asked for recorded calls: slots instead of numbers, memory instead of addresses.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agentFlags } from '../../schema/agent.ts';
import { recordFlags, wheres } from '../../schema/event.ts';
import { packed, u32, u64 } from './event.ts';
import { device, opened, run } from './run.ts';
import { argOf, partOf, Scripted } from './scripted.ts';

test('descriptors are made in slots and used by them', async () => {
  const { target, verdict } = await run((m) => {
    opened(m);
    m.event({ name: 'VFIO_GROUP_SET_CONTAINER', handle: 2, fd: 4, input: packed(u32(3)) });
    m.event({ ...device, name: 'VFIO_DEVICE_RESET' });
  }, new Scripted());
  const [container, group] = target.of('open');
  const [getFd, setContainer, reset] = target.of('ioctl');
  assert.is(argOf(group)?.toString(), '/dev/vfio/7\0');
  assert.is(getFd?.subject, group?.subject);
  assert.is(argOf(getFd)?.toString(), '0000:00:04.0\0');
  const kept = partOf(getFd, 'keepFd');
  assert.is(kept?.at, 'ret');
  assert.is(reset?.subject, kept?.slot);
  assert.is(setContainer?.subject, group?.subject);
  assert.is(partOf(setContainer, 'fd')?.slot, container?.subject);
  assert.is(verdict.divergent, 0);
});

test('a descriptor number that is used again is the new open file', async () => {
  const { target } = await run((m) => {
    opened(m);
    m.handle(8, 'eventfd').handle(9, 'eventfd');
    m.event({ op: 'eventfd', kind: 'eventfd', fd: -1, a: 0, ret: 9, made: { handle: 8, kind: 'eventfd' } });
    m.event({ op: 'close', kind: 'eventfd', fd: 9, handle: 8 });
    m.event({ op: 'eventfd', kind: 'eventfd', fd: -1, a: 5, ret: 9, made: { handle: 9, kind: 'eventfd' } });
    m.event({
      ...{ ...device, name: 'VFIO_DEVICE_SET_IRQS' },
      input: packed(u32(24), u32(36), u32(1), u32(0), u32(1), u32(9)),
    });
  }, new Scripted());
  const [, second] = target.of('eventfd');
  assert.is(second?.a, 5n);
  assert.is(target.of('close').length, 1);
  const irqs = target.of('ioctl').at(-1);
  assert.equal(partOf(irqs, 'fd'), { kind: 'fd', at: 20, slot: second?.subject });
});

test('an open file is closed with its last descriptor, in whichever process', async () => {
  const closes = async (body: (m: import('../traces/make.ts').TraceMaker) => void): Promise<number> =>
    (
      await run((m) => {
        opened(m);
        body(m);
      }, new Scripted())
    ).target.of('close').length;
  const dup = { op: 'dup', ...device, ret: 9 } as const;
  const close = { op: 'close', ...device } as const;
  assert.is(await closes((m) => void [m.event(dup), m.event(close)]), 0);
  assert.is(await closes((m) => void [m.event(dup), m.event(close), m.event({ ...close, fd: 9 })]), 1);
  assert.is(
    await closes((m) => {
      m.db.prepare('INSERT INTO process VALUES (2, 101, 100, NULL, 0, 0)').run();
      m.thread(2, 2, 101);
      m.event({ op: 'process', kind: 'none', fd: -1, thread: 2, a: 101 });
      m.event(close);
      m.event({ ...device, name: 'VFIO_DEVICE_RESET', thread: 2 });
      m.event({ ...close, thread: 2 });
    }),
    1,
  );
});

test('descriptors that an exec closed are closed, those it kept are not', async () => {
  const { target } = await run((m) => {
    opened(m);
    m.db.prepare('INSERT INTO process VALUES (2, 100, 1, NULL, 0, 0)').run();
    m.thread(2, 2, 100);
    m.event({ op: 'process', kind: 'none', fd: -1, thread: 2, a: 100 });
    m.event({ ...device, op: 'attach', thread: 2 });
    m.event({ ...device, name: 'VFIO_DEVICE_RESET', thread: 2 });
  }, new Scripted());
  const slots = target.of('close').map((r) => r.subject);
  assert.equal(
    slots,
    target.of('open').map((r) => r.subject),
  );
  assert.ok(!slots.includes(target.of('ioctl').at(-1)?.subject ?? 0));
});

test('what an ended process held goes when the recording shows that it had gone', async () => {
  const body = (ret: number) => async () =>
    (
      await run((m) => {
        opened(m);
        m.db.prepare('INSERT INTO process VALUES (2, 101, 100, NULL, 0, 0)').run();
        m.thread(2, 2, 101);
        m.event({ op: 'process', kind: 'none', fd: -1, thread: 2, a: 101 });
        m.event({ ...device, name: 'VFIO_DEVICE_RESET', thread: 2 }); // its last call
        for (const [handle, fd] of [
          [3, 5],
          [2, 4],
        ] as const)
          m.event({ op: 'close', kind: 'device', handle, fd });
        m.handle(9, 'group', { fd: 4, path: '/dev/vfio/7' });
        const open = { op: 'open', kind: 'group', fd: -1, a: 2, ret, input: Buffer.from('/dev/vfio/7\0') } as const;
        m.event(ret < 0 ? open : { ...open, made: { handle: 9, kind: 'group' } });
      }, new Scripted())
    ).target;
  const closes = (target: Scripted): number => target.asked.slice(0, -1).filter((r) => r.op === 'close').length;
  assert.is(closes(await body(4)()), 2, 'the group was free again');
  assert.is(closes(await body(-16)()), 0, 'the group was busy');
});

test('eventfds that were made unseen are made for the call that takes them; -1 stays', async () => {
  const { target } = await run((m) => {
    opened(m);
    m.event({
      ...{ ...device, name: 'VFIO_DEVICE_SET_IRQS' },
      input: packed(u32(28), u32(36), u32(1), u32(0), u32(2), u32(77), u32(-1)),
    });
  }, new Scripted());
  const irqs = target.of('ioctl').at(-1);
  assert.is(target.of('eventfd').length, 1);
  assert.equal(irqs?.parts.slice(1), [{ kind: 'fd', at: 20, slot: target.of('eventfd')[0]?.subject }]);
  assert.is(argOf(irqs)?.readInt32LE(24), -1);
});

test('a call that was given a wrong descriptor is given one too', async () => {
  const set = (m: import('../traces/make.ts').TraceMaker, ret: number) =>
    m.event({ name: 'VFIO_GROUP_SET_CONTAINER', handle: 2, fd: 4, ret, input: packed(u32(50)) });
  const { target } = await run((m) => {
    opened(m);
    set(m, -9);
    set(m, -22);
  }, new Scripted());
  const [closed, wrong] = target.of('ioctl').slice(-2);
  assert.ok((argOf(closed)?.readInt32LE(0) ?? 0) > 1 << 20, 'a number that is surely not open');
  const stranger = target.of('open').find((r) => argOf(r)?.toString() === '/dev/null\0');
  assert.is(partOf(wrong, 'fd')?.slot, stranger?.subject);
});

test('process memory is set up once for all its mappings, IOVAs stay', async () => {
  const map = (vaddr: bigint, iova: bigint, size: bigint) => ({
    ...{ name: 'VFIO_IOMMU_MAP_DMA', handle: 1, fd: 3 },
    input: packed(u32(32), u32(3), u64(vaddr), u64(iova), u64(size)),
  });
  const { target } = await run((m) => {
    opened(m);
    m.event(map(0x7f0000001000n, 0x1000n, 0x1000n));
    m.event(map(0x7f0000000000n, 0x100000n, 0x4000n));
  }, new Scripted());
  assert.is(target.of('memory').length, 1);
  assert.is(target.of('memory')[0]?.a, 0x4000n);
  const [one, two] = target.of('ioctl').slice(-2);
  const slot = target.of('memory')[0]?.subject;
  assert.equal(partOf(one, 'address'), { kind: 'address', at: 8, slot, delta: 0x1000n });
  assert.equal(partOf(two, 'address'), { kind: 'address', at: 8, slot, delta: 0n });
  assert.is(argOf(two)?.readBigUInt64LE(16), 0x100000n);
});

test('a mapping that failed for its address fails here for its address', async () => {
  const { target } = await run(
    (m) => {
      opened(m);
      m.event({
        ...{ name: 'VFIO_IOMMU_MAP_DMA', handle: 1, fd: 3, ret: -14 },
        input: packed(u32(32), u32(3), u64(0x7000), u64(0), u64(0x1000)),
      });
    },
    new Scripted((r) => (r.op === 'ioctl' && r.a === 0x3b71n ? { ret: -14 } : undefined)),
  );
  assert.is(partOf(target.of('ioctl').at(-1), 'address'), undefined);
  assert.is(argOf(target.of('ioctl').at(-1))?.readBigUInt64LE(8), 0n);
});

test('bitmaps start as they were; a pointer with nothing behind it leads nowhere', async () => {
  const report = packed(u32(40), u32(0x10008), u64(0), u64(0x1000), u64(0x1000), u64(0x7fff0000));
  const { target } = await run((m) => {
    opened(m);
    m.event({
      ...{ ...device, name: 'VFIO_DEVICE_FEATURE', feature: 0x10008, input: report },
      memory: [{ at: 32, phase: 0, bytes: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]) }],
    });
    m.event({ ...device, name: 'VFIO_DEVICE_FEATURE', feature: 0x10008, input: report, ret: -14 });
  }, new Scripted());
  const [kept, nowhere] = target.of('ioctl').slice(-2);
  assert.equal(partOf(kept, 'buffer')?.bytes, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]));
  assert.ok((argOf(nowhere)?.readBigUInt64LE(32) ?? 0n) < 4096n);
});

test('object ids are kept when they are made and named when they are used', async () => {
  const { target } = await run(
    (m) => {
      m.handle(1, 'iommufd', { fd: 3, path: '/dev/iommu' });
      const iommufd = { handle: 1, fd: 3 };
      m.event({
        op: 'open',
        kind: 'iommufd',
        fd: -1,
        a: 2,
        ret: 3,
        input: Buffer.from('/dev/iommu\0'),
        made: { handle: 1, kind: 'iommufd' },
      });
      m.event({
        ...iommufd,
        name: 'IOMMU_IOAS_ALLOC',
        input: packed(u32(12), u32(0), u32(0)),
        output: packed(u32(12), u32(0), u32(4)),
      });
      m.event({ ...iommufd, name: 'IOMMU_DESTROY', input: packed(u32(8), u32(4)) });
      m.event({ ...iommufd, name: 'IOMMU_DESTROY', input: packed(u32(8), u32(99)), ret: -2 });
    },
    new Scripted((r) => (r.op === 'ioctl' && argOf(r)?.readUInt32LE(4) === 99 ? { ret: -2 } : undefined)),
  );
  const [alloc, destroy, unknown] = target.of('ioctl');
  assert.is(partOf(alloc, 'keepId')?.at, 8);
  assert.equal(partOf(destroy, 'id'), { kind: 'id', at: 4, slot: partOf(alloc, 'keepId')?.slot });
  assert.is(partOf(unknown, 'id'), undefined, 'a number that was no object stays');
});

test('region accesses go to the region, wherever it begins here', async () => {
  const info = (offset: bigint) => packed(u32(32), u32(3), u32(7), u32(0), u64(0x100), u64(offset));
  const { target, verdict } = await run(
    (m) => {
      opened(m);
      m.event({ ...device, name: 'VFIO_DEVICE_GET_REGION_INFO', input: info(0n), output: info(7n << 40n) });
      m.event({ ...device, op: 'pread', region: 7, a: 0x10, length: 4, ret: 4, val: 1, flags: recordFlags.INLINE });
      m.event({ ...device, op: 'pread', a: 0x1234, length: 4, ret: 4, val: 1, flags: recordFlags.INLINE });
    },
    new Scripted((r) =>
      r.op === 'pread' ? { ret: 4, arg: packed(u32(1)) } : r.a === 0x3b6cn ? { arg: info(7n << 48n) } : undefined,
    ),
  );
  assert.equal(
    target.of('pread').map((r) => r.a),
    [(7n << 48n) + 0x10n, 0x1234n],
  );
  assert.equal(
    verdict.divergences.map((d) => d.differences[0]?.field),
    ['offset'],
  );
});

test('a register may settle, but not one in a loop', async () => {
  const read = {
    ...device,
    op: 'pread',
    region: 0,
    a: 0,
    length: 4,
    ret: 4,
    val: 7,
    flags: recordFlags.INLINE,
  } as const;
  const { target } = await run(
    (m) => {
      opened(m);
      m.event(read);
      m.event(read);
      m.event({ ...device, name: 'VFIO_DEVICE_RESET' });
    },
    new Scripted((r) => (r.op === 'pread' ? { ret: 4, arg: packed(u32(7)) } : undefined)),
    { settle: 250 },
  );
  const [loop, last] = target.of('pread');
  assert.is(loop?.flags, 0);
  assert.is(last?.flags, agentFlags.UNTIL);
  assert.equal(partOf(last, 'arg')?.bytes, packed(u32(7)));
});

test('polls ask only for eventfds that VFIO was given', async () => {
  const fds = Buffer.alloc(24);
  for (const [i, fd] of [9, 60, 10].entries()) {
    fds.writeInt32LE(fd, 8 * i);
    fds.writeInt16LE(1, 8 * i + 4);
    fds.writeInt16LE(1, 8 * i + 6);
  }
  const { target } = await run(
    (m) => {
      opened(m);
      m.handle(8, 'eventfd').handle(7, 'eventfd');
      const eventfd = { op: 'eventfd', kind: 'eventfd', fd: -1, a: 0 } as const;
      m.event({ ...eventfd, ret: 9, made: { handle: 8, kind: 'eventfd' } });
      m.event({ ...eventfd, ret: 10, made: { handle: 7, kind: 'eventfd' } }); // the program's own, written unseen
      m.event({
        ...{ ...device, name: 'VFIO_DEVICE_SET_IRQS' },
        input: packed(u32(24), u32(36), u32(1), u32(0), u32(1), u32(9)),
      });
      m.event({
        ...{ op: 'poll', kind: 'none', fd: -1, a: -1, length: 3, ret: 3 },
        memory: [{ at: wheres.ARRAY, phase: 1, bytes: fds }],
      });
    },
    new Scripted((r) => (r.op === 'poll' ? { ret: 1, arg: fds } : undefined)),
  );
  const [poll] = target.of('poll');
  assert.is(poll?.timeout, 100);
  assert.equal(poll?.parts.slice(1), [{ kind: 'fd', at: 0, slot: target.of('eventfd')[0]?.subject }]);
  for (const at of [8, 16]) {
    assert.is(argOf(poll)?.readInt32LE(at), -1);
    assert.is(argOf(poll)?.readInt16LE(at + 6), 0);
  }
});

test('nothing outside /dev/vfio is opened for a trace', async () => {
  for (const path of [
    '/etc/shadow',
    '/dev/vfio/../../etc/shadow',
    '/dev/vfio/./x',
    '/dev/vfiox',
    '/dev/vfio/a b',
    '/dev/vfio/devices/../x',
  ]) {
    const target = new Scripted();
    const open = { op: 'open', kind: 'group', fd: -1, a: 2, ret: 3, input: Buffer.from(`${path}\0`) } as const;
    const { verdict } = await run((m) => void m.event({ ...open, made: { handle: 1, kind: 'group' } }), target);
    assert.is(verdict.skipped[0]?.why, "its path is none of VFIO's", path);
    assert.is(target.asked.length, 0);
  }
});

test.run();
