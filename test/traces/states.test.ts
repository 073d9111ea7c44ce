import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { featureOps } from '../../schema/device.ts';
import { recordFlags } from '../../schema/event.ts';
import { deviceStates, type Stay } from '../../traces/states.ts';
import { states } from '../../traces/states-text.ts';
import { openTrace } from '../../traces/trace.ts';
import { listen } from './io.ts';
import { inTemporary, TraceMaker } from './make.ts';
import { packed, sample, u32 } from './sample.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('v2: what was set, read, reset, how long and how much', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const trace = openTrace(path);
    const [v2, v1] = deviceStates(trace);
    trace.close();
    assert.is(v2?.protocol, 'v2');
    assert.equal(
      v2?.stays.map((s) => [s.event, s.how, s.from, s.to, s.bytesRead]),
      [
        [9, 'open', null, 'RUNNING', 0],
        [14, 'reset', 'RUNNING', 'RUNNING', 0],
        [16, 'set', 'RUNNING', 'PRE_COPY', 100],
        [19, 'set', 'PRE_COPY', null, 0], // failed: any state on the way
        [20, 'get', null, 'ERROR', 0],
        [21, 'reset', 'ERROR', 'RUNNING', 0],
      ],
    );
    assert.is(v2?.stays[2]?.lasted, 3000);
    assert.is(v2?.stays[1]?.tid, 201);
    assert.is(v1?.protocol, 'v1');
    assert.equal(
      v1?.stays.map((s) => [s.event, s.how, s.to, s.bytesRead]),
      [
        [24, 'open', 'RUNNING', 0],
        [26, 'set', 'SAVING|RUNNING', 64],
        [29, 'set', null, 0],
      ],
    );
  }));

test('every pair of v2 states by number', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.handle(1, 'device', { name: 'x' });
    const flags = featureOps.SET | 2;
    // enum vfio_device_mig_state, linux/vfio.h
    const kernel = ['ERROR', 'STOP', 'RUNNING', 'STOP_COPY', 'RESUMING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P'];
    const asked: number[] = [];
    for (let from = 1; from < 8; from++) for (let to = 1; to < 8; to++) asked.push(from, to);
    for (const s of asked)
      m.event({
        name: 'VFIO_DEVICE_FEATURE',
        handle: 1,
        feature: flags,
        input: packed(u32(16), u32(flags), u32(s), u32(-1)),
      });
    m.finish();
    const trace = openTrace(path);
    const [device] = deviceStates(trace);
    trace.close();
    assert.equal(
      device?.stays.map((s) => s.to),
      asked.map((s) => kernel[s]),
    );
  }));

test('v2: a SET that no way leads to leaves the state, one that fails on the way does not', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.handle(1, 'device', { name: 'x' });
    const feature = (op: number, id: number, data: Parameters<typeof packed>, ret = 0): void => {
      const bytes = packed(u32(16), u32(op | id), ...data);
      m.event({ name: 'VFIO_DEVICE_FEATURE', handle: 1, feature: op | id, input: bytes, output: bytes, ret });
    };
    const set = (state: number, ret = 0): void => feature(featureOps.SET, 2, [u32(state), u32(-1)], ret);
    const EINVAL = -22;
    set(3); // STOP_COPY
    set(6, EINVAL); // PRE_COPY: no way from STOP_COPY
    set(99, EINVAL); // no state
    set(6, -14); // EFAULT says nothing of the state
    set(1); // STOP
    set(6, EINVAL); // a device with PRE_COPY may have failed on the way
    set(1);
    feature(featureOps.GET, 1, [u32(1), u32(0)]); // MIGRATION: STOP_COPY alone
    set(6, EINVAL);
    m.finish();
    const trace = openTrace(path);
    assert.equal(
      deviceStates(trace)[0]?.stays.map((s) => s.to),
      ['STOP_COPY', 'STOP_COPY', 'STOP_COPY', null, 'STOP', null, 'STOP', 'STOP'],
    );
    trace.close();
  }));

test('a state that was read and was known is no change', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.handle(1, 'device', { name: 'x' }).region(1, 9, { type: 3, subtype: 1 });
    const state = { op: 'pread', handle: 1, region: 9, length: 4, flags: recordFlags.INLINE, a: 0, ret: 4 } as const;
    for (const val of [1, 1, 3, 3, 6]) m.event({ ...state, val });
    m.finish();
    const trace = openTrace(path);
    assert.equal(
      deviceStates(trace)[0]?.stays.map((s) => s.to),
      ['RUNNING', 'SAVING|RUNNING', 'ERROR'],
    );
    trace.close();
  }));

test('QEMU 7.2 saved as many bytes at the source as it restored at the destination', () => {
  const stays = (end: string): readonly Stay[] => {
    const trace = openTrace(join(root, `traces/golden/v3/qemu-7.2-v1-${end}.vrr`));
    const [device] = deviceStates(trace);
    trace.close();
    return device?.stays ?? [];
  };
  const sum = (list: readonly Stay[], key: 'bytesRead' | 'bytesWritten'): number =>
    list.reduce((n, s) => n + s[key], 0);
  const [source, destination] = [stays('source'), stays('destination')];
  assert.ok(sum(source, 'bytesRead') > 10_000);
  assert.is(sum(source, 'bytesRead'), sum(destination, 'bytesWritten'));
  // hw/vfio/migration.c of QEMU 7.2: pre-copy, stop-copy (written twice), stop; at the other end resume, run.
  const told = source.filter((s) => s.how === 'set').map((s) => s.to);
  assert.equal(told.slice(-4), ['SAVING|RUNNING', 'SAVING', 'SAVING', '0']);
  const resumed = destination.filter((s) => s.how === 'set').map((s) => s.to);
  assert.equal(resumed.slice(0, 2), ['RESUMING', 'RUNNING']);
});

test('the command prints a table a device, and JSON an object a device', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const text = listen();
    states({ path, range: [], json: false }, text);
    assert.match(text.stdout(), /0000:00:04\.0: migration protocol v2\nevent +seconds +state/);
    assert.match(text.stdout(), /19 +0\.000018 +unknown .* SET STOP_COPY = -1 EIO/);
    const json = listen();
    states({ path, range: ['@device:0000:00:05.0'], json: true }, json);
    const devices = json
      .stdout()
      .trim()
      .split('\n')
      .map((l) => JSON.parse(l));
    assert.equal(
      devices.map((d) => d.name),
      ['0000:00:05.0'],
    );
  }));

test.run();
