// The view `interrupt` as info shows it.

import type { Trace } from './trace.ts';

export interface Interrupt {
  readonly device: string;
  /** INTX, MSI, MSIX, ERR, REQ; null: not armed by SET_IRQS. */
  readonly irq: string | number | null;
  readonly vector: number | null;
  readonly armed_by: string;
  /** Event that armed it, and the one that ended that; null: to the end. */
  readonly first: number;
  readonly last: number | null;
  /** How often the program read the eventfd, and how many signals that gave. */
  readonly reads: number;
  readonly signals: number;
  readonly bypass: string | null;
}

/** Traces of formats 1 and 2 do not have it. */
export function interruptsOf(trace: Trace): Interrupt[] {
  if (trace.version < 3) return [];
  return trace.select(
    'SELECT device, irq, vector, armed_by, first, last, reads, signals, bypass FROM interrupt ORDER BY first, vector',
  ) as unknown as Interrupt[];
}
