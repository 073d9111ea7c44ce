import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vfio_iommu_type1_info } from '../../schema/container.ts';
import { decode, leaves, lengthOf } from '../../schema/decode.ts';
import {
  featureOps,
  vfio_device_feature,
  vfio_device_info,
  vfio_irq_set,
  vfio_region_info,
} from '../../schema/device.ts';
import { kernelStructs } from '../../schema/generate.ts';
import type { Placed } from '../../schema/layout.ts';
import { inTemporary } from '../traces/make.ts';
import { packed, u8, u16, u32, u64 } from '../traces/sample.ts';
import { compile } from './compiler.ts';

/** A number for each element of each field, different from its neighbours and with its top bit set. */
function patternOf(field: Placed, structure: number, element: number): bigint {
  const bits = BigInt((field.size / (field.count ?? 1)) * 8);
  const n = (0x9e3779b97f4a7c15n * BigInt(structure * 131 + field.at * 7 + element + 1)) | (1n << (bits - 1n));
  return field.type.startsWith('s') ? BigInt.asIntN(Number(bits), n) : BigInt.asUintN(Number(bits), n);
}

test("what C writes by a field's name is read by that name", () =>
  inTemporary((dir) => {
    const structs = kernelStructs();
    assert.ok(structs.length > 40, `${structs.length}`);
    const blocks = structs.map((s, i) => {
      const lines = s.fields.flatMap((f) =>
        Array.from({ length: f.count ?? 1 }, (_, e) => {
          const value = `0x${BigInt.asUintN(64, patternOf(f, i, e)).toString(16)}ull`;
          return `s->${f.name}${f.count === undefined ? '' : `[${e}]`} = ${value};`;
        }),
      );
      return `{ static char b[512]; struct ${s.name} *s = (void *)b; ${lines.join(' ')} fwrite(b, 1, 512, stdout); }`;
    });
    const source = `#include <stdio.h>\n#include <linux/vfio.h>\n#include <linux/iommufd.h>\nint main(void) {\n${blocks.join('\n')}\n}`;
    const program = join(dir, 'writer');
    assert.is(compile(dir, source, program), '');
    const bytes = execFileSync(program);
    structs.forEach((s, i) => {
      const seen = new Map([...leaves(s, bytes.subarray(i * 512, i * 512 + s.size))].map((l) => [l.path, l.value]));
      for (const f of s.fields)
        for (let e = 0; e < (f.count ?? 1); e++) {
          const path = f.count === undefined ? f.name : `${f.name}[${e}]`;
          assert.is(BigInt(seen.get(path) ?? -1), patternOf(f, i, e), `${s.name}.${path}`);
        }
    });
  }));

test('a short buffer gives the fields that are whole', () => {
  const whole = [...leaves(vfio_region_info, Buffer.alloc(32))].length;
  for (let n = 0; n <= 32; n++) {
    const found = [...leaves(vfio_region_info, Buffer.alloc(n))];
    assert.ok(found.length <= whole && found.every((l) => l.at + (l.field.type === 'u64' ? 8 : 4) <= n), `${n} bytes`);
  }
});

test('a capability chain is followed', () => {
  const head = [u32(56), u32(8), u32(9), u32(32), u64(0x1000), u64(0)]; // flags CAPS, index 9, the chain at 32
  const type = [u16(2), u16(1), u32(48), u32(3), u32(1)]; // the next at 48
  const unknown = [u16(99), u16(1), u32(0)];
  const d = decode(vfio_region_info, packed(...head, ...type, ...unknown)) as Record<string, Record<string, number>>;
  assert.equal(d.TYPE, { version: 1, type: 3, subtype: 1 });
  assert.equal(d.cap99, { version: 1 });
});

test('a capability chain that loops or leaves the buffer ends', () => {
  for (const next of [24, 20, 4, 0xffffffff, 32, 31]) {
    const bytes = packed(u32(40), u32(2), u64(0), u32(24), u32(0), u16(1), u16(1), u32(next), u32(0xffffffff), u32(0));
    assert.ok([...leaves(vfio_iommu_type1_info, bytes)].length < 20);
  }
  const info = packed(u32(24), u32(0x82), u32(9), u32(5), u32(24), u32(0), u16(5), u16(1), u32(24), u32(0), u32(0));
  assert.ok([...leaves(vfio_device_info, info)].length < 20);
});

test('a trailing array is as long as the bytes, whatever its count says', () => {
  const head = [u32(24), u32(0x24), u32(0), u32(0), u32(0xffffffff)] as const; // DATA_EVENTFD | ACTION_TRIGGER
  const fds = decode(vfio_irq_set, packed(...head, u32(5), u32(-1)));
  assert.equal(fds.data, [5, -1]);
  const bools = decode(vfio_irq_set, packed(u32(22), u32(0x22), u32(0), u32(0), u32(2), u8(1), u8(0)));
  assert.equal(bools.data, [1, 0]);
  assert.is(decode(vfio_irq_set, packed(u32(20), u32(0x21), u32(0), u32(0), u32(2))).data, undefined);
});

test('a feature is decoded by its number, and a probe has no data', () => {
  const get = featureOps.GET | 1;
  const migration = packed(u32(16), u32(get), u64(7));
  assert.equal(decode(vfio_device_feature, migration), { argsz: 16, flags: get, data: { flags: 7n } });
  assert.equal(decode(vfio_device_feature, packed(u32(16), u32(get | featureOps.PROBE), u64(7))), {
    argsz: 16,
    flags: get | featureOps.PROBE,
  });
  assert.equal(decode(vfio_device_feature, packed(u32(16), u32(featureOps.GET | 999), u64(7))), {
    argsz: 16,
    flags: featureOps.GET | 999,
  });
});

test('no bytes make decoding throw or run away', () => {
  let seed = 7;
  const random = (): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed;
  };
  for (let i = 0; i < 2000; i++) {
    const bytes = Buffer.from(Array.from({ length: random() % 200 }, () => (random() >> 8) & 0xff));
    for (const s of kernelStructs()) assert.ok([...leaves(s, bytes)].length <= 400, s.name);
  }
});

test('a dirty bitmap is as long as linux/vfio.h says', () => {
  const bitmap = { bitmap: { length: 'l', page: 'p' } };
  const of = (l: bigint, p: bigint): number => lengthOf(bitmap, (f) => (f === 'l' ? l : p));
  assert.is(of(0x1000n, 0x1000n), 8);
  assert.is(of(0x40000n, 0x1000n), 8);
  assert.is(of(0x40001n, 0x1000n), 16);
  assert.is(of(1n << 33n, 0x1000n), 262144);
  assert.is(of(0x1000n, 0n), 0);
});

test.run();
