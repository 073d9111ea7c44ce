// R30, R31, R37 to R45: data descriptors.

import { errnoName } from '../../../schema/errno.ts';
import { type MigState, migrationFlags, migStates } from '../../../schema/features.ts';
import { migStateName } from '../../../schema/fsm-v2.ts';
import type { TraceEvent } from '../../event.ts';
import type { Make } from '../evaluator.ts';
import type { Device, Session } from '../shadow.ts';

const preCopy: ReadonlySet<MigState> = new Set(['PRE_COPY', 'PRE_COPY_P2P']);
const ENOMSG = 42; // asm-generic/errno.h
const ENOTTY = 25;
const REINIT = 1; // VFIO_PRECOPY_INFO_REINIT
const descriptor = (s: Session): string => `the data_fd of event ${s.event}`;

export const r30: Make = (judge) => {
  const told = new WeakSet<Session>();
  const left = (device: Device, event: TraceEvent, how: string): void => {
    for (const old of device.held) {
      if (told.has(old)) continue;
      told.add(old);
      judge.broken({
        event,
        subject: device.name,
        key: 'held',
        text: `${how} and ${descriptor(old)} was never closed`,
      });
    }
  };
  return {
    data: (s) => {
      const { session } = s;
      if (session.open) judge.held();
      else
        judge.broken({
          ...s,
          subject: session.device.name,
          key: 'use',
          text: `${descriptor(session)} is ${s.write ? 'written' : 'read'} after its session has ended`,
        });
    },
    dataClose: () => judge.held(),
    // A new session while the old descriptor is still there: only the end of the process will close it.
    set: (s) => {
      if (s.dataFd !== null && s.dataFd >= 0) left(s.device, s.event, 'a new session begins');
    },
    close: (s) => left(s.device, s.event, 'the device is closed'),
  };
};

export const r31: Make = (judge) => ({
  data: (s) => {
    if (s.session.open || s.event.ret === null) return;
    if (!s.ok) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.session.device.name,
        key: `${s.session.event}`,
        text: `${descriptor(s.session)} still works after its session has ended`,
      });
  },
});

export const r38: Make = (judge) => ({
  set: (s) => {
    const { v2 } = s.device;
    const to = migStateName(s.to);
    if (v2.state !== 'STOP_COPY' || !s.ok || to === 'STOP_COPY' || !v2.session) return;
    const givenUp = v2.session.broken || to === 'RUNNING' || to === 'RUNNING_P2P';
    if (v2.session.ended) judge.held();
    else if (!givenUp)
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `STOP_COPY is left after ${v2.session.stream.length} bytes, before read() of the data_fd returned 0`,
      });
  },
});

export const r39: Make = (judge) => ({
  data: (s) => {
    if (s.write || !s.session.open || s.session.device.v2.state !== 'STOP_COPY') return;
    if (s.errno === ENOMSG)
      judge.broken({ ...s, subject: s.session.device.name, text: 'read() fails with ENOMSG in STOP_COPY' });
    else judge.held();
  },
});

export const r40: Make = (judge) => ({
  data: (s) => {
    if (s.write || !s.session.open || (s.event.length ?? 0) === 0 || !s.session.device.v2.within(preCopy)) return;
    if (s.errno === ENOMSG) judge.held();
    else if (s.ok && s.count === 0)
      judge.broken({
        ...s,
        subject: s.session.device.name,
        text: 'read() returns 0 at the temporary end in PRE_COPY; a program takes that for the end of the stream',
      });
  },
});

export const r41: Make = (judge) => ({
  precopyInfo: (s) => {
    const { states } = s.session.device.v2;
    if (!states) return;
    if (s.session.kind === 'resume')
      judge.broken({
        ...s,
        subject: s.session.device.name,
        key: 'resume',
        text: 'VFIO_MIG_GET_PRECOPY_INFO on a resuming data_fd',
      });
    else if ([...states].some((x) => preCopy.has(x)) && s.session.open) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.session.device.name,
        text: `VFIO_MIG_GET_PRECOPY_INFO in ${[...states].join(' or ')}`,
      });
  },
});

export const r42: Make = (judge) => ({
  precopyInfo: (s) => {
    if (s.initial === null) return;
    const { info } = s.session;
    const reinit = s.session.device.v2.precopyV2 && (s.flags & REINIT) !== 0;
    if (info === null && s.initial === 0n && s.session.stream.length === 0n)
      judge.broken({ ...s, subject: s.session.device.name, key: 'start', text: 'initial_bytes begins at 0' });
    else if (info !== null && s.initial > info.initial && !reinit)
      judge.broken({
        ...s,
        subject: s.session.device.name,
        key: 'grows',
        text: `initial_bytes grows from ${info.initial} to ${s.initial} without REINIT`,
      });
    else judge.held();
  },
});

export const r43: Make = (judge) => ({
  precopyInfo: (s) => {
    if (!s.ok) return;
    if (s.flags & REINIT && !(s.flagsIn & REINIT) && !s.session.device.v2.precopyV2)
      judge.broken({
        ...s,
        subject: s.session.device.name,
        text: 'REINIT is set although MIG_PRECOPY_INFOv2 was not asked for',
      });
    else judge.held();
  },
});

export const r44: Make = (judge) => ({
  set: (s) => {
    const { v2 } = s.device;
    if (s.to !== migStates.STOP_COPY || !s.ok || !v2.within(preCopy) || !v2.session?.info) return;
    const { info, stream } = v2.session;
    const left = info.initial - (stream.length - info.at);
    if (left <= 0n) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `STOP_COPY is entered with about ${left} initial_bytes unread`,
      });
  },
});

export const r45: Make = (judge) => ({
  precopyInfo: (s) => {
    const flags = s.session.device.v2.flags ?? 0;
    if (!(flags & migrationFlags.PRE_COPY) || s.session.kind !== 'save') return; // resuming ones need not have it
    if (s.errno === ENOTTY)
      judge.broken({
        ...s,
        subject: s.session.device.name,
        text: `VFIO_MIG_GET_PRECOPY_INFO fails with ${errnoName(s.errno)} on a device that reports PRE_COPY`,
      });
    else judge.held();
  },
});
