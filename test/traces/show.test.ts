import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errnos } from '../../schema/errno.ts';
import { type Op, recordFlags, wheres } from '../../schema/event.ts';
import { kvmCalls } from '../../schema/kvm.ts';
import { errorTexts } from '../../traces/format/scalar.ts';
import { show } from '../../traces/show.ts';
import { listen } from './io.ts';
import { type EventSpec, inTemporary, TraceMaker } from './make.ts';
import { packed, sample, u16, u32, u64 } from './sample.ts';

async function lines(range: string[], json = false): Promise<string[]> {
  return inTemporary(async (dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const io = listen();
    await show({ path, range, json, follow: false }, io);
    assert.match(io.stderr(), 'MAPPED');
    return io.stdout().split('\n').slice(0, -1);
  });
}
const line = async (id: number): Promise<string> => (await lines([`${id}`]))[0] ?? '';

test('a structure is decoded by name', async () => {
  assert.is(
    await line(7),
    '     7 0.000006 [pid 100] ioctl(3</dev/vfio/vfio>, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=READ|WRITE, vaddr=0x7f0000000000, iova=0x0, size=0x1000}) = 0 <0.000000500>',
  );
});

test('a failed call has its error', async () => assert.match(await line(8), /\) = -1 EEXIST \(File exists\) </));

test('a call that never returned says so', async () => assert.match(await line(32), /= \? <unfinished \.\.\.>$/));

test('a region access names region, offset, width and value', async () => {
  assert.match(await line(12), 'pread(5<0000:00:04.0>, BAR0+0x8, 4) = 4 [0x12345678]');
  assert.match(await line(13), 'pwrite(5<0000:00:04.0>, CONFIG+0x4, 2 [0x7]) = 2');
});

test('a capability chain is decoded, and what was hidden from the program is said', async () => {
  assert.match(
    await line(10),
    'SPARSE_MMAP={version=1, nr_areas=1, areas=[{offset=0x2000, size=0x1000}]}} /* MMAP hidden',
  );
});

test('a feature is shown with its data and the descriptor that it made', async () => {
  assert.match(await line(15), '{argsz=16, flags=GET|MIGRATION} => {data={flags=STOP_COPY|P2P|PRE_COPY}}');
  assert.match(
    await line(16),
    'flags=SET|MIG_DEVICE_STATE, device_state=PRE_COPY} => {data_fd=6<data of 0000:00:04.0>}',
  );
  assert.match(await line(20), '{argsz=16, flags=GET|MIG_DEVICE_STATE} => {device_state=ERROR, data_fd=-1}');
});

test('a dirty bitmap is summed up', async () => assert.match(await line(22), '{data={5 of 64 set: 0-3, 7}}'));

test('an unknown request keeps its bytes', async () =>
  assert.match(
    await line(23),
    'ioctl(5<0000:00:04.0>, 0x3b7f /* unknown on device */, [08 00 00 00 ad de 00 00]) = -1 ENOTTY',
  ));

test('a v1 migration region is shown by its fields', async () => {
  assert.match(await line(26), 'pwrite(8<0000:00:05.0>, MIGRATION.device_state, 4 [SAVING|RUNNING]) = 4');
  assert.match(await line(27), 'MIGRATION.pending_bytes, 8) = 8 [0x40]');
});

test('descriptors that are passed are named', async () => assert.match(await line(30), 'SCM_RIGHTS [5<0000:00:04.0>]'));

test('JSON has every event once, with 64-bit numbers as text', async () => {
  const events = (await lines([], true)).map((l) => JSON.parse(l));
  assert.equal(
    events.map((e) => e.id),
    Array.from({ length: 32 }, (_, i) => i + 1),
  );
  assert.is(events[6].input.vaddr, '0x7f0000000000');
  assert.is(events[7].error, 'EEXIST');
  assert.is(events[11].value, '0x12345678');
});

test('what a hostile trace calls a device cannot steer the terminal', () =>
  inTemporary(async (dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.handle(1, 'device', { name: '\u001b[2J\nfake' });
    m.event({ op: 'close', handle: 1 });
    m.finish();
    const io = listen();
    await show({ path, range: [], json: false, follow: false }, io);
    assert.match(io.stdout(), '\\u001b[2J\\u000afake');
    assert.is(io.stdout().split('\n').length, 2);
  }));

