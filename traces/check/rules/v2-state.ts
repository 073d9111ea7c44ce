// R26 to R29, R32 to R36, R46: the v2 migration state as SET and GET show it.

import type { MigState } from '../../../schema/features.ts';
import { migrationFlags, migStates } from '../../../schema/features.ts';
import { type FsmState, migStateName, pathOf, sessionOf, stateFlags } from '../../../schema/fsm-v2.ts';
import type { Make } from '../evaluator.ts';
import type { V2 } from '../shadow.ts';
import type { StepOf } from '../step.ts';

const nameOf = (nr: number): string => migStateName(nr) ?? `state ${nr}`;
const list = (states: Iterable<string>): string => [...states].join(', ');

/** The way of a SET from the state that is certain; undefined: the state or the flags are not known. */
function pathOfStep(s: StepOf<'set'>): readonly FsmState[] | null | undefined {
  const from = s.device.v2.state;
  const to = migStateName(s.to);
  if (!from || s.device.v2.flags === null) return undefined;
  return to ? pathOf(s.device.v2.flags, from, to) : null;
}

export const r26: Make = (judge) => ({
  set: (s) => {
    const path = pathOfStep(s);
    if (path === undefined) return;
    if (path !== null) {
      if (s.ok) judge.held();
    } else if (s.ok)
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `SET to ${nameOf(s.to)} succeeds from ${s.device.v2.state}, which the state machine refuses`,
      });
    else judge.held();
  },
});

export const r27: Make = (judge) => ({
  set: (s) => {
    const to = migStateName(s.to);
    const { flags } = s.device.v2;
    const wrong = (text: string): void => judge.broken({ ...s, subject: s.device.name, key: `${s.to}`, text });
    if (!to) wrong(`SET to ${s.to}, which is no state`);
    else if (to === 'ERROR') wrong('SET to ERROR, which only a driver enters');
    else if (flags !== null && (stateFlags[to] & flags) !== stateFlags[to])
      wrong(`SET to ${to} on a device whose migration flags (${flags}) do not offer it`);
    else judge.held();
  },
});

export const r28: Make = (judge) => ({
  set: (s) => {
    if (s.device.v2.state !== 'STOP_COPY') return;
    const to = nameOf(s.to);
    if (to !== 'PRE_COPY' && to !== 'PRE_COPY_P2P') judge.held();
    else judge.broken({ ...s, subject: s.device.name, key: to, text: `SET from STOP_COPY to ${to}` });
  },
});

export const r29: Make = (judge) => ({
  set: (s) => {
    if (s.dataFd === null) return;
    const path = pathOfStep(s);
    if (path === undefined || path === null) return;
    const last = path.at(-1);
    const before = (path.at(-2) ?? s.device.v2.state) as MigState;
    const opens = s.ok && last !== undefined && sessionOf(before, last) === 'open';
    if (s.dataFd >= 0 === opens) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${opens}`,
        text: opens
          ? `SET to ${nameOf(s.to)} opens a session but answers no data_fd`
          : `SET to ${nameOf(s.to)} answers data_fd ${s.dataFd} although ${s.ok ? 'its last arc opens no session' : 'it failed'}`,
      });
  },
  get: (s) => {
    if (s.dataFd < 0) judge.held();
    else judge.broken({ ...s, subject: s.device.name, key: 'get', text: `GET answers data_fd ${s.dataFd}` });
  },
});

export const r32: Make = (judge) => ({
  get: (s) => {
    const { v2 } = s.device;
    if (v2.state === null || v2.failed || v2.reset || !v2.used) return;
    if (nameOf(s.state) === v2.state) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `GET answers ${nameOf(s.state)}, although ${v2.state} was set and neither SET nor RESET came since`,
      });
  },
});

export const r33: Make = (judge) => ({
  get: (s) => {
    const { v2 } = s.device;
    if (!v2.failed || !v2.states) return;
    if (v2.states.has(nameOf(s.state) as MigState) || s.state === migStates.ERROR) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `after the failed SET (event ${v2.failed.event}) the state is ${nameOf(s.state)}; possible are ${list(v2.states)}`,
      });
  },
});

export const r34: Make = (judge) => {
  const told = new WeakSet<object>();
  const first = (v2: V2): boolean => {
    if (!v2.failed || told.has(v2.failed)) return false;
    told.add(v2.failed);
    return true;
  };
  return {
    get: (s) => {
      if (first(s.device.v2)) judge.held();
    },
    reset: (s) => {
      if (first(s.device.v2)) judge.held();
    },
    set: (s) => {
      const { failed, states } = s.device.v2;
      if (!failed || !first(s.device.v2)) return;
      judge.broken({
        ...s,
        subject: s.device.name,
        key: 'set',
        text: `SET to ${nameOf(s.to)} follows the failed SET of event ${failed.event} without GET; the state may be ${list(states ?? ['anything'])}`,
      });
    },
    data: (s) => {
      const { failed, states } = s.session.device.v2;
      if (!failed || !first(s.session.device.v2)) return;
      judge.broken({
        ...s,
        subject: s.session.device.name,
        key: 'data',
        text: `the data_fd is used after the failed SET of event ${failed.event} without GET; the state may be ${list(states ?? ['anything'])}`,
      });
    },
  };
};

export const r35: Make = (judge) => ({
  set: (s) => {
    if (s.device.v2.state !== 'ERROR') return;
    judge.broken({ ...s, subject: s.device.name, text: `SET to ${nameOf(s.to)} while the device is in ERROR` });
  },
  reset: (s) => {
    if (s.device.v2.state === 'ERROR') judge.held();
  },
  close: (s) => {
    if (s.device.v2.state === 'ERROR') judge.held();
  },
});

export const r36: Make = (judge) => ({
  get: (s) => {
    if (!s.device.v2.reset) return;
    if (s.state === migStates.RUNNING) judge.held();
    else judge.broken({ ...s, subject: s.device.name, text: `after RESET the state is ${nameOf(s.state)}` });
  },
});

export const r46: Make = (judge) => {
  const known = BigInt(migrationFlags.STOP_COPY | migrationFlags.P2P | migrationFlags.PRE_COPY);
  return {
    migration: (s) => {
      if (s.flags & BigInt(migrationFlags.STOP_COPY) && (s.flags & ~known) === 0n) judge.held();
      else
        judge.broken({
          ...s,
          subject: s.device.name,
          text: `the migration flags are 0x${s.flags.toString(16)}; only 1, 3, 5 and 7 can be`,
        });
    },
  };
};
