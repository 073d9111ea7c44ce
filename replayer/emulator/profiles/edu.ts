// QEMU's educational device (1234:11e8), as vfio-pci shows it on QEMU's q35 root bus.

import type { BarSpec, PciProfile, PciSpec } from '../profile.ts';

const registers: BarSpec = { size: 1 << 20, kind: 'mem32', backing: 'registers' };

export const eduPci: PciSpec = {
  vendor: 0x1234,
  device: 0x11e8,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
  classCode: 0x00ff00,
  revision: 0x10,
  interruptPin: 1,
  bars: [registers, null, null, null, null, null],
  msiVectors: 1,
  msix: null,
  express: false,
  reset: false,
  capabilities: [],
};

export const edu: PciProfile = {
  driver: 'pci',
  model: 'edu',
  physical: true,
  pci: eduPci,
  latency: 0,
  migration: null,
  logging: false,
};
