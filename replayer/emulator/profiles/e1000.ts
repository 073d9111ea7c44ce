// QEMU's e1000: Intel 82540EM (8086:100e).

import type { PciProfile } from '../profile.ts';

export const e1000: PciProfile = {
  driver: 'pci',
  model: 'e1000',
  physical: true,
  pci: {
    vendor: 0x8086,
    device: 0x100e,
    subsystemVendor: 0x1af4,
    subsystem: 0x1100,
    classCode: 0x020000,
    revision: 3,
    interruptPin: 1,
    bars: [
      { size: 128 << 10, kind: 'mem32', backing: 'registers' },
      { size: 64, kind: 'io', backing: 'registers' },
      null,
      null,
      null,
      null,
    ],
    msiVectors: 0,
    msix: null,
    express: false,
    reset: false,
    capabilities: [],
  },
  latency: 0,
  migration: null,
  logging: false,
};
