// Whatever a program passes, the emulator answers with a result or an errno, as a kernel would.

import { suite } from 'uvu';
import { is, ok } from 'uvu/assert';
import { Emulator } from '../../replayer/emulator/emulator.ts';
import { OpenFile } from '../../replayer/emulator/file.ts';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import { Random } from '../../replayer/emulator/random.ts';
import { request } from '../../schema/call.ts';
import { features } from '../../schema/features.ts';
import { calls } from '../../schema/surface.ts';
import { openDevice, start, TYPE1v2 } from './client.ts';

const CALLS = 6000;
const odd = [
  0n,
  1n,
  2n,
  4095n,
  4096n,
  4097n,
  1n << 20n,
  (1n << 31n) - 1n,
  1n << 40n,
  (1n << 63n) - 1n,
  (1n << 64n) - 4096n,
  (1n << 64n) - 1n,
];
const test = suite('emulator, anything passed');

for (const profile of ['edu', 'serial', 'v1-sparse', 'v2-churn', 'e1000'])
  test(`${profile}: ${CALLS} calls with arguments that make no sense`, () => {
    const random = new Random(7);
    const it = start([{ profile: profileOf(profile) }, { profile: profileOf(profile) }]);
    const { client, emulator } = it;
    const iommufd = client.open('/dev/iommu');
    const second = client.open('/dev/vfio/devices/vfio1');
    const event = client.eventfd().fd;
    const memory = client.allocate(1 << 16);
    const pick = <T>(list: readonly T[]): T => list[random.below(list.length)] as T;
    const numbers = [...odd, memory, memory + 4096n, BigInt(event), BigInt(it.device), BigInt(iommufd)];
    const fill = (length: number): Buffer => {
      const bytes = random.bytes(length);
      for (let at = 0; at + 8 <= length; at += 4)
        if (random.below(3) > 0) bytes.writeBigUInt64LE(BigInt.asUintN(64, pick(numbers)), at);
      // A size that is believed, flags that are few.
      bytes.writeUInt32LE(pick([length, length, length, 8, 0, 0xffffffff]), 0);
      if (length >= 8)
        bytes.writeUInt32LE(
          pick([
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            7,
            33,
            36,
            0x10002,
            0x20002,
            ...features.flatMap((f) => [0x10000 | f.id, 0x20000 | f.id]),
          ]),
          4,
        );
      return bytes;
    };
    const files = (): OpenFile[] =>
      Array.from({ length: 40 }, (_, i) => client.file(i)).filter((f) => f instanceof OpenFile);
    const results = new Map<number, number>();
    for (let i = 0; i < CALLS; i++) {
      const file = pick(files());
      const what = random.below(10);
      let ret: number;
      if (what < 7) {
        const of = calls.filter((c) => c.kind === file.kind);
        const nr = random.below(20) === 0 ? random.below(65536) : request(pick(of.length > 0 ? of : calls).nr);
        const arg = random.below(12) === 0 ? pick(numbers) : client.memory.pass(fill(4 * (1 + random.below(24))));
        ret = emulator.ioctl(client, file, nr, arg);
      } else {
        const offset = BigInt.asUintN(63, (BigInt(random.below(12)) << 40n) + pick(odd.slice(0, 8)));
        const length = pick([0, 1, 2, 3, 4, 8, 17, 4096, 70_000]);
        const got =
          what === 7
            ? emulator.pread(client, file, length, offset)
            : what === 8
              ? emulator.pwrite(client, file, random.bytes(length), offset)
              : emulator.read(client, file, length);
        ret = typeof got === 'number' ? got : got.length;
      }
      client.memory.endCall();
      ok(Number.isInteger(ret) && ret > -4096, `call ${i}: ${ret}`);
      results.set(Math.sign(ret), (results.get(Math.sign(ret)) ?? 0) + 1);
      if (client.file(39)) break; // descriptors run out: streams that were opened
    }
    ok((results.get(0) ?? 0) > 20, 'some of it made sense');
    ok(second > 0);
  });

test('closing everything in any order lets everything go', () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = new Random(seed);
    const it = start([{ profile: profileOf('v2-full') }, { profile: profileOf('v2-full') }]);
    const { client } = it;
    const iommufd = client.open('/dev/iommu');
    client.open('/dev/vfio/devices/vfio1');
    const open = [it.container, it.group, it.device, iommufd, iommufd + 1];
    while (open.length > 0) client.close(open.splice(random.below(open.length), 1)[0] as number);
    is(it.emulator.lockedPages(1), 0n);
    // Everything can be opened again.
    const container = client.open('/dev/vfio/vfio');
    const group = client.open('/dev/vfio/1');
    ok(group >= 0, `seed ${seed}`);
    const set = Buffer.alloc(4);
    set.writeInt32LE(container);
    is(client.ioctl(group, 'VFIO_GROUP_SET_CONTAINER', set), 0);
    is(client.ioctl(container, 'VFIO_SET_IOMMU', TYPE1v2), 0);
    ok(openDevice(client, group, it.emulator.devices[0]?.name ?? '') >= 0);
  }
});

test('a machine without devices has none', () => {
  const emulator = new Emulator([]);
  is(emulator.open('/dev/vfio/1'), -2);
  is(emulator.open('/dev/vfio/devices/vfio0'), -2);
  ok(emulator.open('/dev/vfio/vfio') instanceof OpenFile);
});
test.run();
