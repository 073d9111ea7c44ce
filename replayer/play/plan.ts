// What is played: plain data that goes to the answering thread, and the machine that is made of it there.

import { openTrace } from '../../traces/trace.ts';
import { EmulatedMachine, type EmulatedOptions } from './emulated.ts';
import type { Machine } from './machine.ts';
import { type Matching, RecordedMachine } from './recorded.ts';
import { shownOf } from './recorded-tree.ts';
import type { Shown } from './tree.ts';

/** `memlock`: bytes that a process may lock; null: no limit. */
export type Plan = { readonly memlock: bigint | null } & (
  | { readonly kind: 'trace'; readonly path: string; readonly matching: Matching }
  | ({ readonly kind: 'emulate' } & EmulatedOptions)
);

export interface Made {
  readonly machine: Machine;
  readonly shown: readonly Shown[];
  /** There is a /dev/iommu. */
  readonly iommufd: boolean;
}

/** `say`: what the user should know at once. */
export function machineOf(plan: Plan, say: (text: string) => void): Made {
  if (plan.kind === 'emulate') {
    const machine = new EmulatedMachine(plan);
    return { machine, shown: machine.shown, iommufd: true };
  }
  const trace = openTrace(plan.path);
  const iommufd = [...trace.handles.values()].some((h) => h.kind === 'iommufd');
  return { machine: new RecordedMachine(trace, plan.matching, say), shown: shownOf(trace), iommufd };
}