const words = (...n: (bigint | number)[]): Buffer => packed(...n.map((x) => u64(x)));
const array = (phase: 0 | 1, bytes: Buffer): { memory: { at: number; phase: 0 | 1; bytes: Buffer }[] } => ({
  memory: [{ at: wheres.ARRAY, phase, bytes }],
});
const pollfd = (fd: number, events: number, revents: number): Buffer => packed(u32(fd), u16(events), u16(revents));

/** Every op of the format has its way of being shown. */
const shown: Readonly<Record<Op, readonly [EventSpec, string]>> = {
  ioctl: [{ name: 'VFIO_SET_IOMMU', a: 1 }, 'ioctl(3</dev/x>, VFIO_SET_IOMMU, TYPE1_IOMMU) = 0'],
  pread: [
    { length: 16, a: 0x40, ret: 16, output: Buffer.alloc(16) },
    `pread(3</dev/x>, 0x40, 16) = 16 [${'00 '.repeat(15)}00]`,
  ],
  pwrite: [{ length: 1, a: 0x40, ret: 1, input: Buffer.from([7]) }, 'pwrite(3</dev/x>, 0x40, 1 [0x7]) = 1'],
  read: [{ length: 8, ret: -11 }, 'read(3</dev/x>, 8) = -1 EAGAIN (Resource temporarily unavailable)'],
  write: [{ length: 3, ret: 3, input: Buffer.from('abc') }, 'write(3</dev/x>, 3 [61 62 63]) = 3'],
  open: [{ a: 0, ret: -2, input: Buffer.from('/dev/vfio/9\0') }, 'open("/dev/vfio/9", O_RDONLY) = -1 ENOENT'],
  close: [{}, 'close(3</dev/x>) = 0'],
  dup: [{ ret: 9 }, 'dup(3</dev/x>) = 9</dev/x>'],
  mmap: [
    { a: 0x1000, length: 4096, ret: 0x7f0000000000, ...array(0, words(0, 4096, 3, 1, 0x1000)) },
    'mmap(NULL, 0x1000, PROT_READ|PROT_WRITE, MAP_SHARED, 3</dev/x>, 0x1000) = 0x7f0000000000',
  ],
  munmap: [{ a: 0x7f0000000000, length: 4096 }, 'munmap(0x7f0000000000, 4096) = 0'],
  mremap: [{ a: 4096, ret: 8192, ...array(0, words(4096, 1, 2, 1, 0)) }, 'mremap(0x1000, 1, 2, 1) = 0x2000'],
  poll: [
    { a: -1, length: 1, ret: 1, memory: [...array(0, pollfd(3, 1, 0)).memory, ...array(1, pollfd(3, 1, 17)).memory] },
    'poll([{3</dev/x>, POLLIN}], -1) = 1 [{3</dev/x>, POLLIN|POLLHUP}]',
  ],
  sendmsg: [{ ret: 1, ...array(0, packed(u32(3), u32(1))) }, 'sendmsg(3, SCM_RIGHTS [3</dev/x>]) = 1'],
  recvmsg: [{ ret: 1, ...array(1, packed(u32(8), u32(77))) }, 'recvmsg(3, SCM_RIGHTS [8<?>]) = 1'],
  fork: [{ ret: 123 }, 'fork() = 123'],
  exec: [{ input: Buffer.from('/bin/x\0') }, 'execve("/bin/x") = 0'],
  attach: [{}, 'attach(3</dev/x>) /* a descriptor that was there already: device */'],
  eventfd: [{ a: 2, length: 0o2000000, ret: 6 }, 'eventfd(2, EFD_CLOEXEC) = 6'],
  fcntl: [{ a: 4, length: 0 }, 'fcntl(3</dev/x>, F_SETFL, 0) = 0'],
  process: [{ a: 100, input: Buffer.from('/bin/x\0') }, '+++ process 100 "/bin/x" +++'],
  load: [
    { region: 0, a: 8, length: 4, ret: 4, val: 5, flags: recordFlags.INLINE },
    'load(/dev/x BAR0+0x8, 4) = 4 [0x5]',
  ],
  store: [
    { region: 0, a: 8, length: 4, ret: 4, val: 5, flags: recordFlags.INLINE },
    'store(/dev/x BAR0+0x8, 4 [0x5]) = 4',
  ],
  mprotect: [{ a: 4096, length: 4096 }, 'mprotect(0x1000, 4096) = 0'],
  more: [{}, '+++ lost'],
  dma: [
    { a: 0x8000, length: 4, ret: 1, output: Buffer.from('abcd') },
    'dma(/dev/x, 0x8000, 4) [61 62 63 64] /* at interrupt */',
  ],
  kvm: [
    { a: kvmCalls[0].request, input: packed(u32(3), u32(24), u32(1), ...Array.from({ length: 5 }, () => u32(0))) },
    'ioctl(3<KVM>, KVM_IRQFD, {fd=3</dev/x>, gsi=24, flags=DEASSIGN, resamplefd=0}) = 0',
  ],
  lost: [{ a: 1, length: 2 }, '+++ lost 2 records (1) +++'],
};
for (const [op, [spec, text]] of Object.entries(shown))
  test(`${op} is shown`, () =>
    inTemporary(async (dir) => {
      const path = join(dir, 'a.vrr');
      const m = new TraceMaker(path);
      m.handle(1, op === 'ioctl' ? 'container' : 'device', { fd: 3, path: '/dev/x' });
      m.event({ handle: 1, fd: 3, op: op as Op, ...spec });
      m.finish();
      const io = listen();
      await show({ path, range: [], json: false, follow: false }, io);
      assert.match(io.stdout(), text);
    }));

