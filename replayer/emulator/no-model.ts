// A device whose registers are not modelled: reads give zeroes, writes are taken.

import { fail } from './failed.ts';
import type { Model } from './model.ts';

export class NoModel implements Model {
  readonly asserted = false;
  read(): bigint {
    return 0n;
  }
  write(): void {}
  reset(): void {}
  settle(): void {}
  save(): Buffer {
    return Buffer.alloc(0);
  }
  load(bytes: Buffer): void {
    if (bytes.length > 0) fail('EINVAL');
  }
}
