// What a comparison leaves out on request: `CALL:FIELD` with * as a wildcard in either, for instance
// `VFIO_IOMMU_GET_INFO:DMA_AVAIL.avail`, `pread region 0+0x8:value`, `*:timing`. Learned masks are the same, found by
// comparing several recordings of one thing.

import { TraceError } from '../../schema/errors.ts';
import type { TraceEvent } from '../event.ts';

export interface Mask {
  readonly text: string;
  readonly from: 'user' | 'learned';
}

/** Name of a call as masks and reports write it: the request with its feature, or the operation with its register. */
export function callName(e: TraceEvent, featureName: (flags: number) => string | undefined): string {
  if (e.op === 'ioctl') {
    const feature = e.feature === null ? '' : ` ${featureName(e.feature) ?? `feature ${e.feature & 0xffff}`}`;
    return `${e.call?.name ?? `ioctl 0x${(e.request ?? 0).toString(16)}`}${feature}`;
  }
  if (e.region !== null && e.a !== null) return `${e.op} region ${e.region}+0x${e.a.toString(16)}`;
  return e.op;
}

const pattern = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*');

export class Masks {
  readonly #rules: { pattern: RegExp; text: string }[] = [];
  readonly #cache = new Map<string, string | undefined>();

  constructor(masks: readonly Mask[]) {
    for (const mask of masks) {
      const colon = mask.text.lastIndexOf(':');
      if (colon <= 0 || colon === mask.text.length - 1) {
        throw new TraceError(
          'USAGE',
          `mask "${mask.text}" is not CALL:FIELD, such as VFIO_IOMMU_GET_INFO:iova_pgsizes`,
        );
      }
      const whole = new RegExp(`^${pattern(mask.text.slice(0, colon))}:${pattern(mask.text.slice(colon + 1))}$`);
      this.#rules.push({ pattern: whole, text: mask.from === 'learned' ? `learned ${mask.text}` : mask.text });
    }
  }

  /** The mask that covers this field of this call, as the user wrote it. */
  covers(call: string, field: string): string | undefined {
    if (this.#rules.length === 0) return undefined;
    const key = `${call}:${field}`;
    if (!this.#cache.has(key)) this.#cache.set(key, this.#rules.find((r) => r.pattern.test(key))?.text);
    return this.#cache.get(key);
  }
}
