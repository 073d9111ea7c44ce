// Gives a PCI device a migration protocol.

import { addMigrationV1 } from './migration-v1.ts';
import { addMigrationV2 } from './migration-v2.ts';
import type { PciDevice } from './pci-device.ts';
import type { MigrationV1Spec, MigrationV2Spec } from './profile.ts';

export function addMigration(pci: PciDevice, spec: MigrationV1Spec | MigrationV2Spec): void {
  if (spec.protocol === 'v1') addMigrationV1(pci, spec);
  else addMigrationV2(pci, spec);
}
