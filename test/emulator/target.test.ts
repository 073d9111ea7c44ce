// The emulator as a replay's target: slots, memory, virtual time; and devices as a trace describes them.

import { join } from 'node:path';
import { suite } from 'uvu';
import { equal, is, ok } from 'uvu/assert';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import { EmulatorTarget, openEmulator } from '../../replayer/emulator/target.ts';
import { samePlaces } from '../../replayer/places.ts';
import { replay } from '../../replayer/replay.ts';
import type { Part, Request } from '../../replayer/target.ts';
import { agentFlags } from '../../schema/agent.ts';
import { request } from '../../schema/call.ts';
import { vfio_iommu_type1_dma_map } from '../../schema/container.ts';
import { irqSetFlags, pciIrqs, vfio_irq_set } from '../../schema/device.ts';
import { errnoNumber } from '../../schema/errno.ts';
import { calls } from '../../schema/surface.ts';
import { openTrace } from '../../traces/trace.ts';
import { packed, u32, u64 } from '../replayer/event.ts';
import { device } from '../replayer/run.ts';
import { inTemporary, TraceMaker } from '../traces/make.ts';
import { fill } from './client.ts';

const [CONTAINER, GROUP, DEVICE, EVENT, MEMORY] = [1, 2, 3, 4, 5];
const CONFIG = 7n << 40n;
const no = (name: string): number => -(errnoNumber(name) ?? 0);
const nr = (name: string): bigint => BigInt(request(calls.find((c) => c.name === name)?.nr ?? 0));

let tag = 0;
const ask = (op: Request['op'], subject: number, more: Partial<Request> = {}): Request => ({
  ...{ tag: ++tag, op, subject, a: 0n, b: 0n, timeout: 0, flags: 0, parts: [] },
  ...more,
});
const bytes = (b: Buffer): Part => ({ kind: 'arg', bytes: b });
const u16 = (n: number): Buffer => Buffer.from([n & 255, n >> 8]);
const word = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n);
  return b;
};
const text = (s: string): Part => bytes(Buffer.from(`${s}\0`));
const ioctl = (slot: number, name: string, parts: readonly Part[] = [], b = 0n): Request =>
  ask('ioctl', slot, { a: nr(name), b, parts });

/** Everything up to a device that masters the bus, with 8 KiB of memory mapped at 0x100000. */
const begin = (): Request[] => [
  ask('open', CONTAINER, { parts: [text('/dev/vfio/vfio')] }),
  ask('open', GROUP, { parts: [text('/dev/vfio/1')] }),
  ioctl(GROUP, 'VFIO_GROUP_SET_CONTAINER', [bytes(word(0)), { kind: 'fd', at: 0, slot: CONTAINER }]),
  ioctl(CONTAINER, 'VFIO_SET_IOMMU', [], 3n),
  ioctl(GROUP, 'VFIO_GROUP_GET_DEVICE_FD', [text('0000:00:04.0'), { kind: 'keepFd', at: 'ret', slot: DEVICE }]),
  ask('pwrite', DEVICE, { a: CONFIG + 4n, parts: [bytes(u16(6))] }),
  ask('memory', MEMORY, { a: 8192n }),
  ioctl(CONTAINER, 'VFIO_IOMMU_MAP_DMA', [
    bytes(fill(vfio_iommu_type1_dma_map, { flags: 3, iova: 0x100000n, size: 8192n })),
    { kind: 'address', at: 8, slot: MEMORY, delta: 0n },
  ]),
];
const msi = (): Request[] => {
  const flags = irqSetFlags.DATA_EVENTFD | irqSetFlags.ACTION_TRIGGER;
  const arg = fill(vfio_irq_set, { flags, index: pciIrqs.MSI, count: 1 }, word(0));
  const parts: Part[] = [bytes(arg), { kind: 'fd', at: vfio_irq_set.size, slot: EVENT }];
  return [ask('eventfd', EVENT), ioctl(DEVICE, 'VFIO_DEVICE_SET_IRQS', parts)];
};
const dma = (from: number, to: number, length: number, command: number): Request[] =>
  [from, to, length, command | 1].map((v, i) =>
    ask('pwrite', DEVICE, { a: BigInt(0x80 + 8 * i), parts: [bytes(word(v))] }),
  );

