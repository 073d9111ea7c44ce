// iommufd's requests on hardware page tables, devices and fault queues. Source: drivers/iommu/iommufd/{hw_pagetable,
// device,fault,io_pagetable}.c (6.12). Nested page tables belong to an IOMMU driver and are refused as one without.

import { iommufdStructs } from '../../schema/iommufd.ts';
import { fail } from './failed.ts';
import type { DeviceObject, Hwpt, Iommufd } from './iommufd.ts';
import type { Command, Handler } from './iommufd-file.ts';
import { namesOf } from './request.ts';
import { User } from './user.ts';

const allocFlag = namesOf(iommufdStructs.iommu_hwpt_alloc, 'flags');
const ALLOC_NEST_PARENT = allocFlag('ALLOC_NEST_PARENT');
const ALLOC_DIRTY_TRACKING = allocFlag('ALLOC_DIRTY_TRACKING');
const DIRTY_ENABLE = namesOf(iommufdStructs.iommu_hwpt_set_dirty_tracking, 'flags')('ENABLE');
const NO_CLEAR = namesOf(iommufdStructs.iommu_hwpt_get_dirty_bitmap, 'flags')('NO_CLEAR');
const HW_CAP_DIRTY_TRACKING = 1n;

/** A device that a user may name: an mdev has no such object (its id belongs to an access). */
function deviceOf(iommufd: Iommufd, id: number): DeviceObject {
  const object = iommufd.objects.get(id);
  return object?.kind === 'device' && object.physical ? object : fail('ENOENT');
}
function hwptOf(iommufd: Iommufd, id: number): Hwpt {
  const object = iommufd.objects.get(id);
  return object?.kind === 'hwpt' ? object : fail('ENOENT');
}

export const hwptHandlers: Readonly<Record<string, Handler>> = {
  IOMMU_HWPT_ALLOC(c) {
    if (c.fields.num('__reserved')) fail('EOPNOTSUPP');
    const data = c.fields.num('data_type');
    if ((data === 0) !== (c.fields.num('data_len') === 0)) fail('EINVAL');
    deviceOf(c.iommufd, c.fields.num('dev_id'));
    const table = c.iommufd.objects.get(c.fields.num('pt_id')) ?? fail('EINVAL');
    const flags = c.fields.num('flags');
    if (table.kind === 'hwpt') fail(c.fields.num('data_len') ? 'EINVAL' : 'EOPNOTSUPP'); // nested
    if (table.kind !== 'ioas') return fail('EINVAL');
    if (flags & ~(ALLOC_NEST_PARENT | ALLOC_DIRTY_TRACKING) || data !== 0) fail('EOPNOTSUPP');
    if (flags & ALLOC_DIRTY_TRACKING && !c.iommufd.host.iommu.dirtyTracking) fail('EOPNOTSUPP');
    const hwpt = c.iommufd.makeHwpt(table, false, (flags & ALLOC_DIRTY_TRACKING) !== 0);
    c.fields.set('out_hwpt_id', hwpt.id);
    c.respond();
  },

  IOMMU_GET_HW_INFO(c) {
    if (c.fields.num('flags') || c.fields.num('__reserved')) fail('EOPNOTSUPP');
    deviceOf(c.iommufd, c.fields.num('dev_id'));
    const room = c.fields.num('data_len');
    const { type, data } = c.iommufd.host.iommu.hardware;
    const out = Buffer.alloc(room); // what is beyond the data is zeroed
    data.copy(out);
    new User(c.user.memory, c.fields.big('data_uptr')).write(out);
    c.fields.set('data_len', data.length).set('out_data_type', type);
    c.fields.set('out_capabilities', c.iommufd.host.iommu.dirtyTracking ? HW_CAP_DIRTY_TRACKING : 0n);
    c.respond();
  },

  IOMMU_HWPT_SET_DIRTY_TRACKING(c) {
    if (c.fields.num('flags') & ~DIRTY_ENABLE) fail('EOPNOTSUPP');
    const hwpt = hwptOf(c.iommufd, c.fields.num('hwpt_id'));
    if (!hwpt.dirtyTracking) fail('EOPNOTSUPP');
    hwpt.tracking = (c.fields.num('flags') & DIRTY_ENABLE) !== 0;
    if (hwpt.tracking) hwpt.ioas.clearDirty();
  },

  IOMMU_HWPT_GET_DIRTY_BITMAP: getDirtyBitmap,

  IOMMU_HWPT_INVALIDATE(c) {
    const wrong =
      c.fields.num('__reserved') !== 0
        ? 'EOPNOTSUPP'
        : c.fields.num('entry_num') && !c.fields.big('data_uptr')
          ? 'EINVAL'
          : 'ENOENT';
    c.fields.set('entry_num', 0);
    c.respond();
    fail(wrong);
  },
};

function getDirtyBitmap(c: Command): void {
  if (c.fields.num('flags') & ~NO_CLEAR || c.fields.num('__reserved')) fail('EOPNOTSUPP');
  const hwpt = hwptOf(c.iommufd, c.fields.num('hwpt_id'));
  const [iova, length, page] = [c.fields.big('iova'), c.fields.big('length'), c.fields.big('page_size')];
  if (length === 0n) fail('EINVAL');
  if (iova + length - 1n >= 1n << 64n) fail('EOVERFLOW');
  if ((iova | length) & (hwpt.ioas.alignment - 1n) || page === 0n || (iova | length) & (page - 1n)) fail('EINVAL');
  if (!hwpt.dirtyTracking) fail('EOPNOTSUPP');
  const bitmap = new User(c.user.memory, c.fields.big('data'));
  for (const frame of hwpt.ioas.takeDirty(iova, length, !(c.fields.num('flags') & NO_CLEAR))) {
    const bit = (frame * 4096n - iova) / page;
    const place = bitmap.at((bit / 64n) * 8n);
    const word = place.read(8);
    word.writeBigUInt64LE(word.readBigUInt64LE() | (1n << (bit % 64n)));
    place.write(word);
  }
}
