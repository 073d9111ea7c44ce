// R54, R55, R57, R61, R68: reads, writes and mappings of device regions.

import { pciRegions, regionFlags } from '../../../schema/device.ts';
import type { MigState } from '../../../schema/features.ts';
import { migStateName } from '../../../schema/fsm-v2.ts';
import { v1Bits } from '../../../schema/states-v1.ts';
import type { TraceEvent } from '../../event.ts';
import type { Make } from '../evaluator.ts';
import { featureIds, quietStates, stoppedStates } from '../fold-v2.ts';
import type { Device, Region, Window } from '../shadow.ts';

interface About {
  readonly event: TraceEvent;
  readonly device: Device;
}
const stateOf = (nr: number): MigState => migStateName(nr) ?? 'ERROR';
const hex = (n: bigint): string => `0x${n.toString(16)}`;
const v1Stopped = (d: Device): boolean => d.v1?.state != null && !d.v1.error && (d.v1.state & v1Bits.RUNNING) === 0;
/** No DMA, no interrupts, no accesses. */
export const stopped = (d: Device): boolean => (d.v1 ? v1Stopped(d) : d.v2.within(stoppedStates));
/** The program is to keep its hands off. */
const untouchable = (d: Device): boolean => (d.v1 ? v1Stopped(d) : d.v2.within(quietStates));
const stateName = (d: Device): string => (d.v1 ? `device_state ${d.v1.state}` : [...(d.v2.states ?? [])].join(' or '));
/** Config space is served while the device is stopped (linux/vfio.h, VFIO_DEVICE_STATE_STOP). */
const isConfig = (r: Region | null): boolean => r?.index === pciRegions.CONFIG;

export const r54: Make = (judge, { trapped }) => {
  const wrong = (s: About, key: string, text: string): void =>
    judge.broken({ event: s.event, subject: s.device.name, key, level: s.device.v1 ? 'SHOULD' : 'MUST', text });
  const entered = (s: About, quiet: boolean): void => {
    if (quiet && s.device.ioeventfds.size > 0)
      wrong(s, 'ioeventfd', `the device stops while ${s.device.ioeventfds.size} ioeventfds still write to its regions`);
  };
  return {
    access: (s) => {
      if (!untouchable(s.device) || isConfig(s.region)) return;
      const where = s.region ? `region ${s.region.index}` : 'a region';
      wrong(
        s,
        `${s.region?.index} ${s.write}`,
        `${where} is ${s.write ? 'written' : 'read'} at ${hex(s.offset)} in ${stateName(s.device)}`,
      );
    },
    map: (s) => {
      if (!s.ok || s.window.region?.index === s.device.v1?.region.index) return;
      if (untouchable(s.device))
        wrong(s, 'map', `region ${s.window.region?.index} is mapped in ${stateName(s.device)}`);
      if (!trapped)
        judge.undecidable(
          'regions are mapped: loads and stores are not in the trace (record with --mmio=hide or trap)',
        );
    },
    set: (s) => {
      if (!s.ok || s.device.v2.within(stoppedStates)) return;
      entered(s, stoppedStates.has(stateOf(s.to)));
      if (stoppedStates.has(stateOf(s.to))) judge.held();
    },
    v1: (s) => {
      if (s.field !== 'device_state' || !s.write || !s.ok || s.value === null || v1Stopped(s.device)) return;
      const quiet = (Number(s.value) & v1Bits.RUNNING) === 0;
      entered(s, quiet);
      if (quiet) judge.held();
    },
  };
};

