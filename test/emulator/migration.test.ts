// A device moves: v1 through its region, v2 through a data descriptor, with what each protocol says on the way.

import { suite } from 'uvu';
import { equal, is, ok } from 'uvu/assert';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import { featureOps, vfio_precopy_info } from '../../schema/device.ts';
import { type MigState, migStates } from '../../schema/features.ts';
import { fill, get, start } from './client.ts';

const RAM = 2;
const BAR0 = 0;
const MIGRATION = 9;
const v1Regs = { state: 0, pending: 8, offset: 16, size: 24 } as const;
type Machine = ReturnType<typeof start>;

/** Something to move: memory, and a register. */
function mark(it: Machine, pages = 16): void {
  for (let page = 0; page < pages; page++) it.client.store(it.device, RAM, page * 4096 + 8, 1000 + page);
  it.client.store(it.device, BAR0, 4, 0x1234);
}
function marked(it: Machine, pages = 16): void {
  for (let page = 0; page < pages; page++) is(it.client.load(it.device, RAM, page * 4096 + 8), BigInt(1000 + page));
  is(it.client.load(it.device, BAR0, 4), BigInt(~0x1234 >>> 0));
}

const v1 = suite('v1');
const read64 = (it: Machine, at: number): number => Number(it.client.load(it.device, MIGRATION, at, 8));
const setState = (it: Machine, value: number) => it.client.store(it.device, MIGRATION, v1Regs.state, value);

/** Segments until nothing is pending. */
function save(it: Machine): Buffer[] {
  const segments: Buffer[] = [];
  while (read64(it, v1Regs.pending) > 0) {
    const offset = read64(it, v1Regs.offset);
    const size = read64(it, v1Regs.size);
    is(read64(it, v1Regs.offset), offset, 'the same segment until it is acknowledged');
    is(read64(it, v1Regs.size), size);
    const where = (BigInt(MIGRATION) << 40n) + BigInt(offset);
    segments.push(it.client.pread(it.device, size, where) as Buffer);
  }
  return segments;
}
function load(it: Machine, segments: readonly Buffer[]): void {
  for (const segment of segments) {
    const offset = read64(it, v1Regs.offset);
    is(it.client.pwrite(it.device, segment, (BigInt(MIGRATION) << 40n) + BigInt(offset)), segment.length);
    is(it.client.store(it.device, MIGRATION, v1Regs.size, segment.length, 8), 8);
  }
}

for (const options of [
  'v1-edu',
  'v1-edu,buffer=shared',
  'v1-churn',
  'v1-edu,dataSize=5000',
  'v1-edu,memory=8192,dataSize=4168',
]) {
  v1(`moves a device (${options})`, () => {
    const source = start([{ profile: profileOf(options) }]);
    const target = start([{ profile: profileOf(options) }], { seed: 5 });
    const pages = options.includes('memory=8192') ? 2 : 16;
    mark(source, pages);
    is(setState(source, 3), 4);
    const live: Buffer[] = [];
    if (options !== 'v1-churn') live.push(...save(source));
    else
      for (let i = 0; i < 4; i++) {
        // A device that goes on writing is never done while it runs.
        ok(read64(source, v1Regs.pending) > 0);
        read64(source, v1Regs.offset);
        const size = read64(source, v1Regs.size);
        live.push(source.client.pread(source.device, size, (BigInt(MIGRATION) << 40n) + 4096n) as Buffer);
      }
    is(setState(source, 2), 4);
    const stopped = save(source);
    is(setState(source, 0), 4);
    is(setState(target, 4), 4);
    load(target, [...live, ...stopped]);
    is(setState(target, 1), 4);
    for (let at = 0; at < 65536; at += 4096)
      equal(
        target.client.pread(target.device, 4096, (BigInt(RAM) << 40n) + BigInt(at)),
        source.client.pread(source.device, 4096, (BigInt(RAM) << 40n) + BigInt(at)),
      );
    if (options !== 'v1-churn') marked(target, pages);
  });
}

