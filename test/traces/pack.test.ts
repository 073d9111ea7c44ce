import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TraceError } from '../../schema/errors.ts';
import { pack, unpack } from '../../traces/pack.ts';

const compressible = Buffer.alloc(100_000, 'the same again and ');
const packed = Buffer.from(pack(compressible) ?? []); // a copy: the next call writes over it

test('what is packed comes back', () => {
  assert.ok(packed.length > 8 && packed.length < compressible.length / 10);
  assert.ok(unpack(packed, compressible.length).equals(compressible));
});

test('bytes that do not shrink are not packed', () => {
  let seed = 3;
  const noise = Buffer.from(
    Array.from({ length: 5000 }, () => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return (seed >> 16) & 0xff;
    }),
  );
  assert.is(pack(noise), null);
});

test('every single damaged byte, and every cut, is noticed', () => {
  const good = packed;
  assert.ok(unpack(good, compressible.length).equals(compressible));
  const refused = (bytes: Buffer, length = compressible.length): void => {
    assert.throws(
      () => unpack(bytes, length),
      (e: unknown) => e instanceof TraceError && e.code === 'CORRUPT',
    );
  };
  for (let i = 0; i < good.length; i++) {
    const bad = Buffer.from(good);
    bad[i] = (bad[i] as number) ^ 0x41;
    refused(bad);
  }
  for (let n = 0; n < good.length; n += 7) refused(good.subarray(0, n));
  refused(good, compressible.length - 1);
  refused(good, compressible.length + 1);
  refused(good, 2 ** 40);
  refused(good, -1);
  refused(good, Number.NaN);
});

test.run();