const test = suite('emulator as a target');
const edu = () => new EmulatorTarget([{ profile: profileOf('edu') }]);

test('performs a batch in which later calls name what earlier ones made', async () => {
  const target = edu();
  const replies = await target.run([
    ...begin(),
    ...msi(),
    ask('poke', MEMORY, { a: 16n, parts: [bytes(Buffer.from('hello, device'))] }),
    ...dma(0x100010, 0x40000, 13, 0),
    ...dma(0x40000, 0x101000, 13, 2 | 4),
    ask('read', EVENT, { b: 8n, timeout: 100 }),
    ask('peek', MEMORY, { a: 4096n, b: 13n }),
    ask('read', EVENT, { b: 8n, timeout: 5 }),
  ]);
  ok(
    replies.slice(0, -1).every((r) => r.ret >= 0),
    JSON.stringify(replies.map((r) => r.ret)),
  );
  is(replies.at(-3)?.arg?.readBigUInt64LE(), 1n);
  is(replies.at(-2)?.arg?.toString(), 'hello, device');
  is(replies.at(-1)?.ret, no('ETIMEDOUT'));
  ok((replies.at(-1)?.duration ?? 0) >= 5e6, 'waiting takes virtual time');
});

test('answers the same to the same, every time', async () => {
  const once = async () => {
    tag = 0;
    return JSON.stringify(await edu().run([...begin(), ...msi(), ...dma(0x100000, 0x40000, 64, 4)]));
  };
  const first = await once();
  for (let i = 0; i < 10; i++) is(await once(), first);
});

test('does not perform what names an empty slot', async () => {
  const target = edu();
  const [fd, address, closed, nowhere] = await target.run([
    ioctl(CONTAINER, 'VFIO_GET_API_VERSION'),
    ...[ask('open', CONTAINER, { parts: [text('/dev/vfio/vfio')] })].slice(1),
    ask('munmap', MEMORY),
    ask('close', GROUP),
    ask('open', GROUP, { parts: [text('/dev/vfio/99')] }),
  ]);
  equal([fd?.ret, address?.ret, closed?.ret, nowhere?.ret], [no('EBADF'), no('EFAULT'), no('EBADF'), no('ENOENT')]);
});

test('a buffer that was nowhere gives EFAULT', async () => {
  const target = edu();
  const flags = agentFlags.FAULT;
  const replies = await target.run([
    ...begin(),
    ask('pread', DEVICE, { b: 4n, flags }),
    ask('pwrite', DEVICE, { b: 4n, flags }),
  ]);
  equal(
    replies.slice(-2).map((r) => r.ret),
    [no('EFAULT'), no('EFAULT')],
  );
});

test('a device that writes to a peer’s mapped registers reaches the peer', async () => {
  const target = new EmulatorTarget([
    { profile: profileOf('edu'), group: 1 },
    { profile: profileOf('v2-full'), group: 1 },
  ]);
  const PEER = 6;
  const WINDOW = 7;
  const map = packed(u64(0), u64(65536), u64(3), u64(1), u64(2n << 40n)); // BAR 2 of the peer, shared
  const replies = await target.run([
    ...begin(),
    ioctl(GROUP, 'VFIO_GROUP_GET_DEVICE_FD', [text('0000:00:05.0'), { kind: 'keepFd', at: 'ret', slot: PEER }]),
    ask('mmap', PEER, { parts: [bytes(map), { kind: 'keepMemory', at: 'ret', slot: WINDOW }] }),
    ioctl(CONTAINER, 'VFIO_IOMMU_MAP_DMA', [
      bytes(fill(vfio_iommu_type1_dma_map, { flags: 3, iova: 0x800000n, size: 65536n })),
      { kind: 'address', at: 8, slot: WINDOW, delta: 0n },
    ]),
    ask('poke', MEMORY, { parts: [bytes(Buffer.from('to my peer'))] }),
    ...dma(0x100000, 0x40000, 10, 0),
    ...dma(0x40000, 0x800020, 10, 2),
    ask('pread', PEER, { a: (2n << 40n) + 0x20n, b: 10n }),
  ]);
  is(replies.at(-1)?.arg?.toString(), 'to my peer');
  is(target.emulator.incidents.length, 0);
});
test.run();

