import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOf } from './reader.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

test('memory that goes away while devices reach it is recorded, other memory is not', () => {
  const { stdout, ring } = runRecorded(['dma']);
  assert.is(stdout, runPlain(['dma']).stdout);
  const ops = ring.calls.map((c) => c.op).join(' ');
  assert.is(ops, 'process open ioctl ioctl ioctl munmap munmap close');
  const address = bytesOf(ring.calls[2] as never, 'ARG', 0)?.readBigUInt64LE(8) ?? 0n;
  const container = Number((ring.calls[1]?.value ?? 0n) & 0xffffffffn);
  assert.equal(
    ring.calls.filter((c) => c.op === 'munmap').map((c) => [c.a - address, c.b, c.handle]),
    [
      [12288n, 4096n, container],
      [8192n, 4096n, container],
    ],
  );
});

test.run();
