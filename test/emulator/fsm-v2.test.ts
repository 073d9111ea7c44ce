// Every pair of states under every set of flags, against what the kernel's own function gave.

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { equal, is, ok } from 'uvu/assert';
import type { PciProfile } from '../../replayer/emulator/profile.ts';
import { profiles } from '../../replayer/emulator/profiles/list.ts';
import { featureOps } from '../../schema/device.ts';
import { features, type MigState, migStates } from '../../schema/features.ts';
import { pathOf, sessionOf } from '../../schema/fsm-v2.ts';
import type { Struct } from '../../schema/layout.ts';
import { get, start } from './client.ts';

type Pair = [number, MigState, MigState, MigState[] | null, boolean, boolean];
const { pairs } = JSON.parse(readFileSync(new URL('./v2-pairs.json', import.meta.url), 'utf8')) as { pairs: Pair[] };
const state = features.find((f) => f.name === 'MIG_DEVICE_STATE')?.data as Struct;
const data = suite('v2 state machine, as data');

data('has the kernel function’s results for all 224 pairs', () => {
  is(pairs.length, 224);
  for (const [flags, from, to, path, fd] of pairs) {
    const got = pathOf(flags, from, to);
    equal(got, path, `${flags} ${from}->${to}`);
    if (!got) continue;
    const arcs = [from, ...got].map((s, i, all): string => (i ? sessionOf(all[i - 1] as MigState, s) : 'none'));
    is(arcs.at(-1) === 'open', fd, `descriptor of ${flags} ${from}->${to}`);
  }
});
data.run();

const device = suite('v2 device');
const base = profiles['v2-full'] as PciProfile;

/** A device in `from`: reached from RUNNING, which leads everywhere; null: it has no such state. */
function at(flags: number, from: MigState) {
  const profile = { ...base, migration: { ...base.migration, flags } } as PciProfile;
  const it = start([{ profile }]);
  const set = (to: number) => {
    const { ret, data } = it.client.feature(it.device, featureOps.SET, 'MIG_DEVICE_STATE', {
      device_state: to,
      data_fd: 77,
    });
    return { ret, data, made: data.readInt32LE(4) };
  };
  const now = () =>
    Number(get(state, it.client.feature(it.device, featureOps.GET, 'MIG_DEVICE_STATE').data, 'device_state'));
  let image: Buffer = Buffer.alloc(0);
  if (from === 'RESUMING') image = it.client.read(set(migStates.STOP_COPY).made, 1 << 20) as Buffer;
  const { ret, made } = set(migStates[from]);
  if (ret !== 0) return null;
  if (from === 'RESUMING') is(it.client.write(made, image), image.length); // else there is nothing to load
  return { ...it, set, now };
}

device('does what the function says, through the ioctl, for all 224 pairs', () => {
  for (const [flags, from, to, path, fd] of pairs) {
    const what = `${flags} ${from}->${to}`;
    const it = at(flags, from);
    if (!it) {
      ok(path === null || from === to, `${what}: the device has no ${from}`);
      continue;
    }
    const { ret, data, made } = it.set(migStates[to]);
    is(ret, path === null ? 'EINVAL' : 0, what);
    is(data.readUInt32LE(0), migStates[to], `${what}: the request is echoed`);
    is(made >= 0, ret === 0 && fd, `${what}: descriptor`);
    is(it.now(), path === null ? migStates[from] : migStates[to], `${what}: state after`);
    if (made >= 0) ok(it.client.file(made));
  }
});

device('fails to leave RESUMING when the state that came is not whole', () => {
  const it = start([{ profile: base }]);
  const set = (to: MigState) =>
    it.client.feature(it.device, featureOps.SET, 'MIG_DEVICE_STATE', { device_state: migStates[to] }).ret;
  is(set('RESUMING'), 0);
  is(set('STOP'), 'EINVAL');
  is(set('RESUMING'), 0, 'it is still there');
});
device.run();
