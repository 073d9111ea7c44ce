// R10 to R18: the iteration over data segments of a v1 migration region.

import { regionFlags } from '../../../schema/device.ts';
import { v1Bits, v1StateMask, v1StateName } from '../../../schema/states-v1.ts';
import { type Make, PerDevice } from '../evaluator.ts';
import { covered, resuming, saving } from '../fold-v1.ts';
import type { V1 } from '../shadow.ts';
import type { StepOf } from '../step.ts';

type V1Step = StepOf<'v1'>;
const read = (s: V1Step, field: V1Step['field']): boolean => s.field === field && !s.write && s.ok;
const stateOf = (v1: V1): number => v1.state ?? 0;
const PAGE = 4096n;

/** Whether the program may see [from, from + size) of the region through a mapping. */
function mapped(s: V1Step, from: bigint, size: bigint): boolean {
  return s.device.windows.some(
    (w) => w.region?.index === s.v1.region.index && from < w.offset + BigInt(w.length) && w.offset < from + size,
  );
}

export const r10: Make = (judge) => ({
  v1: (s) => {
    if (!s.ok || s.write || !saving(stateOf(s.v1))) return;
    const { phase } = s.v1.iteration;
    const wrong = (text: string): void => judge.broken({ ...s, subject: s.device.name, key: text, text });
    if (s.field === 'data_offset') {
      if (phase === 'idle') wrong('data_offset is read before pending_bytes');
      else if (phase === 'data') wrong('data_offset is read again before pending_bytes acknowledged the segment');
      else judge.held();
    } else if (s.field === 'data_size') {
      if (phase === 'idle' || phase === 'pending') wrong('data_size is read before data_offset');
      else judge.held();
    } else if (s.field === 'data') {
      if (phase === 'idle' || phase === 'pending' || phase === 'offset')
        wrong('data is read before data_offset and data_size');
      else judge.held();
    }
  },
});

export const r11: Make = (judge) => ({
  v1: (s) => {
    if (!read(s, 'data_offset') || !saving(stateOf(s.v1)) || s.v1.iteration.phase !== 'pending') return;
    if (s.v1.iteration.pending !== 0n) judge.held();
    else judge.broken({ ...s, subject: s.device.name, text: 'an iteration begins although pending_bytes was 0' });
  },
});

export const r12: Make = (judge) => ({
  v1: (s) => {
    if (!s.ok || s.write || s.value === null || !saving(stateOf(s.v1))) return;
    const it = s.v1.iteration;
    const stopped = (stateOf(s.v1) & v1Bits.RUNNING) === 0;
    const before =
      s.field === 'data_offset' && (it.phase === 'offset' || it.phase === 'size')
        ? it.offset
        : s.field === 'data_size' && (it.phase === 'size' || it.phase === 'data')
          ? it.size
          : s.field === 'pending_bytes' && it.phase === 'pending' && stopped
            ? it.pending
            : null;
    if (before === null) return;
    if (before === s.value) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        key: s.field,
        text: `${s.field} read as ${before} and then as ${s.value} in one iteration`,
      });
  },
});

export const r13: Make = (judge) => ({
  v1: (s) => {
    const state = stateOf(s.v1);
    if (s.value === null || (!saving(state) && !resuming(state))) return;
    const wrong = (text: string): void => judge.broken({ ...s, subject: s.device.name, key: s.field, text });
    const { region } = s.v1;
    if (read(s, 'data_offset')) {
      const inArea =
        (region.flags & regionFlags.MMAP) !== 0 &&
        (region.areas === null ||
          region.areas.some((a) => (s.value as bigint) >= a.offset && (s.value as bigint) < a.offset + a.size));
      if (s.value === 0n) wrong('data_offset is 0');
      else if (s.value >= region.size)
        wrong(`data_offset 0x${s.value.toString(16)} is beyond the region of 0x${region.size.toString(16)} bytes`);
      else if (inArea && s.value % PAGE !== 0n)
        wrong(`data_offset 0x${s.value.toString(16)} is not page aligned in a mappable area`);
      else judge.held();
    } else if (read(s, 'data_size') && s.v1.iteration.offset !== null) {
      const end = s.v1.iteration.offset + s.value;
      if (end > region.size)
        wrong(`the segment ends at 0x${end.toString(16)}, beyond the region of 0x${region.size.toString(16)} bytes`);
      else judge.held();
    }
  },
});

