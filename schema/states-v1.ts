// Migration protocol v1: the migration region, its state bits, and in which order a write of several bits is carried
// out. Source: linux/vfio.h of 5.10; the NDMA proposal and the posted orders: "vfio: Documentation for the migration
// region", RFC v2 (2021-11-29) and v3 (2021-12-07), and the reply of 2021-12-08; "[RFC PATCH] vfio: Update/Clarify
// migration uAPI, add NDMA state" (2021-12-09). No kernel shipped a driver for it.

import { hex, struct, u32, u64 } from './layout.ts';

/** Start of the migration region. Each field is accessed whole, at its width. */
export const vfio_device_migration_info = struct('vfio_device_migration_info', {
  device_state: u32('inout', hex),
  reserved: u32('out', { means: 'reserved' }),
  pending_bytes: u64('out', { means: 'counter' }),
  data_offset: u64('out', hex),
  data_size: u64('inout', hex),
});

export const v1Bits = { RUNNING: 1, SAVING: 2, RESUMING: 4, NDMA: 8 } as const;
export type V1Bit = keyof typeof v1Bits;
const { RUNNING, SAVING, RESUMING, NDMA } = v1Bits;
export const v1StateMask = RUNNING | SAVING | RESUMING;
/** Written by the device only: an internal error; VFIO_DEVICE_RESET leaves it. */
export const V1_ERROR = SAVING | RESUMING;

/** VFIO_DEVICE_STATE_VALID: RESUMING goes with neither of the others. NDMA goes with all. */
export const v1Valid = (state: number): boolean => !(state & RESUMING) || (state & v1StateMask) === RESUMING;

/** The ten values that a device with NDMA may hold. */
export const v1States: readonly number[] = [0, 1, 2, 3, 4].flatMap((s) => [s, s | NDMA]).sort((a, b) => a - b);

export function v1StateName(state: number): string {
  if ((state & v1StateMask) === V1_ERROR) return state & NDMA ? 'ERROR|NDMA' : 'ERROR';
  const names = (['RESUMING', 'SAVING', 'RUNNING', 'NDMA'] as const).filter((b) => state & v1Bits[b]);
  return names.join('|') || '0';
}

/** A single action: a bit is set or cleared, where the new value asks for it (and has `when` as said). */
export interface V1Action {
  readonly bit: V1Bit;
  readonly set: boolean;
  readonly when?: { readonly bit: V1Bit; readonly set: boolean };
}
const on = (bit: V1Bit): V1Action => ({ bit, set: true });
const off = (bit: V1Bit): V1Action => ({ bit, set: false });
const preCopy: V1Action = { bit: 'SAVING', set: true, when: { bit: 'RUNNING', set: true } };
const stopCopy: V1Action = { bit: 'SAVING', set: true, when: { bit: 'RUNNING', set: false } };

/**
 * Orders of the single actions. v2 and v3 have no entry that clears SAVING: 24 of the 90 changes do not arrive.
 * `reply` ("towards 0 first") leaves P2P quiescence on the way in 12. `derived` has none of these defects.
 */
export const precedences = {
  v2: [preCopy, on('NDMA'), off('RUNNING'), stopCopy, on('RESUMING'), off('RESUMING'), on('RUNNING'), off('NDMA')],
  v3: [on('NDMA'), off('RUNNING'), stopCopy, on('RESUMING'), off('RESUMING'), on('RUNNING'), preCopy, off('NDMA')],
  reply: [
    off('NDMA'),
    off('SAVING'),
    off('RUNNING'),
    off('RESUMING'),
    on('RESUMING'),
    on('RUNNING'),
    on('SAVING'),
    on('NDMA'),
  ],
  derived: [
    on('NDMA'),
    off('RUNNING'),
    off('SAVING'),
    off('RESUMING'),
    on('RESUMING'),
    on('SAVING'),
    on('RUNNING'),
    off('NDMA'),
  ],
} as const satisfies Readonly<Record<string, readonly V1Action[]>>;
export type Precedence = keyof typeof precedences;

/** The single actions that lead from `from` towards `to`, each with the value that it leaves. */
export function decompose(
  policy: Precedence,
  from: number,
  to: number,
): { readonly action: V1Action; readonly state: number }[] {
  const steps: { action: V1Action; state: number }[] = [];
  let state = from;
  for (const action of precedences[policy] as readonly V1Action[]) {
    const bit = v1Bits[action.bit];
    const wanted = (to & bit) !== 0;
    const { when } = action;
    if (wanted !== action.set || ((state & bit) !== 0) === wanted) continue;
    if (when && ((to & v1Bits[when.bit]) !== 0) !== when.set) continue;
    state ^= bit;
    steps.push({ action, state });
  }
  return steps;
}
