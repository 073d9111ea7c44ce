// R1 to R9, R20 to R22: how device_state of a v1 migration region is written and read.

import {
  decompose,
  type Precedence,
  precedences,
  V1_ERROR,
  v1Bits,
  v1StateMask,
  v1StateName,
  v1Valid,
} from '../../../schema/states-v1.ts';
import { type Make, PerDevice } from '../evaluator.ts';
import type { StepOf } from '../step.ts';

type V1Step = StepOf<'v1'>;
const stateWrite = (s: V1Step): boolean => s.field === 'device_state' && s.write && s.value !== null;
const stateRead = (s: V1Step): boolean => s.field === 'device_state' && !s.write && s.ok && s.value !== null;
const isError = (state: number): boolean => (state & v1StateMask) === V1_ERROR;
const name = (state: number): string => `${v1StateName(state)} (${state})`;
/** Bits that mean nothing to anybody: 3 and up, or 4 and up where NDMA is known. */
const reservedBits = (s: V1Step): number => (s.v1.region.ndma ? ~15 : ~7) >>> 0;

export const r1: Make = (judge) => ({
  v1: (s) => {
    if (s.field === 'odd')
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${s.offset}/${s.length}`,
        text: `${s.length} bytes at offset ${s.offset} of the migration region are no field of vfio_device_migration_info`,
      });
    else if (s.field !== 'data') judge.held();
  },
});

export const r2: Make = (judge) => ({
  v1: (s) => {
    if (!stateWrite(s)) return;
    const state = Number(s.value);
    if (v1Valid(state)) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${state}`,
        text: `device_state ${name(state)} is written, which is not a valid state`,
      });
  },
});

export const r3: Make = (judge) => ({
  v1: (s) => {
    if (!stateWrite(s)) return;
    const reserved = reservedBits(s);
    const written = (Number(s.value) & reserved) >>> 0;
    if (s.v1.read === null)
      judge.broken({
        ...s,
        subject: s.device.name,
        key: 'unread',

        text: 'device_state is written without a read since the last write, so its reserved bits cannot have been kept',
      });
    else if ((s.v1.read & reserved) >>> 0 !== written)
      judge.broken({
        ...s,
        subject: s.device.name,
        key: 'bits',
        text: `reserved bits 0x${((s.v1.read & reserved) >>> 0).toString(16)} were read and 0x${written.toString(16)} are written`,
      });
    else judge.held();
  },
});

export const r4: Make = (judge) => ({
  v1: (s) => {
    if (!stateWrite(s) || !(Number(s.value) & v1Bits.NDMA)) return;
    if (s.v1.region.ndma) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: 'NDMA is set on a device whose migration region has no MIG_NDMA capability',
      });
  },
});

export const r5: Make = (judge) => ({
  v1: (s) => {
    if (!stateRead(s) || !s.v1.written || s.v1.failed || s.v1.state === null) return;
    if (Number(s.value) === s.v1.state) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `device_state reads as ${name(Number(s.value))}, although ${name(s.v1.state)} was written and taken`,
      });
  },
});

export const r6: Make = (judge) => ({
  v1: (s) => {
    if (!stateRead(s) || !s.v1.failed || s.v1.failed.from === null) return;
    const state = Number(s.value);
    if (state === s.v1.failed.from || isError(state)) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `after the write of ${name(s.v1.failed.to)} failed, device_state is ${name(state)}, neither ${name(s.v1.failed.from)} nor ERROR`,
      });
  },
});

export const r7: Make = (judge) => {
  const told = new PerDevice<{ failed: object | null }>(() => ({ failed: null }));
  return {
    v1: (s) => {
      const { failed } = s.v1;
      const memory = told.of(s.device);
      if (!failed || memory.failed === failed) return;
      memory.failed = failed;
      if (s.field === 'device_state' && !s.write) judge.held();
      else
        judge.broken({
          ...s,
          subject: s.device.name,
          text: `the write of ${name(failed.to)} failed, and the region is used again before device_state is read`,
        });
    },
  };
};

export const r8: Make = (judge) => ({
  v1: (s) => {
    if (!s.v1.error || !stateWrite(s)) return;
    judge.broken({
      ...s,
      subject: s.device.name,
      text: `device_state ${name(Number(s.value))} is written to a device in ERROR; only VFIO_DEVICE_RESET leads out`,
    });
  },
  reset: (s) => {
    if (s.device.v1?.error) judge.held();
  },
  close: (s) => {
    if (s.device.v1?.error) judge.held();
  },
});

export const r9: Make = (judge) => ({
  v1: (s) => {
    if (!stateRead(s) || !s.v1.fresh) return;
    if (Number(s.value) === v1Bits.RUNNING) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `device_state of a device that was just opened or reset is ${name(Number(s.value))}, not RUNNING`,
      });
  },
});

export const r20: Make = (judge) => ({
  v1: (s) => {
    if (s.field !== 'reserved' || s.write || !s.ok || s.value === null) return;
    if (s.value === 0n) judge.held();
    else judge.broken({ ...s, subject: s.device.name, text: `the reserved field reads as 0x${s.value.toString(16)}` });
  },
});

const posted = Object.keys(precedences) as Precedence[];
const several = (n: number): boolean => (n & (n - 1)) !== 0;

/** The first invalid state that a write passes in this order, null none. */
function invalidOnTheWay(policy: Precedence, from: number, to: number): number | null {
  return decompose(policy, from, to).find((a) => !v1Valid(a.state))?.state ?? null;
}

export const r21: Make = (judge, { precedence }) => ({
  v1: (s) => {
    if (!stateWrite(s) || s.v1.state === null) return;
    const from = s.v1.state & 15;
    const to = Number(s.value) & 15;
    if (!several(from ^ to) || !v1Valid(to) || !v1Valid(from)) return;
    const orders = precedence ? [precedence] : posted;
    const through = orders.flatMap((p) => {
      const state = invalidOnTheWay(p, from, to);
      return state === null ? [] : [`${p} passes ${name(state)}`];
    });
    if (through.length === 0) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${from}>${to}`,
        text: precedence
          ? `${name(from)} to ${name(to)} changes several bits, and in the driver's order ${through.join(', ')}`
          : `${name(from)} to ${name(to)} changes several bits and depends on the order in which the driver takes them: ${through.join(', ')}`,
      });
  },
});

export const r22: Make = (judge) => ({
  v1: (s) => {
    if (!stateWrite(s) || s.v1.state === null) return;
    if (Number(s.value) !== s.v1.state) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${s.value}`,
        text: `device_state is ${name(s.v1.state)} already and is written with the same value`,
      });
  },
});
