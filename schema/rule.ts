// What a rule is: a sentence of the uAPI, or of the kernel's code, that a recorded trace can break.

/** The source's word; `(c)` cases, which the kernel enforces with an errno, are MUST. INFO: worth knowing, breaks nothing. */
export type Level = 'MUST' | 'SHOULD' | 'MAY' | 'INFO';
/** Who broke it: the program that uses VFIO, or the driver and the kernel under it. */
export type Who = 'user' | 'driver';

export interface Rule {
  readonly id: string;
  readonly level: Level;
  readonly who: Who;
  readonly text: string;
  /** Header or file with its version and line, or the mail that says it. */
  readonly source: string;
  /** Why a trace alone may not decide it. */
  readonly limit?: string;
}

/** Strongest first. */
export const levels = ['MUST', 'SHOULD', 'MAY', 'INFO'] as const satisfies readonly Level[];
export const atLeast = (level: Level, least: Level): boolean => levels.indexOf(level) <= levels.indexOf(least);

/** Where the sentences stand. Lines count in the named version's file. */
export const sources = {
  H5: 'linux 5.10.262 include/uapi/linux/vfio.h',
  H7: 'linux 7.2.13 include/uapi/linux/vfio.h',
  main: 'linux 7.2.13 drivers/vfio/vfio_main.c',
  group: 'linux 7.2.13 drivers/vfio/group.c, device_cdev.c',
  pci: 'linux 7.2.13 drivers/vfio/pci/vfio_pci_core.c',
  type1: 'linux 7.2.13 drivers/vfio/vfio_iommu_type1.c',
  /** A. Williamson, [RFC PATCH] vfio: Update/Clarify migration uAPI, add NDMA state. */
  ndma: 'Williamson 2021-12-09, 163909282574.728533.7460416142511440919.stgit@omen',
  /** J. Gunthorpe, vfio: Documentation for the migration region, v2 and v3. */
  doc2: 'Gunthorpe 2021-11-29, 0-v2-45a95932a4c6+37 (nvidia.com)',
  doc3: 'Gunthorpe 2021-12-07, 0-v3-184b374ad0a8+24c (nvidia.com)',
  reply: 'Gunthorpe 2021-12-08, 20211208202737.GE6385@nvidia.com',
  qemu7: 'QEMU 7.2 hw/vfio/migration.c',
  qemu10: 'QEMU 10.2.2 hw/vfio/migration.c',
} as const;