v1('RESUMING to SAVING: right, or data lost, or ERROR, by order and buffer', () => {
  const outcome = (options: string): string => {
    const source = start([{ profile: profileOf('v1-edu') }]);
    mark(source);
    setState(source, 2);
    const segments = save(source);
    const it = start([{ profile: profileOf(`v1-edu,${options}`) }]);
    is(setState(it, 4), 4);
    load(it, segments);
    if (setState(it, 2) !== 4) return 'ERROR';
    is(it.client.load(it.device, MIGRATION, 0), 2n);
    return it.client.load(it.device, RAM, 8) === 1000n ? 'right' : 'lost';
  };
  const table = ['v2', 'v3', 'reply', 'derived'].map((precedence) =>
    ['shared', 'separate'].map((buffer) =>
      ['ignored', 'checked'].map((i) => outcome(`precedence=${precedence},buffer=${buffer},intermediate=${i}`)),
    ),
  );
  const broken = [
    ['lost', 'ERROR'],
    ['right', 'ERROR'],
  ];
  const right = [
    ['right', 'right'],
    ['right', 'right'],
  ];
  equal(table, [broken, broken, right, right]);
});

v1('fields are accessed whole; pending ones are read only; NDMA must be offered', () => {
  const it = start([{ profile: profileOf('v1-edu') }]);
  is(it.client.pread(it.device, 8, BigInt(MIGRATION) << 40n), 'EINVAL');
  is(it.client.pread(it.device, 4, (BigInt(MIGRATION) << 40n) + 8n), 'EINVAL');
  is(it.client.store(it.device, MIGRATION, v1Regs.pending, 1, 8), 'EINVAL');
  is(it.client.load(it.device, MIGRATION, 4), 0n);
  is(setState(it, 9), 'EINVAL');
  is(setState(it, 5), 'EINVAL');
  is(it.client.load(it.device, MIGRATION, 0), 1n);
});

v1('a failing arc leaves the state before it; ERROR ends with a reset', () => {
  const it = start([{ profile: profileOf('v1-edu') }], { faults: ['SET_STATE:SAVING=EIO', 'SET_STATE:0=ERROR'] });
  is(setState(it, 3), 4);
  is(setState(it, 2), 'EIO');
  is(it.client.load(it.device, MIGRATION, 0), 3n);
  is(setState(it, 1), 4);
  is(setState(it, 0), 'EIO');
  is(it.client.load(it.device, MIGRATION, 0), 6n);
  is(it.client.ioctl(it.device, 'VFIO_DEVICE_RESET'), 0);
  is(it.client.load(it.device, MIGRATION, 0), 1n);
});
v1.run();

const v2 = suite('v2');
const to = (it: Machine, state: MigState) => {
  const { ret, data } = it.client.feature(it.device, featureOps.SET, 'MIG_DEVICE_STATE', {
    device_state: migStates[state],
  });
  return { ret, fd: data.readInt32LE(4) };
};
const now = (it: Machine): number =>
  it.client.feature(it.device, featureOps.GET, 'MIG_DEVICE_STATE').data.readUInt32LE();
function drain(it: Machine, fd: number): { bytes: Buffer; end: string | Buffer } {
  const parts: Buffer[] = [];
  for (;;) {
    const got = it.client.read(fd, 10_000);
    if (typeof got === 'string' || got.length === 0) return { bytes: Buffer.concat(parts), end: got };
    parts.push(got);
  }
}
const precopy = (it: Machine, fd: number) => {
  const info = fill(vfio_precopy_info, {});
  const ret = it.client.ioctl(fd, 'VFIO_MIG_GET_PRECOPY_INFO', info);
  return {
    ret,
    initial: get(vfio_precopy_info, info, 'initial_bytes'),
    dirty: get(vfio_precopy_info, info, 'dirty_bytes'),
  };
};

