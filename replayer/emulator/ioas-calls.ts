// iommufd's requests on address spaces. Source: drivers/iommu/iommufd/{ioas,main,vfio_compat}.c (6.12).

import { iommufdStructs } from '../../schema/iommufd.ts';
import { fail } from './failed.ts';
import type { Prot } from './ioas.ts';
import type { Command, Handler } from './iommufd-file.ts';
import { namesOf } from './request.ts';
import { User } from './user.ts';

const mapFlag = namesOf(iommufdStructs.iommu_ioas_map, 'flags');
const FIXED = mapFlag('FIXED_IOVA');
const WRITEABLE = mapFlag('WRITEABLE');
const READABLE = mapFlag('READABLE');
const optionId = namesOf(iommufdStructs.iommu_option, 'option_id');
const optionOp = namesOf(iommufdStructs.iommu_option, 'op');
const vfioIoasOp = namesOf(iommufdStructs.iommu_vfio_ioas, 'op');
const U64_MAX = (1n << 64n) - 1n;
const RANGE = 16; // struct iommu_iova_range: start u64, last u64

const refuseReserved = (c: Command): void => {
  if (c.fields.num('__reserved')) fail('EOPNOTSUPP');
};
function prot(c: Command): Prot {
  const flags = c.fields.num('flags');
  if (flags & ~(FIXED | WRITEABLE | READABLE)) fail('EOPNOTSUPP');
  return { read: (flags & READABLE) !== 0, write: (flags & WRITEABLE) !== 0 };
}
const refuseHuge = (...values: bigint[]): void => {
  if (values.some((v) => v >= U64_MAX)) fail('EOVERFLOW');
};

export const ioasHandlers: Readonly<Record<string, Handler>> = {
  IOMMU_IOAS_ALLOC(c) {
    if (c.fields.num('flags')) fail('EOPNOTSUPP');
    c.fields.set('out_ioas_id', c.iommufd.makeIoas().id);
    c.respond();
  },

  IOMMU_IOAS_IOVA_RANGES(c) {
    refuseReserved(c);
    const ioas = c.iommufd.ioas(c.fields.num('ioas_id'));
    const room = c.fields.num('num_iovas');
    const to = new User(c.user.memory, c.fields.big('allowed_iovas'));
    const { ranges } = ioas;
    c.fields.set('out_iova_alignment', ioas.alignment);
    ranges.slice(0, room).forEach(([start, last], i) => {
      const bytes = Buffer.alloc(RANGE);
      bytes.writeBigUInt64LE(start);
      bytes.writeBigUInt64LE(last, 8);
      to.at(RANGE * i).write(bytes);
    });
    c.fields.set('num_iovas', ranges.length);
    c.respond();
    if (ranges.length > room) fail('EMSGSIZE');
  },

  IOMMU_IOAS_ALLOW_IOVAS(c) {
    refuseReserved(c);
    const ioas = c.iommufd.ioas(c.fields.num('ioas_id'));
    const from = new User(c.user.memory, c.fields.big('allowed_iovas'));
    const ranges: [bigint, bigint][] = [];
    for (let i = 0; i < c.fields.num('num_iovas'); i++) {
      const bytes = from.at(RANGE * i).read(RANGE);
      const [start, last] = [bytes.readBigUInt64LE(), bytes.readBigUInt64LE(8)];
      if (start >= last || ranges.some(([s, l]) => start <= l && last >= s)) fail('EINVAL');
      ranges.push([start, last]);
    }
    ioas.allow(ranges);
  },

  IOMMU_IOAS_MAP(c) {
    const p = prot(c);
    refuseReserved(c);
    const length = c.fields.big('length');
    refuseHuge(c.fields.big('iova'), length);
    if (!p.read && !p.write) fail('EINVAL');
    const ioas = c.iommufd.ioas(c.fields.num('ioas_id'));
    const fixed = c.fields.num('flags') & FIXED ? c.fields.big('iova') : null;
    c.fields.set('iova', ioas.map(c.caller, c.fields.big('user_va'), length, p, fixed));
    c.respond();
  },

  IOMMU_IOAS_COPY(c) {
    const p = prot(c);
    const length = c.fields.big('length');
    refuseHuge(length, c.fields.big('src_iova'), c.fields.big('dst_iova'));
    if (!p.read && !p.write) fail('EINVAL');
    const pieces = c.iommufd.ioas(c.fields.num('src_ioas_id')).pieces(c.fields.big('src_iova'), length);
    const target = c.iommufd.ioas(c.fields.num('dst_ioas_id'));
    const fixed = c.fields.num('flags') & FIXED ? c.fields.big('dst_iova') : null;
    c.fields.set('dst_iova', target.mapPieces(pieces, length, p, fixed));
    c.respond();
  },

  IOMMU_IOAS_UNMAP(c) {
    const ioas = c.iommufd.ioas(c.fields.num('ioas_id'));
    const [iova, length] = [c.fields.big('iova'), c.fields.big('length')];
    let unmapped: bigint;
    if (iova === 0n && length === U64_MAX) unmapped = ioas.unmapAll();
    else {
      refuseHuge(iova, length);
      unmapped = ioas.unmap(iova, length);
      if (unmapped === 0n) fail('ENOENT');
    }
    c.fields.set('length', unmapped);
    c.respond();
  },

  IOMMU_OPTION: option,

  IOMMU_VFIO_IOAS(c) {
    refuseReserved(c);
    switch (c.fields.num('op')) {
      case vfioIoasOp('GET'):
        c.fields.set('ioas_id', c.iommufd.compatIoas().id);
        c.respond();
        break;
      case vfioIoasOp('SET'):
        c.iommufd.setCompat(c.iommufd.ioas(c.fields.num('ioas_id')));
        break;
      case vfioIoasOp('CLEAR'):
        c.iommufd.setCompat(null);
        break;
      default:
        fail('EOPNOTSUPP');
    }
  },
};

function option(c: Command): void {
  refuseReserved(c);
  const op = c.fields.num('op');
  const get = op === optionOp('GET');
  const value = c.fields.big('val64');
  const id = c.fields.num('option_id');
  if (id === optionId('RLIMIT_MODE')) {
    if (c.fields.num('object_id')) fail('EOPNOTSUPP');
    if (get) c.fields.set('val64', c.iommufd.accountByProcess ? 1 : 0);
    else if (op !== optionOp('SET')) fail('EOPNOTSUPP');
    else if (c.iommufd.objects.size > 0) fail('EBUSY');
    else if (value > 1n) fail('EINVAL');
    else c.iommufd.accountByProcess = value === 1n;
  } else if (id === optionId('HUGE_PAGES')) {
    const ioas = c.iommufd.ioas(c.fields.num('object_id'));
    if (get) c.fields.set('val64', ioas.hugePages ? 1 : 0);
    else if (op !== optionOp('SET')) fail('EOPNOTSUPP');
    else if (value > 1n) fail('EINVAL');
    else ioas.hugePages = value === 1n;
  } else fail('EOPNOTSUPP');
  c.respond();
}
