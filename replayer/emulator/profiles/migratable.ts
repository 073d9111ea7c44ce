// The educational device with 64 KiB of memory of its own in BAR 2, and a migration protocol. No kernel ships a driver
// for these; they stand for the drivers that the protocols were written for.

import { migrationFlags } from '../../../schema/features.ts';
import type { MigrationV1Spec, MigrationV2Spec, PciProfile } from '../profile.ts';
import { edu, eduPci } from './edu.ts';

const { STOP_COPY, P2P, PRE_COPY } = migrationFlags;
const withMemory: PciProfile = {
  ...edu,
  pci: {
    ...eduPci,
    reset: true,
    bars: [eduPci.bars[0] ?? null, null, { size: 64 << 10, kind: 'mem32', backing: 'ram' }, null, null, null],
  },
};

const v1: MigrationV1Spec = {
  protocol: 'v1',
  precedence: 'derived',
  buffer: 'separate',
  ndma: 'absent',
  intermediate: 'ignored',
  data: 'trapped',
  dataSize: 32 << 10,
  churn: 0,
};
const v1Profile = (migration: Partial<MigrationV1Spec>): PciProfile => ({
  ...withMemory,
  physical: false, // it came as an mdev
  migration: { ...v1, ...migration },
});
export const v1Edu = v1Profile({});
export const v1Ndma = v1Profile({ ndma: 'supported' });
export const v1Noop = v1Profile({ ndma: 'noop' });
export const v1Mmap = v1Profile({ data: 'mmapped' });
export const v1Sparse = v1Profile({ data: 'sparse' });
export const v1Churn = v1Profile({ churn: 2 });

const v2Profile = (migration: Partial<MigrationV2Spec>): PciProfile => ({
  ...withMemory,
  logging: true,
  migration: { protocol: 'v2', flags: STOP_COPY, temporaryEnd: 'ENOMSG', churn: 0, ...migration },
});
export const v2StopCopy = v2Profile({});
export const v2P2p = v2Profile({ flags: STOP_COPY | P2P });
export const v2PreCopy = v2Profile({ flags: STOP_COPY | PRE_COPY });
export const v2Full = v2Profile({ flags: STOP_COPY | P2P | PRE_COPY });
export const v2Churn = v2Profile({ flags: STOP_COPY | P2P | PRE_COPY, churn: 2 });
export const v2Zero = v2Profile({ flags: STOP_COPY | P2P | PRE_COPY, temporaryEnd: '0' });
