import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { header, proof } from '../../schema/generate.ts';
import { inTemporary } from '../traces/make.ts';
import { compile } from './compiler.ts';

const good = proof();

test('the proof compiles', () => inTemporary((dir) => assert.is(compile(dir, good), '')));
test('the header compiles', () => inTemporary((dir) => assert.is(compile(dir, header()), '')));

/** Every kind of statement in the proof, with a number in it made wrong, must stop the compiler. */
const mutations: Readonly<Record<string, [RegExp, string]>> = {
  'an offset': [/(offsetof\(struct vfio_region_info, offset\) == )24/, '$132'],
  'a size': [/(vfio_iommu_type1_dma_map \*\)0\)->iova\) == )8/, '$14'],
  'a request number': [/(VFIO_DEVICE_SET_IRQS == )0x3b6e/, '$10x3b6f'],
  'a feature number': [/(VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE == )2/, '$13'],
  'a flag': [/(VFIO_REGION_INFO_FLAG_MMAP == )4ULL/, '$18ULL'],
  'a state': [/(VFIO_DEVICE_STATE_STOP_COPY == )3ULL/, '$14ULL'],
  'an iommufd offset': [/(offsetof\(struct iommu_ioas_map, iova\) == )32/, '$124'],
};
for (const [what, [pattern, wrong]] of Object.entries(mutations))
  test(`${what} that is wrong stops the compiler`, () =>
    inTemporary((dir) => {
      const bad = good.replace(pattern, wrong);
      assert.is.not(bad, good, 'the proof has no such statement');
      assert.match(compile(dir, bad), 'static assertion failed');
    }));

test.run();
