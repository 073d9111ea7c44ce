import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { errnos } from '../../schema/errno.ts';
import { errorTexts } from '../../traces/format/scalar.ts';
import { show } from '../../traces/show.ts';
import { listen } from './io.ts';
import { inTemporary, TraceMaker } from './make.ts';
import { sample } from './sample.ts';

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
