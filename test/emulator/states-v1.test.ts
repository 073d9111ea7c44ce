// Every change of device_state under each order of single actions, against what the orders as posted give.

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { equal, is } from 'uvu/assert';
import type { PciProfile } from '../../replayer/emulator/profile.ts';
import { profiles } from '../../replayer/emulator/profiles/list.ts';
import { decompose, type Precedence, precedences, v1States, v1Valid } from '../../schema/states-v1.ts';
import { start } from './client.ts';

type Pair = [Precedence, number, number, number[], boolean];
const { pairs } = JSON.parse(readFileSync(new URL('./v1-pairs.json', import.meta.url), 'utf8')) as { pairs: Pair[] };
const MIGRATION = 9;
const test = suite('v1 states');

test('there are ten legal values, and all orders are known', () => {
  equal(v1States, [0, 1, 2, 3, 4, 8, 9, 10, 11, 12]);
  is(pairs.length, 90 * Object.keys(precedences).length);
});

test('decompose gives the values that each posted order passes', () => {
  for (const [policy, from, to, passed, reached] of pairs) {
    const steps = decompose(policy, from, to).map((s) => s.state);
    equal(steps, passed, `${policy} ${from}->${to}`);
    is((steps.at(-1) ?? from) === to, reached, `${policy} ${from}->${to}`);
  }
});

/** A device in `from`, by a write under an order that always arrives. */
function at(precedence: Precedence, from: number) {
  const base = profiles['v1-ndma'] as PciProfile;
  const spec = { ...base.migration, precedence } as { precedence: Precedence };
  const it = start([{ profile: { ...base, migration: spec } as PciProfile }]);
  const set = (value: number) => it.client.store(it.device, MIGRATION, 0, value);
  const now = () => Number(it.client.load(it.device, MIGRATION, 0));
  spec.precedence = 'derived';
  is(set(from), 4);
  is(now(), from);
  spec.precedence = precedence;
  return { set, now };
}

test('a device ends in the state that the order leads to', () => {
  for (const [policy, from, to, passed, reached] of pairs) {
    const { set, now } = at(policy, from);
    is(set(to), 4, `${policy} ${from}->${to}`);
    is(now(), passed.at(-1) ?? from, `${policy} ${from}->${to}`);
    if (reached) is(now(), to);
  }
});

test('a device that checks what it passes ends in ERROR there, and only a reset leads out', () => {
  const base = profiles['v1-ndma'] as PciProfile;
  for (const [policy, from, to, passed] of pairs) {
    const { migration } = base;
    const spec = { ...migration, precedence: 'derived' as Precedence, intermediate: 'checked' as const };
    const it = start([{ profile: { ...base, migration: spec } as PciProfile }]);
    is(it.client.store(it.device, MIGRATION, 0, from), 4);
    spec.precedence = policy;
    const bad = passed.findIndex((s) => !v1Valid(s));
    is(it.client.store(it.device, MIGRATION, 0, to), bad >= 0 ? 'EIO' : 4, `${policy} ${from}->${to}`);
    if (bad < 0) continue;
    is(it.client.load(it.device, MIGRATION, 0) & 7n, 6n);
    is(it.client.store(it.device, MIGRATION, 0, 1), 'EIO');
    is(it.client.ioctl(it.device, 'VFIO_DEVICE_RESET'), 0);
    is(it.client.load(it.device, MIGRATION, 0), 1n);
  }
});
test.run();
