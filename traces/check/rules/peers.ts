// R23, R25, R47, R48: devices that can reach each other stop and start in step.

import { dirtyPagesFlags } from '../../../schema/container.ts';
import { type MigState, migrationFlags } from '../../../schema/features.ts';
import { migStateName } from '../../../schema/fsm-v2.ts';
import { v1Bits, v1StateName } from '../../../schema/states-v1.ts';
import type { TraceEvent } from '../../event.ts';
import type { Make } from '../evaluator.ts';
import { quietStates, stoppedStates } from '../fold-v2.ts';
import type { Device, Space } from '../shadow.ts';

const active = (state: number): boolean => (state & v1Bits.RUNNING) !== 0 && (state & v1Bits.NDMA) === 0;
const running = (state: number): boolean => (state & v1Bits.RUNNING) !== 0;
const names = (devices: readonly Device[]): string => devices.map((d) => d.name).join(', ');

export const r23: Make = (judge, { world }) => ({
  v1: (s) => {
    if (s.field !== 'device_state' || !s.write || !s.ok || s.value === null || s.v1.state === null) return;
    const to = Number(s.value);
    const peers = world.peers(s.device).filter((d) => d.v1?.state !== null && d.v1 !== null);
    if (peers.length === 0) return;
    const stateOf = (d: Device): number => d.v1?.state ?? 0;
    const hit = (late: readonly Device[], text: string): void => {
      const able = late.filter((d) => d.v1?.region.ndma);
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${s.v1.state}>${to}`,
        // Without NDMA there is no state in which a peer could wait.
        level: able.length > 0 ? 'MUST' : 'INFO',
        text: able.length > 0 ? text : `${text} (${names(late)} has no NDMA, so no order is safe)`,
      });
    };
    if (running(s.v1.state) && !running(to)) {
      const late = peers.filter((d) => active(stateOf(d)));
      if (late.length === 0) judge.held();
      else
        hit(
          late,
          `${s.device.name} stops while ${names(late)} is ${v1StateName(stateOf(late[0] as Device))} and may do DMA to it`,
        );
    } else if (!active(s.v1.state) && active(to)) {
      const late = peers.filter((d) => !running(stateOf(d)));
      if (late.length === 0) judge.held();
      else
        hit(
          late,
          `${s.device.name} runs while ${names(late)} is ${v1StateName(stateOf(late[0] as Device))} and cannot answer its DMA`,
        );
    }
  },
});

export const r25: Make = (judge) => {
  // Tracking that stops before pre-copy is given up loses nothing; what the device does next decides.
  const waiting = new Map<Device, { event: TraceEvent; space: Space }>();
  return {
    dirtyPages: (s) => {
      if (!s.ok || !(s.flags & dirtyPagesFlags.STOP)) return;
      const migrating = [...s.space.devices].filter((d) => d.v1?.state && d.v1.state & v1Bits.SAVING);
      const early = migrating.filter((d) => active(d.v1?.state ?? 0));
      for (const device of early) waiting.set(device, { event: s.event, space: s.space });
      if (migrating.length > 0 && early.length === 0) judge.held();
    },
    v1: (s) => {
      const stop = waiting.get(s.device);
      if (!stop || s.field !== 'device_state' || !s.write || !s.ok) return;
      waiting.delete(s.device);
      if (Number(s.value ?? 0n) & v1Bits.SAVING)
        judge.broken({
          event: stop.event,
          subject: s.device.name,
          text: `dirty tracking of ${stop.space.name} stops while ${s.device.name} is SAVING and may still do DMA; it goes on to ${v1StateName(Number(s.value))} at event ${s.event.id}`,
        });
    },
  };
};

const started: ReadonlySet<MigState> = new Set(['RUNNING', 'RUNNING_P2P', 'PRE_COPY', 'PRE_COPY_P2P']);

export const r47: Make = (judge, { world }) => ({
  set: (s) => {
    const to = migStateName(s.to);
    const from = s.device.v2.state;
    if (!s.ok || !to || !from || to === from) return;
    const stops = stoppedStates.has(to) && !stoppedStates.has(from);
    const runs = (to === 'RUNNING' || to === 'PRE_COPY') && quietStates.has(from);
    if (!stops && !runs) return;
    const peers = world.peers(s.device).filter((d) => d.v2.states && ((d.v2.flags ?? 0) & migrationFlags.P2P) !== 0);
    if (peers.length === 0 || !((s.device.v2.flags ?? 0) & migrationFlags.P2P)) return;
    const late = peers.filter((d) => !d.v2.within(stops ? quietStates : started));
    if (late.length === 0) {
      judge.held();
      return;
    }
    const reach = (s.device.space?.maps.peers ?? 0) > 0;
    const states = [...(late[0]?.v2.states ?? [])].join(' or ');
    judge.broken({
      ...s,
      subject: s.device.name,
      key: stops ? 'stop' : 'run',
      level: reach ? 'MUST' : 'INFO',
      text: `${s.device.name} goes to ${to} while its peer ${names(late)} is in ${states}${reach ? '' : '; no region of a device is mapped for DMA, so none can reach another'}`,
    });
  },
});

export const r48: Make = (judge, { world }) => ({
  set: (s) => {
    const to = migStateName(s.to);
    if (!s.ok || !to || !stoppedStates.has(to) || s.device.v2.within(stoppedStates) || !s.device.space) return;
    const all = [s.device, ...world.peers(s.device).filter((d) => d.v2.flags !== null)];
    if (all.length < 2) return;
    const without = all.filter((d) => !((d.v2.flags ?? 0) & migrationFlags.P2P));
    if (without.length === 0 || s.device.space.maps.peers === 0) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `${names(without)} cannot hold its DMA (no P2P flag) and migrates together with devices that can reach it`,
      });
  },
});