export const r55: Make = (judge) => {
  const seen = new Set<Device>();
  const entered = (s: About): void => {
    const alive = s.device.windows.filter((w) => w.region?.index !== s.device.v1?.region.index || !w.region);
    if (alive.length > 0)
      judge.broken({
        event: s.event,
        subject: s.device.name,
        level: 'INFO',
        text: `the device stops while ${alive.length} mappings of its regions are alive; whether they are used is not in the trace`,
      });
    else if (seen.has(s.device)) judge.held();
  };
  return {
    map: (s) => void (s.ok && seen.add(s.device)),
    set: (s) => {
      if (s.ok && stoppedStates.has(stateOf(s.to)) && !s.device.v2.within(stoppedStates)) entered(s);
    },
    v1: (s) => {
      if (
        s.field === 'device_state' &&
        s.write &&
        s.ok &&
        s.value !== null &&
        !v1Stopped(s.device) &&
        (Number(s.value) & v1Bits.RUNNING) === 0
      )
        entered(s);
    },
  };
};

export const r57: Make = (judge) => ({
  access: (s) => {
    if (!stopped(s.device)) return;
    if (s.event.ret !== null) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        level: 'INFO',
        text: `an access to the stopped device never returned`,
      });
  },
});

const PAGE = 4096n;
const roundUp = (n: bigint): bigint => (n + PAGE - 1n) & -PAGE;
const within = (w: Window, areas: Region['areas']): boolean =>
  areas === null ||
  areas.some((a) => w.offset >= a.offset && w.offset + BigInt(w.length) <= a.offset + roundUp(a.size));

export const r61: Make = (judge) => ({
  access: (s) => {
    const wrong = (key: string, text: string): void => judge.broken({ ...s, subject: s.device.name, key, text });
    const { region: r } = s;
    if (!r) {
      if (s.device.regions.size === 0)
        judge.undecidable('the trace has accesses of regions that no GET_REGION_INFO told about');
      else wrong('none', `an access at ${hex(s.offset)} is in no region that was reported`);
    } else if (s.offset + BigInt(s.length) > r.size)
      wrong(
        `size ${r.index}`,
        `${s.length} bytes at ${hex(s.offset)} go beyond region ${r.index} of ${hex(r.size)} bytes`,
      );
    else if (!(r.flags & (s.write ? regionFlags.WRITE : regionFlags.READ)))
      wrong(
        `flags ${r.index}`,
        `region ${r.index} is ${s.write ? 'written' : 'read'} and does not have the flag for it`,
      );
    else judge.held();
  },
  map: (s) => {
    const wrong = (key: string, text: string): void => judge.broken({ ...s, subject: s.device.name, key, text });
    const { window: w } = s;
    if (!w.region) {
      if (s.device.regions.size > 0)
        wrong('map none', `a mapping at ${hex(w.offset)} is in no region that was reported`);
    } else if (!(w.region.flags & regionFlags.MMAP))
      wrong(`map ${w.region.index}`, `region ${w.region.index} is mapped and has no MMAP flag`);
    else if (w.offset + BigInt(w.length) > roundUp(w.region.size))
      wrong(
        `map size ${w.region.index}`,
        `the mapping of ${w.length} bytes at ${hex(w.offset)} goes beyond region ${w.region.index}`,
      );
    else if (!within(w, w.region.areas))
      wrong(
        `map area ${w.region.index}`,
        `the mapping at ${hex(w.offset)} of region ${w.region.index} leaves its mappable areas`,
      );
    else if (!s.shared) wrong(`private ${w.region.index}`, `region ${w.region.index} is mapped without MAP_SHARED`);
    else judge.held();
  },
});

export const r68: Make = (judge) => ({
  access: (s) => {
    if (s.device.lowPower && s.mapped)
      judge.broken({ ...s, subject: s.device.name, key: 'access', text: 'a mapped region is accessed in low power' });
  },
  feature: (s) => {
    if (!s.ok) return;
    const entry = s.id === featureIds.LOW_POWER_ENTRY || s.id === featureIds.LOW_POWER_WAKEUP;
    if (entry && s.device.windows.length > 0)
      judge.broken({
        ...s,
        subject: s.device.name,
        key: 'mapped',
        level: 'INFO',
        text: `low power is entered while ${s.device.windows.length} mappings of the device are alive; whether they are used is not in the trace`,
      });
    else if (s.id === featureIds.LOW_POWER_EXIT && s.device.lowPower) judge.held();
  },
});
