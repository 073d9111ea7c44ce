// What is played: plain data that goes to the answering thread, and the machine that is made of it there.

import { openTrace } from '../../traces/trace.ts';
import type { Machine } from './machine.ts';
import { type Matching, RecordedMachine } from './recorded.ts';
import { shownOf } from './recorded-tree.ts';
import type { Shown } from './tree.ts';

export type Plan = {
  readonly kind: 'trace';
  readonly path: string;
  readonly matching: Matching;
  /** Bytes that a process may lock; null: no limit. */
  readonly memlock: bigint | null;
};

export interface Made {
  readonly machine: Machine;
  readonly shown: readonly Shown[];
  /** There is a /dev/iommu. */
  readonly iommufd: boolean;
}

export function machineOf(plan: Plan): Made {
  const trace = openTrace(plan.path);
  const iommufd = [...trace.handles.values()].some((h) => h.kind === 'iommufd');
  return { machine: new RecordedMachine(trace, plan.matching), shown: shownOf(trace), iommufd };
}
