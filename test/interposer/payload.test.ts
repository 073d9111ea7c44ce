import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fdKinds } from '../../schema/kinds.ts';
import { bytesOf } from './reader.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

const expected = Buffer.alloc(3 << 20);
for (let i = 0; i < expected.length; i++) expected[i] = (i * 7 + (i >> 12)) & 0xff;

for (const segmentSize of [1 << 12, 1 << 16, 1 << 20]) {
  const { stdout, ring } = runRecorded(['migration'], { segmentSize });
  const data = ring.calls.filter((c) => c.op === 'read' || c.op === 'write');

  test(`segments of ${segmentSize} bytes: data longer than a segment goes on in the next`, () => {
    assert.is(stdout, runPlain(['migration']).stdout);
    assert.equal(
      data.map((c) => [c.op, c.ret]),
      [
        ['write', expected.length],
        ['read', expected.length],
        ['read', 0],
      ],
    );
    assert.ok(bytesOf(data[0] as never, 'ARG', 0)?.equals(expected));
    assert.ok(bytesOf(data[1] as never, 'ARG', 1)?.equals(expected));
    assert.equal(data[2]?.chunks, []);
    assert.ok(ring.lost.every((n) => n === 0));
  });
}

test('the data descriptor that a state change makes is followed', () => {
  const { ring } = runRecorded(['migration']);
  const made = ring.calls.find((c) => Number(c.value >> 32n) === fdKinds.data);
  assert.is(made?.op, 'ioctl');
  const handle = Number((made?.value ?? 0n) & 0xffffffffn);
  assert.ok(ring.calls.filter((c) => c.op === 'read' || c.op === 'write').every((c) => c.handle === handle));
});

test('memory behind a pointer is kept before and after', () => {
  const { ring } = runRecorded(['migration']);
  const report = ring.calls.at(-1);
  assert.equal(bytesOf(report as never, 32, 0)?.readBigUInt64LE(0), 1n);
  assert.equal(bytesOf(report as never, 32, 1)?.readBigUInt64LE(0), 0x81n);
  assert.is(bytesOf(report as never, 'ARG', 1), undefined, 'unchanged, so not kept twice');
});

test.run();