export const r14: Make = (judge) => ({
  v1: (s) => {
    const it = s.v1.iteration;
    if (!read(s, 'pending_bytes') || !saving(stateOf(s.v1))) return;
    if ((it.phase !== 'size' && it.phase !== 'data') || it.offset === null || it.size === null || it.size === 0n)
      return;
    const missing = covered(it);
    if (missing === null) judge.held();
    else if (mapped(s, it.offset, it.size))
      judge.undecidable('the data section is mapped: its reads are not in the trace');
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `the segment of ${it.size} bytes at 0x${it.offset.toString(16)} is acknowledged, but from 0x${missing.toString(16)} on it was not read`,
      });
  },
});

export const r15: Make = (judge) => ({
  v1: (s) => {
    if (s.v1.state === null || s.field === 'device_state' || s.field === 'reserved' || s.field === 'odd') return;
    const state = s.v1.state;
    const fine = saving(state) || (s.field !== 'pending_bytes' && resuming(state));
    if (fine) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${s.field} ${state}`,
        text: `${s.field} is used in state ${v1StateName(state)}, where it is undefined`,
      });
  },
});

export const r16: Make = (judge) => ({
  v1: (s) => {
    if (s.field !== 'device_state' || !s.write || !s.ok || s.value === null) return;
    const from = stateOf(s.v1) & v1StateMask;
    const to = Number(s.value) & v1StateMask;
    if (from !== v1Bits.SAVING || to & (v1Bits.SAVING | v1Bits.RUNNING)) return; // back to RUNNING: given up
    const it = s.v1.iteration;
    if (it.phase === 'pending' && it.pending === 0n) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text:
          it.pending === null
            ? 'stop-and-copy is left without a look at pending_bytes'
            : `stop-and-copy is left with the last pending_bytes at ${it.pending}`,
      });
  },
});

export const r17: Make = (judge) => {
  const last = new PerDevice<{ pending: bigint | null }>(() => ({ pending: null }));
  return {
    v1: (s) => {
      if (read(s, 'pending_bytes')) last.of(s.device).pending = s.value;
      if (s.field !== 'device_state' || !s.write || s.value === null) return;
      const from = stateOf(s.v1) & v1StateMask;
      const pending = last.of(s.device).pending ?? 0n;
      if (
        from !== (v1Bits.SAVING | v1Bits.RUNNING) ||
        (Number(s.value) & v1StateMask) !== v1Bits.SAVING ||
        pending === 0n
      )
        return;
      if (s.ok) judge.held();
      else
        judge.broken({
          ...s,
          subject: s.device.name,
          text: `the change to stop-and-copy fails while ${pending} bytes are pending`,
        });
    },
  };
};

export const r18: Make = (judge) => ({
  v1: (s) => {
    if (!s.ok || !resuming(stateOf(s.v1))) return;
    const it = s.v1.iteration;
    const wrong = (key: string, text: string): void => judge.broken({ ...s, subject: s.device.name, key, text });
    if (s.field === 'data' && s.write) {
      if (it.phase !== 'offset' && it.phase !== 'data') wrong('order', 'data is written before data_offset is read');
      else judge.held();
    } else if (s.field === 'data_size' && s.write && s.value !== null) {
      const written = it.done.reduce((n, [from, to]) => n + (to - from), 0n);
      if (it.offset === null) wrong('order', 'data_size is written before data_offset is read');
      else if (written === s.value) judge.held();
      else if (mapped(s, it.offset, s.value))
        judge.undecidable('the data section is mapped: its writes are not in the trace');
      else wrong('size', `data_size ${s.value} is written after ${written} bytes of data`);
    }
  },
});