test('a descriptor is named as it was at the time, and in forked processes too', () =>
  inTemporary(async (dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.handle(1, 'container', { fd: 3, path: '/dev/vfio/vfio' }).handle(2, 'iommufd', { fd: 3, path: '/dev/iommu' });
    m.process(2, 101, '/bin/child').thread(2, 2, 101);
    const attach = { name: 'VFIO_GROUP_SET_CONTAINER', handle: 9, fd: 4, input: packed(u32(3)) } as const;
    m.event(attach);
    m.event({ op: 'close' });
    m.event({ ...attach, thread: 2 });
    m.db.exec(`UPDATE handle SET opened = id, closed = id + 0 WHERE id = 1; UPDATE handle SET opened = 3 WHERE id = 2;
      UPDATE process SET parent = 100 WHERE id = 2`);
    m.finish();
    const io = listen();
    await show({ path, range: [], json: false, follow: false }, io);
    const [first = '', , third = ''] = io.stdout().split('\n');
    assert.match(first, 'VFIO_GROUP_SET_CONTAINER, [3</dev/vfio/vfio>]');
    assert.match(third, 'VFIO_GROUP_SET_CONTAINER, [3</dev/iommu>]');
  }));

test('following prints what comes while it is recorded, and ends with the recording', () =>
  inTemporary(async (dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.meta('state', 'recording').event({ op: 'close', fd: 1 });
    m.db.exec('COMMIT');
    const io = listen();
    const done = show({ path, range: [], json: false, follow: true }, io);
    setTimeout(() => m.event({ op: 'close', fd: 2 }), 300);
    setTimeout(() => {
      m.event({ op: 'close', fd: 3 });
      m.db.exec("UPDATE meta SET value = 'finished' WHERE key = 'state'");
      m.db.close();
    }, 700);
    await done;
    assert.equal(io.stdout().match(/close\(\d/g), ['close(1', 'close(2', 'close(3']);
  }));

test('errors have the words of the C library', () => {
  const numbers = new Map(errnos().map(([nr, name]) => [name, nr]));
  const names = Object.keys(errorTexts).filter((n) => numbers.has(n));
  const arguments_ = ['-e', 'for (@ARGV) { $! = $_; print "$!\\n" }', ...names.map((n) => `${numbers.get(n)}`)];
  const words = execFileSync('perl', arguments_, { encoding: 'utf8', env: { LC_ALL: 'C' } })
    .trim()
    .split('\n');
  assert.ok(names.length > 20);
  assert.equal(
    names.map((n) => errorTexts[n]),
    words,
  );
});

test.run();
