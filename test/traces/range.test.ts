import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TraceError } from '../../schema/errors.ts';
import { parseRange } from '../../traces/range.ts';
import { openTrace } from '../../traces/trace.ts';
import { inTemporary } from './make.ts';
import { sample } from './sample.ts';

const cases: readonly (readonly [readonly string[], readonly number[]])[] = [
  [['5'], [5]],
  [['5-7'], [5, 6, 7]],
  [['31-'], [31, 32]],
  [['-2'], [31, 32]],
  [
    ['5', '7-8'],
    [5, 7, 8],
  ],
  [
    ['1-20', '-2'],
    [19, 20],
  ],
  [['@failed'], [8, 19, 23, 29]],
  [
    ['@failed', '-2'],
    [23, 29],
  ],
  [['@unfinished'], [32]],
  [['@name:VFIO_IOMMU_MAP_DMA'], [7, 8]],
  [['@name:vfio_iommu*', '@failed'], [8]],
  [['@name:sendmsg'], [30]],
  [['@feature:MIGRATION'], [15]],
  [['@kind:data'], [17, 18, 32]],
  [['@device:0000:00:05.0'], [25, 26, 27, 28, 29]],
  [
    ['@device:0000:00:04.0', '17-'],
    [17, 18, 19, 20, 21, 23, 31, 32],
  ], // with its data descriptor
  [['@device:/dev/vfio/vfio'], [3, 4, 7, 8, 22]],
  [['@handle:4'], [17, 18, 32]],
  [['@name:sendmsg', '@name:close', '@feature:MIGRATION'], []],
  [
    ['@name:sendmsg', '@name:close'],
    [30, 31],
  ],
  [['@region:7', '@region:9', '@failed'], [29]],
  [['@tid:201'], [14]],
  [['@pid:200'], [14]],
  [['@fd:6'], [17, 18, 32]],
  [['@region:7'], [13]],
  [["sql:error = 'EIO' OR region = 7"], [13, 19]],
  [['40-'], []],
];

for (const [terms, ids] of cases)
  test(terms.join(' '), () =>
    inTemporary((dir) => {
      const path = join(dir, 'a.vrr');
      sample(path);
      const trace = openTrace(path);
      const range = parseRange(terms);
      assert.equal(
        [...trace.events(range)].map((e) => e.id),
        ids,
      );
      assert.is(trace.count(range), ids.length);
      trace.close();
    }),
  );

for (const term of [
  'x',
  '7-5',
  '@bla',
  '@device',
  '@kind:spoon',
  '@name:VFIO_NOTHING',
  '@feature:NOTHING',
  '@fd:x',
  '5-x',
  '-',
])
  test(`${term} is refused in a sentence`, () => {
    assert.throws(
      () => parseRange([term]),
      (e: unknown) => e instanceof TraceError && e.code === 'USAGE' && e.message.includes(term),
    );
  });

test('a predicate that is no SQL is a matter of usage', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const trace = openTrace(path);
    for (const written of ['nonsense = 1', '1) --', ')', ''])
      assert.throws(
        () => [...trace.events(parseRange([`sql:${written}`]))],
        (e: unknown) => e instanceof TraceError && e.code === 'USAGE',
        written,
      );
    trace.close();
  }));

test.run();