v2('moves a device through one stream, whose pieces may be cut anywhere', () => {
  const source = start([{ profile: profileOf('v2-full') }]);
  const target = start([{ profile: profileOf('v2-full') }]);
  mark(source);
  const { fd } = to(source, 'PRE_COPY');
  const { initial } = precopy(source, fd);
  ok(initial > 65536n);
  const first = drain(source, fd);
  is(first.end, 'ENOMSG');
  is(BigInt(first.bytes.length), initial);
  equal(precopy(source, fd), { ret: 0, initial: 0n, dirty: 0n });
  source.client.store(source.device, RAM, 5 * 4096 + 8, 1005);
  source.client.store(source.device, RAM, 5 * 4096 + 16, 1);
  ok(precopy(source, fd).dirty > 4096n);
  is(to(source, 'STOP_COPY').fd, -1, 'it goes on in the same descriptor');
  is(precopy(source, fd).ret, 'EINVAL');
  const rest = drain(source, fd);
  equal(rest.end, Buffer.alloc(0));
  is(to(source, 'STOP').ret, 0);
  is(source.client.read(fd, 1), 'ENODEV');
  const sink = to(target, 'RESUMING').fd;
  const all = Buffer.concat([first.bytes, rest.bytes]);
  for (let at = 0; at < all.length; at += 777) {
    const piece = all.subarray(at, at + 777);
    is(target.client.write(sink, piece), piece.length);
  }
  is(target.client.read(sink, 1), 'EBADF');
  is(to(target, 'RUNNING').ret, 0);
  marked(target);
});

v2('ends a PRE_COPY stream for now as the profile says', () => {
  const it = start([{ profile: profileOf('v2-zero') }]);
  equal(drain(it, to(it, 'PRE_COPY').fd).end, Buffer.alloc(0));
});

v2('a failing arc leaves an interior state, the request echoed and no descriptor', () => {
  const it = start([{ profile: profileOf('v2-full') }], {
    faults: ['SET_STATE:STOP=EIO', 'SET_STATE:STOP_COPY=ERROR'],
  });
  const failed = it.client.feature(it.device, featureOps.SET, 'MIG_DEVICE_STATE', {
    device_state: migStates.STOP_COPY,
  });
  is(failed.ret, 'EIO');
  is(failed.data.readUInt32LE(0), migStates.STOP_COPY);
  is(failed.data.readInt32LE(4), -1);
  is(now(it), migStates.RUNNING_P2P);
  is(to(it, 'STOP_COPY').ret, 'EIO');
  is(now(it), migStates.ERROR);
  is(to(it, 'RUNNING').ret, 'EINVAL');
  is(it.client.ioctl(it.device, 'VFIO_DEVICE_RESET'), 0);
  is(now(it), migStates.RUNNING);
});

v2('MIG_PRECOPY_INFOv2 is 7.2’s, and wants PRE_COPY', () => {
  const opt = (profile: string, kernel: '6.12' | '7.2') => {
    const it = start([{ profile: profileOf(profile) }], { kernel });
    return it.client.feature(it.device, featureOps.SET, 'MIG_PRECOPY_INFOv2').ret;
  };
  is(opt('v2-full', '6.12'), 'ENOTTY');
  is(opt('v2-full', '7.2'), 0);
  is(opt('v2-p2p', '7.2'), 'EINVAL');
});

v2('a device in a P2P state does no DMA, and one that is touched while stopped says so', () => {
  const it = start([{ profile: profileOf('v2-full') }]);
  is(to(it, 'STOP').ret, 0);
  it.client.load(it.device, BAR0, 0);
  ok(it.emulator.incidents.some((i) => i.what.includes('while stopped')));
});
v2.run();

const serial = suite('serial');
serial('its stream is the lab kernel’s: 24 bytes of header, 72 of ports, then 0', () => {
  const it = start([{ profile: profileOf('serial') }]);
  const { fd } = to(it, 'PRE_COPY');
  equal(precopy(it, fd), { ret: 0, initial: 24n, dirty: 0n });
  is(drain(it, fd).bytes.length, 24);
  is(to(it, 'STOP_COPY').fd, -1);
  is(drain(it, fd).bytes.length, 72);
});
serial.run();
