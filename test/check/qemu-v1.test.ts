// timeout: 400
// Unmodified QEMU 7.2 migrates a machine with two emulated v1 devices; both ends are recorded and judged together. What
// QEMU is known to do (hw/vfio/migration.c of 7.2) is found: it writes stop-and-copy twice (:534), and stops devices one
// after another without a quiescent state between.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type CheckReport, check } from '../../traces/check/check.ts';
import { subjectOf } from '../../traces/check/subject.ts';
import { openTrace } from '../../traces/trace.ts';
import { buildGuest, Qemu, qemuVersion } from '../play/qemu.ts';

const test = suite('check: QEMU 7.2 and protocol v1');
const dir = mkdtempSync(join(tmpdir(), 'check-qemu-'));
test.after(() => rmSync(dir, { recursive: true, force: true }));
const uuids = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];
const device = (uuid: string): string => `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${uuid},x-enable-migration=on`;

async function migrated(profile: string): Promise<CheckReport> {
  const uri = `unix:${join(dir, `${profile}.mig`)}`;
  const paths = ['source', 'destination'].map((end) => join(dir, `${profile}-${end}.vrr`));
  const emulate = uuids.flatMap((u) => ['--emulate', `${profile}:${u}`]);
  const more = ['-device', device(uuids[1] as string), '-kernel', buildGuest(dir)];
  const start = (end: number, extra: readonly string[]): Qemu =>
    new Qemu(dir, `${profile}-${end}`, [...emulate, '--record', paths[end] as string], device(uuids[0] as string), [
      ...more,
      ...extra,
    ]);
  const destination = start(1, ['-incoming', uri]);
  const source = start(0, []);
  try {
    await source.command('query-status');
    await destination.command('query-status');
    assert.is(await source.migrate(uri), 'completed', source.output + destination.output);
    assert.is(await destination.migrated(), 'completed', destination.output);
  } finally {
    await Promise.all([source.quit(), destination.quit()]);
  }
  const traces = paths.map((p) => openTrace(p));
  try {
    return check(traces.map(subjectOf));
  } finally {
    for (const t of traces) t.close();
  }
}

if (!qemuVersion().startsWith('7.2')) console.log(`SKIP needs QEMU 7.2; this is ${qemuVersion() || 'none'}`);
else
  test('R22 and R23 are found, the data arrives (R19), and nothing is held against the driver', async () => {
    const report = await migrated('v1-ndma');
    const of = (rule: string): string[] =>
      report.findings.filter((f) => f.rule === rule).map((f) => `${f.level} ${f.who} ${f.text}`);
    assert.ok(
      of('R22').some((t) => /^MAY user device_state is SAVING \(2\) already/.test(t)),
      of('R22').join('\n'),
    );
    assert.ok(
      of('R23').some((t) => /^MUST user .* stops while .* is SAVING\|RUNNING/.test(t)),
      of('R23').join('\n'),
    );
    assert.is(report.rules.find((r) => r.rule === 'R19')?.outcome, 'held');
    const driver = report.findings.filter((f) => f.who === 'driver' && f.level === 'MUST');
    assert.equal(
      driver.map((f) => `${f.rule} ${f.text} ${f.place.call}`),
      [],
    );
  });

test.run();
