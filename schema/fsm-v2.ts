// Migration protocol v2: the state machine as data. Source: vfio_mig_get_next_state() in drivers/vfio/vfio_main.c, whose
// table is the same in 6.12 and 7.2 (6.1 lacks the PRE_COPY rows), and linux/vfio.h for what arcs do to the data stream.

import { type MigState, migrationFlags, migStates } from './features.ts';

export type FsmState = Exclude<MigState, 'ERROR'>;
const { STOP_COPY, P2P, PRE_COPY } = migrationFlags;

/** MIGRATION flags that a device must have for a state to exist on it (state_flags_table). ERROR is never set by a user. */
export const stateFlags: Readonly<Record<FsmState, number>> = {
  STOP: STOP_COPY,
  RUNNING: STOP_COPY,
  STOP_COPY,
  RESUMING: STOP_COPY,
  RUNNING_P2P: STOP_COPY | P2P,
  PRE_COPY: STOP_COPY | PRE_COPY,
  PRE_COPY_P2P: STOP_COPY | P2P | PRE_COPY,
};

/** The next state on the way (vfio_from_fsm_table). ERROR: there is no way. States a device lacks are passed through. */
export const nextStates: Readonly<Record<FsmState, Readonly<Record<FsmState, MigState>>>> = {
  STOP: {
    STOP: 'STOP',
    RUNNING: 'RUNNING_P2P',
    STOP_COPY: 'STOP_COPY',
    RESUMING: 'RESUMING',
    RUNNING_P2P: 'RUNNING_P2P',
    PRE_COPY: 'RUNNING_P2P',
    PRE_COPY_P2P: 'RUNNING_P2P',
  },
  RUNNING: {
    STOP: 'RUNNING_P2P',
    RUNNING: 'RUNNING',
    STOP_COPY: 'RUNNING_P2P',
    RESUMING: 'RUNNING_P2P',
    RUNNING_P2P: 'RUNNING_P2P',
    PRE_COPY: 'PRE_COPY',
    PRE_COPY_P2P: 'RUNNING_P2P',
  },
  STOP_COPY: {
    STOP: 'STOP',
    RUNNING: 'STOP',
    STOP_COPY: 'STOP_COPY',
    RESUMING: 'STOP',
    RUNNING_P2P: 'STOP',
    PRE_COPY: 'ERROR',
    PRE_COPY_P2P: 'ERROR',
  },
  RESUMING: {
    STOP: 'STOP',
    RUNNING: 'STOP',
    STOP_COPY: 'STOP',
    RESUMING: 'RESUMING',
    RUNNING_P2P: 'STOP',
    PRE_COPY: 'STOP',
    PRE_COPY_P2P: 'STOP',
  },
  RUNNING_P2P: {
    STOP: 'STOP',
    RUNNING: 'RUNNING',
    STOP_COPY: 'STOP',
    RESUMING: 'STOP',
    RUNNING_P2P: 'RUNNING_P2P',
    PRE_COPY: 'RUNNING',
    PRE_COPY_P2P: 'PRE_COPY_P2P',
  },
  PRE_COPY: {
    STOP: 'RUNNING',
    RUNNING: 'RUNNING',
    STOP_COPY: 'PRE_COPY_P2P',
    RESUMING: 'RUNNING',
    RUNNING_P2P: 'RUNNING',
    PRE_COPY: 'PRE_COPY',
    PRE_COPY_P2P: 'PRE_COPY_P2P',
  },
  PRE_COPY_P2P: {
    STOP: 'RUNNING_P2P',
    RUNNING: 'RUNNING_P2P',
    STOP_COPY: 'STOP_COPY',
    RESUMING: 'RUNNING_P2P',
    RUNNING_P2P: 'RUNNING_P2P',
    PRE_COPY: 'PRE_COPY',
    PRE_COPY_P2P: 'PRE_COPY_P2P',
  },
};

/** Arcs that begin a data stream, end it, or carry it on; on any other arc there is none. */
export const sessionArcs = {
  open: ['RUNNING->PRE_COPY', 'RUNNING_P2P->PRE_COPY_P2P', 'STOP->STOP_COPY', 'STOP->RESUMING'],
  close: ['STOP_COPY->STOP', 'PRE_COPY->RUNNING', 'PRE_COPY_P2P->RUNNING_P2P', 'RESUMING->STOP'],
  keep: ['PRE_COPY->PRE_COPY_P2P', 'PRE_COPY_P2P->PRE_COPY', 'PRE_COPY->STOP_COPY', 'PRE_COPY_P2P->STOP_COPY'],
} as const;

export const migStateName = (nr: number): MigState | undefined =>
  (Object.keys(migStates) as MigState[]).find((s) => migStates[s] === nr);

const has = (state: MigState, flags: number): state is FsmState =>
  state !== 'ERROR' && (stateFlags[state] & flags) === stateFlags[state];

/** One step from `from` towards `to` on a device with these MIGRATION flags; null: refused (EINVAL). */
export function nextState(flags: number, from: MigState, to: MigState): FsmState | null {
  if (!has(from, flags) || !has(to, flags)) return null;
  let next: MigState = nextStates[from][to];
  while (next !== 'ERROR' && !has(next, flags)) next = nextStates[next][to];
  return next === 'ERROR' ? null : next;
}

/** States passed after `from`, up to `to`; empty where they are the same; null: refused (EINVAL). */
export function pathOf(flags: number, from: MigState, to: MigState): FsmState[] | null {
  const path: FsmState[] = [];
  for (let here = from; here !== to; ) {
    const next = nextState(flags, here, to);
    if (next === null) return null;
    path.push(next);
    here = next;
  }
  return path;
}

/** What the arc does to the data stream. */
export function sessionOf(from: MigState, to: MigState): keyof typeof sessionArcs | 'none' {
  const arc = `${from}->${to}`;
  for (const [what, arcs] of Object.entries(sessionArcs))
    if ((arcs as readonly string[]).includes(arc)) return what as keyof typeof sessionArcs;
  return 'none';
}
