// What a file descriptor is, which decides what a request number on it means: requests carry no size and no direction,
// and 0x3b70 to 0x3b79 mean different calls on different kinds (linux/vfio.h).

/** Numbers are part of the event layout: append only. */
export const fdKinds = {
  none: 0,
  container: 1,
  group: 2,
  device: 3,
  data: 4,
  iommufd: 5,
  pgfault: 6,
  veventq: 7,
  dmabuf: 8,
  eventfd: 9,
  unknown: 10,
} as const;
export type FdKind = keyof typeof fdKinds;

export function kindName(nr: number): FdKind {
  return (Object.keys(fdKinds) as FdKind[]).find((k) => fdKinds[k] === nr) ?? 'unknown';
}

/**
 * How a path given to open() tells the kind: the first prefix that matches wins, so the order matters.
 * drivers/vfio/{container,group,device_cdev}.c, drivers/iommu/iommufd/main.c.
 */
export const paths = [
  { prefix: '/dev/vfio/vfio', exact: true, kind: 'container' },
  { prefix: '/dev/vfio/devices/', exact: false, kind: 'device' },
  { prefix: '/dev/vfio/', exact: false, kind: 'group' },
  { prefix: '/dev/iommu', exact: true, kind: 'iommufd' },
] as const;

/**
 * How the target of a /proc/self/fd link tells the kind of a descriptor that came from elsewhere:
 * `anon_inode:` names given by vfio_main.c, the migration drivers (who.md lists them) and eventfd.c.
 */
export const anonInodes = [
  { name: '[vfio-device]', kind: 'device' },
  { name: '[eventfd]', kind: 'eventfd' },
  { name: '[iommufd-pgfault]', kind: 'pgfault' },
  { name: '[iommufd-viommu-event]', kind: 'veventq' },
  { name: 'mlx5vf_mig', kind: 'data' },
  { name: 'hisi_acc_vf_mig', kind: 'data' },
  { name: 'pds_vfio_lm', kind: 'data' },
  { name: 'qat_vf_mig', kind: 'data' },
  { name: 'virtiovf_mig', kind: 'data' },
  { name: 'xe_vfio_mig', kind: 'data' },
  { name: 'mtty_mig', kind: 'data' },
] as const;
