// `diff --timing` and `diff --learn`, as the command takes them.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recordFlags } from '../../schema/event.ts';
import { inTemporary, TraceMaker } from './make.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Ten rounds of a read that takes `ns`, and one of a register that holds `counter`. */
function made(path: string, { ns = 1000, counter = 1, id = 7 }): string {
  const m = new TraceMaker(path).meta('state', 'finished').handle(1, 'device', { name: '0000:00:04.0' });
  m.region(1, 0);
  const read = { op: 'pread', handle: 1, kind: 'device', region: 0, length: 4, ret: 4 } as const;
  for (let i = 0; i < 10; i++) {
    m.event({ ...read, flags: recordFlags.INLINE, a: 0x100 + 4 * i, val: 0, dur: ns });
    m.event({ handle: 1, name: 'VFIO_DEVICE_RESET', dur: 500 });
  }
  m.event({ ...read, flags: recordFlags.INLINE, a: 0x24, val: counter });
  m.event({ ...read, flags: recordFlags.INLINE, a: 0, val: id });
  m.finish();
  return path;
}
function diff(...args: string[]): { code: number | null; out: string } {
  const r = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'cli.ts'), 'diff', ...args], {
    encoding: 'utf8',
  });
  assert.is(r.stderr, '');
  return { code: r.status, out: r.stdout };
}

test('--timing names calls whose median is another, and calls no two traces different for it', () =>
  inTemporary((dir) => {
    const a = made(join(dir, 'a.vrr'), { ns: 1000 });
    const b = made(join(dir, 'b.vrr'), { ns: 5000 });
    assert.not.match(diff(a, b).out, /another time/);
    const { code, out } = diff(a, b, '--timing');
    assert.is(code, 0);
    assert.match(
      out,
      /^Calls that take another time: 1\n {2}pread region 0 .* median: 1\.00 us → 5\.00 us \(x5\.0\)$/m,
    );
    assert.match(out, /^No differences\.$/m);
    assert.match(diff(a, b, '--timing', '--mask', '*:timing').out, /^Left out:\n {2}1 × \*:timing$/m);
  }));

test('--learn takes several runs; what differs among them is left out and listed', () =>
  inTemporary((dir) => {
    const [a, b, ...others] = [1, 2, 3, 4].map((counter) =>
      made(join(dir, `${counter}.vrr`), { counter, id: counter === 2 ? 8 : 7 }),
    ) as [string, string, ...string[]];
    assert.match(diff(a, b).out, /^2 differences\.$/m);
    const { code, out } = diff(a, b, '--learn', ...others);
    assert.is(code, 1);
    assert.match(out, /^First difference \(output\): pread region 0\+0x0 .* value: 0x7 → 0x8$/m);
    assert.match(out, /^Left out:\n {2}1 × learned pread region 0\+0x24:value$/m);
    assert.match(out, /^1 difference\.$/m);
  }));

test.run();
