// Unmodified QEMU 7.2 (migration protocol v1) live-migrates a machine with an emulated device from one process to
// another; no root, no VFIO in the kernel.
// timeout: 600

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { edu } from '../../replayer/emulator/profiles/edu.ts';
import { withoutRoot } from './ordinary.ts';
import { buildGuest, Qemu, qemuVersion } from './qemu.ts';
import { type V1Run, v1Run } from './segments.ts';

const test = suite('play: QEMU migrates an emulated device');
const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-qemu-'));
const UUID = '00000000-0000-4000-8000-000000000001';
const DEVICE = `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${UUID},x-enable-migration=on`;
/** As in guest.S. */
const NOTE = 0x6000;
const PATTERN = Buffer.from(Uint32Array.from({ length: 64 }, (_, i) => 1 + i * 0x01030507).buffer);
const COUNTER = 0x1000;
const guest = ['-kernel', buildGuest(dir)];
const speaksV1 = /^(5\.[2-9]|6\.|7\.)/.test(qemuVersion());
if (!withoutRoot) console.log('SKIP without root: the checkout is not readable by others, so QEMU runs as root');
if (!speaksV1) console.log(`SKIP needs QEMU 5.2 to 7.2; this is ${qemuVersion() || 'none'}`);

test.after(() => rmSync(dir, { recursive: true, force: true }));

interface Pair {
  readonly source: Qemu;
  readonly destination: Qemu;
  readonly uri: string;
  readonly traces: readonly [string, string];
}

function start(name: string, profile: string, faults: readonly string[] = []): Pair {
  const uri = `unix:${join(dir, `${name}.mig`)}`;
  const traces = [join(dir, `${name}-source.vrr`), join(dir, `${name}-destination.vrr`)] as const;
  const emulate = ['--emulate', `${profile}:${UUID}`];
  const options = [...emulate, ...faults.flatMap((f) => ['--fault', f])];
  const destination = new Qemu(dir, `${name}-d`, [...emulate, '--record', traces[1]], DEVICE, [
    ...guest,
    '-incoming',
    uri,
  ]);
  const source = new Qemu(dir, `${name}-s`, [...options, '--record', traces[0]], DEVICE, guest);
  return { source, destination, uri, traces };
}

/** Addresses of BAR 0 (registers) and BAR 2 (memory). */
async function barsOf(qemu: Qemu): Promise<[number, number]> {
  const bars = await qemu.bars(edu.pci.vendor, edu.pci.device);
  const address = (bar: number): number => bars.find((b) => b.bar === bar)?.address ?? 0;
  return [address(0), address(2)];
}

/** Until the guest's driver has done its work; where the BARs are. */
async function driven(qemu: Qemu): Promise<[number, number]> {
  const bars = await barsOf(qemu);
  for (let i = 0; i < 100; i++) {
    if ((await qemu.peek(NOTE, 4)).readUInt32LE(0) === 1) return bars;
    await sleep(100);
  }
  throw new Error('the guest has not used its device');
}

/** Neither play nor QEMU has root's rights. */
async function powerless(qemu: Qemu): Promise<void> {
  await qemu.command('query-status');
  for (const pid of descendants(qemu.child.pid ?? 0)) {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    assert.not.match(status, /^Uid:.*\t0\b/m);
    assert.match(status, /^CapEff:\t0+$/m);
  }
}
function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
  return [pid, ...children.flatMap(descendants)];
}

/** Values written to device_state from the first `value` on. */
const after = (run: V1Run, value: number): number[] => {
  const values = run.states.map((s) => s.value);
  return values.slice(values.indexOf(value));
};

for (const profile of speaksV1 ? ['v1-edu', 'v1-sparse', 'v1-churn'] : []) {
  test(`${profile}: the device arrives as it left, segment by segment`, async () => {
    const begun = Date.now();
    const { source, destination, uri, traces } = start(profile, profile);
    try {
      if (withoutRoot) for (const qemu of [source, destination]) await powerless(qemu);
      const [registers, memory] = await driven(source);
      const counted = (await source.peek(NOTE + 4, 4)).readUInt32LE(0);
      await destination.command('query-status');
      assert.is(await source.migrate(uri), 'completed', source.output + destination.output);
      assert.is(await destination.migrated(), 'completed', destination.output);
      const arrived = await destination.peek(memory, PATTERN.length);
      assert.is(arrived.toString('hex'), PATTERN.toString('hex'));
      assert.is((await destination.peek(registers + 4, 4)).readUInt32LE(0), ~0x12345678 >>> 0);
      assert.is((await destination.peek(registers + 8, 4)).readUInt32LE(0), 120);
      const [here, noted] = [await destination.peek(memory + COUNTER, 4), await destination.peek(NOTE + 4, 4)];
      assert.ok(here.readUInt32LE(0) >= counted, 'the driver goes on where it was');
      assert.ok(noted.readUInt32LE(0) - here.readUInt32LE(0) < 1000);
      await sleep(300);
      assert.ok((await destination.peek(NOTE + 4, 4)).readUInt32LE(0) > noted.readUInt32LE(0), 'and does go on');
    } finally {
      await Promise.all([source.quit(), destination.quit()]);
    }
    const [from, to] = traces.map(v1Run) as [V1Run, V1Run];
    assert.ok(from.read.length > 1);
    assert.equal(
      to.written.map((b) => b.toString('hex')),
      from.read.map((b) => b.toString('hex')),
    );
    assert.equal(after(from, 3), [3, 2, 2, 0]);
    assert.equal(after(to, 4).slice(0, 2), [4, 1]);
    console.log(`${profile}: ${((Date.now() - begun) / 1000).toFixed(1)} s`); // start and end of both machines included
  });
}

if (speaksV1)
  test('a transition that fails with the old state kept: QEMU gives the migration up and goes on running', async () => {
    const { source, destination, uri, traces } = start('fails', 'v1-edu', ['SET_STATE:SAVING|RUNNING=EIO']);
    try {
      await barsOf(source);
      await destination.command('query-status');
      assert.is(await source.migrate(uri), 'failed', source.output);
      const status = await source.command('query-status');
      assert.is(status?.status, 'running');
    } finally {
      await Promise.all([source.quit(), destination.quit()]);
    }
    const { states } = v1Run(traces[0]);
    assert.equal(
      states.find((s) => s.value === 3),
      { value: 3, ret: -5 },
    );
  });

if (speaksV1)
  test('a transition that ends in ERROR: QEMU aborts with hw_error, as its source says', async () => {
    const { source, destination, uri, traces } = start('error', 'v1-edu', ['SET_STATE:SAVING=ERROR']);
    let code: number | null = 0;
    try {
      await barsOf(source);
      await destination.command('query-status');
      assert.is(await source.migrate(uri), 'gone', source.output);
      code = await source.end();
    } finally {
      await Promise.all([source.quit(), destination.quit()]);
    }
    assert.match(source.output, /qemu: hardware error: .*Device in error state 0x6/);
    assert.is(code, 128 + 6); // SIGABRT
    assert.is(v1Run(traces[0]).states.at(-1)?.ret, -5);
  });

test.run();
