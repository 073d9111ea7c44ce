// Every VFIO and iommufd call, keyed by (kind of descriptor, request).

import { type Call, request } from './call.ts';
import { containerCalls } from './container.ts';
import { deviceCalls } from './device.ts';
import { groupCalls } from './group.ts';
import { iommufdCalls } from './iommufd.ts';
import type { FdKind } from './kinds.ts';

export const calls: readonly Call[] = [...containerCalls, ...groupCalls, ...deviceCalls, ...iommufdCalls];

const byKey = new Map(calls.map((c) => [`${c.kind}:${request(c.nr)}`, c]));

/** The call that `req` is on a descriptor of `kind`, or undefined. iommufd also takes the container's requests. */
export function callOf(kind: FdKind | 'spapr', req: number): Call | undefined {
  const own = byKey.get(`${kind}:${req}`);
  if (own || (kind !== 'iommufd' && kind !== 'spapr')) return own;
  return byKey.get(`container:${req}`);
}
