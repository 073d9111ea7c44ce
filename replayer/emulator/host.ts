// What devices and containers of one emulated machine share: its IOMMU, its clock, what processes have locked, and what
// happened that no call reports.

import type { Clock } from './clock.ts';
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';

/** The machine's IOMMU as a container with a physical device sees it. */
export interface IommuSpec {
  /** Page sizes, a bit each. */
  readonly pgsizes: bigint;
  /** Usable IOVAs: [first, last]. */
  readonly apertures: readonly (readonly [bigint, bigint])[];
  /** It makes all DMA cache coherent (VFIO_DMA_CC_IOMMU). */
  readonly coherent: boolean;
  /** It can report dirty pages of a page table (IOMMU_HWPT_ALLOC_DIRTY_TRACKING). */
  readonly dirtyTracking: boolean;
  /** What IOMMU_GET_HW_INFO gives: enum iommu_hw_info_type and the data. */
  readonly hardware: { readonly type: number; readonly data: Buffer };
}

/** struct iommu_hw_info_vtd: flags u32, reserved u32, cap_reg u64, ecap_reg u64, as QEMU's intel-iommu has them. */
function vtdRegisters(): Buffer {
  const data = Buffer.alloc(24);
  data.writeUInt32LE(1); // IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17
  data.writeBigUInt64LE(0x00d2008c22260286n, 8);
  data.writeBigUInt64LE(0xf00f4an, 16);
  return data;
}

/** As QEMU's intel-iommu: 39 bits of address, pages of 4 KiB, 2 MiB and 1 GiB, interrupts at 0xfee00000. */
export const vtd: IommuSpec = {
  pgsizes: 0x40201000n,
  apertures: [
    [0n, 0xfedfffffn],
    [0xfef00000n, 0x7fffffffffn],
  ],
  coherent: true,
  dirtyTracking: false,
  hardware: { type: 1, data: vtdRegisters() },
};

/** Something a device did or suffered, with the virtual time. */
export interface Incident {
  readonly at: bigint;
  readonly device: string;
  readonly what: string;
}

/** Kernel whose calls, features and widths are followed. */
export const kernels = ['6.1', '6.12', '7.2'] as const;
export type Kernel = (typeof kernels)[number];

export class Host {
  readonly kernel: Kernel;
  readonly iommu: IommuSpec;
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: Faults;
  readonly incidents: Incident[] = [];
  private readonly pages = new Map<number, bigint>();

  constructor(kernel: Kernel, iommu: IommuSpec, clock: Clock, random: Random, faults: Faults) {
    this.kernel = kernel;
    this.iommu = iommu;
    this.clock = clock;
    this.random = random;
    this.faults = faults;
  }

  /** Whether the kernel has what came with `since`. */
  has(since: Kernel): boolean {
    return kernels.indexOf(this.kernel) >= kernels.indexOf(since);
  }

  note(device: string, what: string): void {
    this.incidents.push({ at: this.clock.now, device, what });
  }

  /** Pages that `process` has locked through containers and IOASes; a page mapped in two containers counts twice. */
  locked(process: number): bigint {
    return this.pages.get(process) ?? 0n;
  }
  lock(process: number, pages: bigint): void {
    this.pages.set(process, this.locked(process) + pages);
  }
}
