// Calls on /dev/vfio/N. Source: linux/vfio.h, drivers/vfio/group.c.

import { type Call, none, pointerTo, scalar } from './call.ts';
import { argsz, bits, fd, s32, struct, u32 } from './layout.ts';

export const groupFlags = { VIABLE: 1, CONTAINER_SET: 2 } as const;

export const vfio_group_status = struct('vfio_group_status', {
  argsz: u32('in', argsz),
  flags: u32('out', bits('VFIO_GROUP_FLAGS_', groupFlags)),
});

export const groupCalls: readonly Call[] = [
  { name: 'VFIO_GROUP_GET_STATUS', kind: 'group', nr: 103, arg: pointerTo(vfio_group_status), min: 8, since: '6.1' },
  {
    name: 'VFIO_GROUP_SET_CONTAINER',
    kind: 'group',
    nr: 104,
    arg: scalar(s32('in', fd('container'))),
    min: 4,
    since: '6.1',
  },
  { name: 'VFIO_GROUP_UNSET_CONTAINER', kind: 'group', nr: 105, arg: none, min: 0, since: '6.1' },
  // strndup_user(…, PAGE_SIZE): "0000:06:0d.0" or an mdev's UUID, and perhaps " vf_token=UUID" (vfio_pci_core_match).
  {
    name: 'VFIO_GROUP_GET_DEVICE_FD',
    kind: 'group',
    nr: 106,
    arg: { kind: 'string', max: 4096 },
    min: 0,
    makes: { kind: 'device', at: 'ret' },
    since: '6.1',
  },
];