const recorded = suite('recorded device');
const irqInfo = (flags: number, count: number) => packed(u32(16), u32(flags), u32(1), u32(count));

/** A trace of a device that no profile is for: an unknown id, a register that counts, an interrupt, a refusal. */
function unknown(m: TraceMaker): void {
  const read = (region: number, a: number, length: number, val: number): void =>
    void m.event({ ...device, op: 'pread', region, a, length, ret: length, val, flags: 1 });
  m.handle(4, 'eventfd', { fd: 9 }).handle(1, 'container', { fd: 3, path: '/dev/vfio/vfio' });
  m.handle(2, 'group', { fd: 4, path: '/dev/vfio/7' }).handle(3, 'device', { fd: 5, name: '0000:00:04.0', parent: 2 });
  m.region(3, 0).region(3, 7);
  const path = (s: string): Buffer => Buffer.from(`${s}\0`);
  const open = (kind: 'container' | 'group', fd: number, handle: number, at: string): void =>
    void m.event({ ...{ op: 'open', fd: -1, a: 2, kind, ret: fd, input: path(at) }, made: { handle, kind } });
  open('container', 3, 1, '/dev/vfio/vfio');
  open('group', 4, 2, '/dev/vfio/7');
  m.event({ name: 'VFIO_GROUP_SET_CONTAINER', handle: 2, fd: 4, input: word(3), output: word(3) });
  m.event({ name: 'VFIO_SET_IOMMU', handle: 1, fd: 3, a: 3 });
  const made = { handle: 3, kind: 'device' } as const;
  m.event({ ...{ name: 'VFIO_GROUP_GET_DEVICE_FD', handle: 2, fd: 4, ret: 5, input: path('0000:00:04.0') }, made });
  read(7, 0, 4, 0xbeefcafe);
  for (const v of [10, 11, 12]) read(0, 0x100, 4, v);
  m.event({ ...device, name: 'VFIO_DEVICE_GET_IRQ_INFO', input: irqInfo(0, 0), output: irqInfo(9, 1) });
  m.event({ ...device, name: 'VFIO_DEVICE_RESET', ret: no('EIO') });
  m.event({ op: 'eventfd', kind: 'eventfd', fd: 9, ret: 9, made: { handle: 4, kind: 'eventfd' } });
  const flags = irqSetFlags.DATA_EVENTFD | irqSetFlags.ACTION_TRIGGER;
  const set = packed(u32(24), u32(flags), u32(1), u32(0), u32(1), u32(9));
  m.event({ ...device, name: 'VFIO_DEVICE_SET_IRQS', input: set, output: set });
  m.event({ handle: 4, kind: 'eventfd', op: 'read', fd: 9, length: 8, ret: 8, val: 3, flags: 1 });
}

recorded('answers register by register in order, and interrupts when somebody waits', () =>
  inTemporary(async (dir) => {
    const path = join(dir, 'unknown.vrr');
    const maker = new TraceMaker(path);
    maker.meta('state', 'finished');
    unknown(maker);
    maker.finish();
    const trace = openTrace(path);
    const target = await openEmulator(undefined, trace);
    const verdict = await replay({
      ...{ trace, target, places: samePlaces(trace, new Map()), until: 1e9, speed: 'fast' },
      ...{ masks: [], raw: false, patience: 10, settle: 0, stop: false },
    });
    trace.close();
    equal(
      verdict.divergences.map((d) => d.event),
      [],
    );
    ok(verdict.compared >= 9);
  }),
);
recorded.run();
