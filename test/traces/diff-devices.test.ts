// Traces of different devices, or of different migration protocols: said, and compared as far as they go.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recordFlags } from '../../schema/event.ts';
import { type DiffReport, diffTraces } from '../../traces/diff/diff.ts';
import { htmlReport } from '../../traces/diff/html.ts';
import { textReport } from '../../traces/diff/report.ts';
import { type EventSpec, inTemporary, TraceMaker } from './make.ts';

const golden = fileURLToPath(new URL('../../traces/golden/', import.meta.url));
const diff = (a: string, b: string): DiffReport => diffTraces({ a, b, masks: [], learn: [], timing: false });

/** One register read from each of these devices, by what it holds. */
function made(path: string, devices: Readonly<Record<string, number>>): string {
  const m = new TraceMaker(path).meta('state', 'finished');
  Object.entries(devices).forEach(([name, val], i) => {
    m.handle(i + 1, 'device', { name }).region(i + 1, 0);
    const read: EventSpec = { op: 'pread', handle: i + 1, kind: 'device', region: 0, length: 4, a: 8, ret: 4, val };
    m.event({ ...read, flags: recordFlags.INLINE });
  });
  m.finish();
  return path;
}

test('devices of other names stand opposite each other, and it is said', () =>
  inTemporary((dir) => {
    const a = made(join(dir, 'a.vrr'), { '0000:00:04.0': 1, '0000:00:05.0': 2 });
    const b = made(join(dir, 'b.vrr'), { '0000:3b:00.0': 1, '0000:00:05.0': 3, '0000:00:06.0': 4 });
    const report = diff(a, b);
    assert.equal(report.devices, ["A's 0000:00:04.0 is compared with B's 0000:3b:00.0", 'B alone has 0000:00:06.0']);
    assert.equal(
      [...report.differences.counts],
      [
        ['output', 1],
        ['extra', 1],
      ],
    );
    assert.is(report.first?.handle, 'device 0000:00:05.0', 'what comes first leads, not the device more');
    for (const text of [textReport(report), htmlReport(report)]) assert.match(text, /B alone has 0000:00:06\.0/);
  }));

test('devices of different models', () => {
  const report = diff(join(golden, 'v1/edu-group.vrr'), join(golden, 'v1/mtty-group.vrr'));
  assert.is(report.devices.length, 1);
  assert.match(report.devices[0] ?? '', /^different devices: A's 0000:00:04\.0 \(0x1234:0x11e8\) .* \(mtty\)$/);
  assert.ok(report.paired > 30, `${report.paired} pairs`);
  assert.not(report.differences.same);
});

test('devices of different migration protocols', () => {
  const report = diff(join(golden, 'v1/v1-states-v3.vrr'), join(golden, 'v1/v2-states-full.vrr'));
  assert.match(
    report.devices.at(-1) ?? '',
    /^different migration protocols: .* speaks v1 in A, 0000:00:04\.0 v2 in B$/,
  );
  assert.ok(report.paired > 50, `${report.paired} pairs`);
});

test('a trace without calls: everything is missing in it', () =>
  inTemporary((dir) => {
    const a = made(join(dir, 'a.vrr'), { '0000:00:04.0': 1 });
    const none = made(join(dir, 'none.vrr'), {});
    assert.equal([...diff(a, none).differences.counts], [['missing', 1]]);
    assert.ok(diff(none, none).differences.same);
    assert.match(textReport(diff(none, none)), /none\.vrr: 0 calls\n/);
  }));

test.run();
