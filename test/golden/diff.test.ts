// Recordings of one program, made on different days: `diff` finds nothing, or what is known.

import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DiffReport, diffTraces } from '../../traces/diff/diff.ts';

const golden = (name: string): string => fileURLToPath(new URL(`../../traces/golden/${name}.vrr`, import.meta.url));
const diff = (a: string, b: string): DiffReport =>
  diffTraces({ a: golden(a), b: golden(b), masks: [], learn: [], timing: false });

test('the same program on the same emulated device: no differences', () => {
  const report = diff('v1/v2-states-stop-copy', 'v2/states-2');
  assert.ok(report.differences.same);
  assert.is(report.paired, report.events[0]);
});

test("the same program on QEMU's edu device and on the emulator: only where the firmware put BAR 0", () => {
  const report = diff('v1/edu-group', 'v3/edu-interrupts');
  assert.equal([...report.differences.counts], [['output', 1]]);
  assert.is(report.first?.call, 'pread region 7+0x0');
  assert.match(report.first?.expected ?? '', / at byte 18$/); // 0x10 + 2: BAR 0's upper half
});

test('over the group and over the cdev: the same register traffic', () => {
  const { byKind } = diff('v1/edu-group', 'v1/edu-cdev').differences;
  const registers = [...byKind.values()].flat().filter((d) => /^p(read|write) region 0/.test(d.call));
  assert.equal(registers, []);
});

test.run();
