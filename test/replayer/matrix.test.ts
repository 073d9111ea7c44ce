// What the matrix plans: which device model stands for a recorded one, and where. Booting is test/vm's business.

import { join } from 'node:path';
import { Encoder } from 'cbor-x';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Cell, cellsOf } from '../../replayer/matrix/cells.ts';
import { tableOf, tableText } from '../../replayer/matrix/table.ts';
import { recordFlags } from '../../schema/event.ts';
import { openTrace } from '../../traces/trace.ts';
import { inTemporary, TraceMaker } from '../traces/make.ts';

function trace(path: string, devices: unknown, value = 1): string {
  const m = new TraceMaker(path);
  const cbor = new Encoder({ mapsAsObjects: true, useRecords: false }).encode(devices);
  m.db.prepare('INSERT INTO context VALUES (?, ?)').run('devices', cbor);
  m.handle(2, 'device', { name: '0000:00:04.0' }).region(2, 0);
  m.event({
    op: 'pread',
    handle: 2,
    kind: 'device',
    region: 0,
    length: 4,
    flags: recordFlags.INLINE,
    a: 8,
    ret: 4,
    val: value,
  });
  m.finish();
  return path;
}

function cells(devices: unknown, kernels = ['6.1', '7.2'], given: string[] = []): Cell[] {
  return inTemporary((dir) => {
    const t = openTrace(trace(join(dir, 't.vrr'), devices));
    try {
      return cellsOf(t, kernels, given);
    } finally {
      t.close();
    }
  });
}
const e1000 = { vendor: '0x8086', device: '0x100e' };

test('one cell a kernel; edu is where the lab has it', () => {
  const [first, second] = cells({ '0000:00:04.0': { vendor: '0x1234', device: '0x11e8' } });
  assert.equal([first?.kernel, first?.index, second?.kernel, second?.index], ['6.1', 0, '7.2', 1]);
  assert.equal([first?.devices, first?.map], [[], []]);
  assert.equal(first?.prepare, ['test/vm/bind.sh 0000:00:04.0']);
});

test('a device from elsewhere is mapped to its model', () => {
  const [cell] = cells({ '0000:3b:00.0': e1000 });
  assert.equal(cell?.devices, ['-device', 'e1000,romfile=,addr=05.0']);
  assert.equal(cell?.map, ['0000:3b:00.0=0000:00:05.0']);
});

test('a given device wins, an unknown one is asked for', () => {
  const [cell] = cells({ '0000:3b:00.0': e1000 }, ['6.1'], ['igb,addr=07.0']);
  assert.equal(cell?.devices, ['-device', 'igb,addr=07.0']);
  assert.equal(cell?.prepare, ['test/vm/bind.sh 0000:00:07.0']);
  assert.throws(() => cells({ '0000:01:00.0': { vendor: '0xdead', device: '0xbeef' } }), /name one with --device/);
  assert.throws(() => cells({}), /names no device/);
  assert.throws(() => cells({ '0000:3b:00.0': e1000 }, ['5.10']), /neither one of .* nor a file/);
});

test('the table has a row for what differs, a column for each kernel that ran', () =>
  inTemporary((dir) => {
    const a = trace(join(dir, 'a.vrr'), {});
    const same = trace(join(dir, 'same.vrr'), {});
    const other = trace(join(dir, 'other.vrr'), {}, 9);
    const cell = (index: number, kernel: string): Cell => ({ index, kernel, devices: [], prepare: [], map: [] });
    const table = tableOf(
      a,
      [
        { cell: cell(0, '6.1'), result: same, problem: null, release: '6.1.0' },
        { cell: cell(1, '7.2'), result: other, problem: null, release: '7.2.13' },
        { cell: cell(2, 'x'), result: null, problem: 'did not finish', release: null },
      ],
      [],
    );
    assert.is(table.rows.length, 1);
    assert.equal(table.rows[0]?.cells, { '6.1': null, '7.2': { value: '0x9', event: 1 }, x: null });
    assert.match(tableText(table), /pread region 0\+0x8 value #1 +0x1 +=\s+0x9 #1/);
    assert.match(tableText(table), /x: no result: did not finish/);
  }));

test.run();
