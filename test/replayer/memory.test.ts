// Memory that stands for the recorded program's: what overlapped is shared, nothing else is.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Pieces, stretchOf } from '../../replayer/memory.ts';
import { event, packed, u32, u64 } from './event.ts';

const map = (vaddr: bigint, size: bigint, more: object = {}) =>
  event({ name: 'VFIO_IOMMU_MAP_DMA', input: packed(u32(32), u32(3), u64(vaddr), u64(0), u64(size)), ...more });
const find = (pieces: Pieces, address: bigint, size: bigint, process = 1) => {
  const p = pieces.find({ process, address, size });
  return p && [p.address, p.end];
};

test('both ways of mapping are understood', () => {
  assert.equal(stretchOf(map(0x7000n, 0x2000n)), { process: 1, address: 0x7000n, size: 0x2000n });
  const ioas = event({
    name: 'IOMMU_IOAS_MAP',
    input: packed(u32(40), u32(7), u32(1), u32(0), u64(0x9000), u64(0x1000), u64(0x5000)),
  });
  assert.equal(stretchOf(ioas), { process: 1, address: 0x9000n, size: 0x1000n });
  const unmap = event({ name: 'VFIO_IOMMU_UNMAP_DMA', input: packed(u32(24), u32(0), u64(0), u64(0x1000)) });
  assert.is(stretchOf(unmap), undefined);
});

test('overlapping ranges are one piece, neighbours are two', () => {
  const pieces = new Pieces([map(0x2000n, 0x1000n), map(0x0n, 0x3000n), map(0x3000n, 0x1000n), map(0x8000n, 0x1000n)]);
  assert.equal(find(pieces, 0x2000n, 0x1000n), [0n, 0x3000n]);
  assert.equal(find(pieces, 0x3000n, 0x1000n), [0x3000n, 0x4000n]);
  assert.is(find(pieces, 0x2000n, 0x2000n), undefined);
  assert.is(find(pieces, 0x5000n, 0x1000n), undefined);
});

test('a piece begins and ends at a page, so that a crooked address stays crooked', () => {
  const pieces = new Pieces([map(0x1234n, 0x10n)]);
  assert.equal(find(pieces, 0x1234n, 0x10n), [0x1000n, 0x2000n]);
});

test('the same address of two processes is two pieces', () => {
  const pieces = new Pieces([map(0x1000n, 0x1000n), map(0x1000n, 0x2000n, { process: 2 })]);
  assert.equal(find(pieces, 0x1000n, 0x1000n, 1), [0x1000n, 0x2000n]);
  assert.equal(find(pieces, 0x1000n, 0x1000n, 2), [0x1000n, 0x3000n]);
});

test('the impossible ranges of failed calls get no memory', () => {
  const pieces = new Pieces([
    map(0x1000n, 1n << 60n, { ret: -22 }),
    map((1n << 64n) - 0x1000n, 0x2000n, { ret: -22 }),
    map(0x1000n, 0n, { ret: -22 }),
  ]);
  assert.is(find(pieces, 0x1000n, 1n << 60n), undefined);
});

test.run();
