// Interrupts in a trace: what the program took, counted by the program too, and what KVM took instead, by name.

import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { cli, compile, prepare, root, standin } from './build.ts';

const test = suite('interrupts');
const program = join(root, 'test/recorder/build/vectors');
let folder = '';

test.before(() => {
  prepare();
  compile('vectors.c', program);
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-interrupt-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

interface Row {
  irq: string;
  vector: number;
  armed_by: string;
  reads: number;
  signals: number;
  bypass: string | null;
}

test('each vector’s signals are counted, and those that KVM takes are named', () => {
  const path = join(folder, 't.vrr');
  const r = spawnSync('node', [cli, 'record', '-o', path, '--', program, '3'], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, LD_PRELOAD: standin },
  });
  assert.equal(r.status, 0, r.stderr);
  const counted = r.stdout
    .trim()
    .split('\n')
    .map((l) => l.split(' ').map(Number));
  const db = new Database(path, { readonly: true });
  const rows = db.prepare("SELECT * FROM interrupt WHERE irq = 'MSIX' ORDER BY vector").all() as Row[];
  assert.deepEqual(
    rows.map((row) => [row.vector, row.armed_by, row.signals]),
    counted.map(([vector, , taken]) => [vector, 'VFIO_DEVICE_SET_IRQS', taken]),
  );
  for (const [vector, given, taken] of counted) if (vector !== 1) assert.equal(given, taken);
  assert.deepEqual(
    rows.map((row) => row.bypass !== null),
    [false, true, true, false],
  );
  const losses = db.prepare("SELECT detail FROM loss WHERE what = 'eventfd'").pluck().all() as string[];
  db.close();
  const number = (text: string): string => text.replace(/\d{2,}(?= to)|(?<=to )\d+/g, 'N');
  assert.deepEqual(losses.map(number), [
    'MSI-X 1 of 0000:00:04.0: handed to KVM by irqfd (GSI 24) from event N to N: its signals are not in the trace',
    'MSI-X 2 of 0000:00:04.0: handed to KVM by irqfd (GSI 24) from event N to N: its signals are not in the trace',
    'writes of 4 bytes at 0x1020 of 0000:00:04.0: done by the kernel when the eventfd is signalled, from event N to the end; ' +
      'taken by KVM for writes at guest address 0xfe001020 from event N to the end: they are not in the trace',
    'INTX 0 of 0000:00:04.0: handed to KVM by irqfd (GSI 24) from event N to the end: its signals are not in the trace',
    'INTX 0 (unmask) of 0000:00:04.0: signalled by KVM (resample) from event N to the end: its signals are not in the trace',
  ]);
  const show = spawnSync('node', [cli, 'show', path], { encoding: 'utf8', timeout: 60_000 }).stdout;
  assert.match(show, /ioctl\(\d+<KVM>, KVM_IRQFD, \{fd=\d+<eventfd>, gsi=24, flags=0/);
  const info = spawnSync('node', [cli, 'info', path], { encoding: 'utf8', timeout: 60_000 }).stdout;
  assert.match(info, /^NOT COMPLETE:\n {2}1 eventfd: MSI-X 1 of 0000:00:04\.0/);
  assert.match(info, /^interrupts\n.*irq.*signals/m);
});

test.run();
