// The container's requests on /dev/iommu. Source: drivers/iommu/iommufd/vfio_compat.c (6.12).

import {
  containerCalls,
  dmaMapFlags,
  dmaUnmapFlags,
  extensions,
  iommuCaps,
  iommuInfoFlags,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
} from '../../schema/container.ts';
import type { Caller } from './caller.ts';
import { chain, chainSize } from './capability.ts';
import { rangesBody } from './container.ts';
import { fail } from './failed.ts';
import type { Iommufd } from './iommufd.ts';
import { requestsOf } from './request.ts';
import { endOf, type User } from './user.ts';

const call = requestsOf(containerCalls);
const PAGE = 4096n;
const U64_MAX = (1n << 64n) - 1n;

export function compatIoctl(iommufd: Iommufd, caller: Caller, request: number, user: User, arg: bigint): number {
  const type = Number(BigInt.asUintN(32, arg));
  switch (request) {
    case call('VFIO_GET_API_VERSION'):
      return 0;
    case call('VFIO_CHECK_EXTENSION'):
      if (type === extensions.DMA_CC_IOMMU) return iommufd.compatIoas() && iommufd.host.iommu.coherent ? 1 : 0;
      return [extensions.TYPE1_IOMMU, extensions.TYPE1v2_IOMMU, extensions.UNMAP_ALL].some((e) => e === type) ? 1 : 0;
    case call('VFIO_SET_IOMMU'):
      if (type !== extensions.TYPE1_IOMMU && type !== extensions.TYPE1v2_IOMMU) fail('EINVAL');
      if (type === extensions.TYPE1_IOMMU) iommufd.compatIoas().hugePages = false;
      else iommufd.compatIoas();
      return 0;
    case call('VFIO_IOMMU_GET_INFO'):
      return getInfo(iommufd, user);
    case call('VFIO_IOMMU_MAP_DMA'): {
      const map = user.copyIn(vfio_iommu_type1_dma_map);
      const flags = map.num('flags');
      if (map.num('argsz') < vfio_iommu_type1_dma_map.size || flags & ~(dmaMapFlags.READ | dmaMapFlags.WRITE))
        fail('EINVAL');
      const prot = { read: (flags & dmaMapFlags.READ) !== 0, write: (flags & dmaMapFlags.WRITE) !== 0 };
      iommufd.compatIoas().map(caller, map.big('vaddr'), map.big('size'), prot, map.big('iova'));
      return 0;
    }
    case call('VFIO_IOMMU_UNMAP_DMA'):
      return unmap(iommufd, user);
    default:
      return fail('ENOTTY');
  }
}

function unmap(iommufd: Iommufd, user: User): number {
  const fields = user.copyIn(vfio_iommu_type1_dma_unmap);
  const flags = fields.num('flags');
  if (fields.num('argsz') < vfio_iommu_type1_dma_unmap.size || flags & ~dmaUnmapFlags.ALL) fail('EINVAL');
  const ioas = iommufd.compatIoas();
  const [iova, size] = [fields.big('iova'), fields.big('size')];
  if (flags & dmaUnmapFlags.ALL && (iova || size)) fail('EINVAL');
  fields.set('size', flags & dmaUnmapFlags.ALL ? ioas.unmapAll() : ioas.unmap(iova, size));
  user.copyOut(fields);
  return 0;
}

/** Unlike type1's, the answer's argsz is always what is needed, and as many capabilities as fit are written. */
function getInfo(iommufd: Iommufd, user: User): number {
  const min = endOf(vfio_iommu_type1_info, 'iova_pgsizes');
  const info = user.copyIn(vfio_iommu_type1_info, min);
  const room = info.num('argsz');
  if (room < min) fail('EINVAL');
  const ioas = iommufd.compatIoas();
  const pgsizes = ioas.hwpts.length > 0 ? iommufd.host.iommu.pgsizes : U64_MAX & ~(PAGE - 1n);
  const avail = Buffer.alloc(4);
  avail.writeUInt32LE(0xffffffff);
  const caps = [
    { id: iommuCaps.DMA_AVAIL, version: 1, body: avail },
    { id: iommuCaps.IOVA_RANGE, version: 1, body: rangesBody(ioas.ranges) },
  ];
  const size = vfio_iommu_type1_info.size;
  const total = size + chainSize(caps);
  if (room >= total) user.at(size).write(chain(caps, size));
  info.set('flags', iommuInfoFlags.PGSIZES | iommuInfoFlags.CAPS).set('iova_pgsizes', pgsizes);
  info.set('cap_offset', room >= total ? size : 0).set('argsz', total);
  user.copyOut(info, Math.min(room, size));
  return 0;
}
