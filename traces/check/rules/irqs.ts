// R24, R56, R60, C5: interrupts by eventfd.

import { irqFlags, irqSetFlags } from '../../../schema/device.ts';
import { v1Bits } from '../../../schema/states-v1.ts';
import type { Context, Handlers, Make } from '../evaluator.ts';
import type { Judge } from '../judge.ts';
import type { Device } from '../shadow.ts';
import { stopped } from './access.ts';

const arms = (device: Device, handle: number): boolean => {
  for (const irq of device.irqs.values()) for (const armed of irq.armed.values()) if (armed === handle) return true;
  return false;
};
const anyArmed = (device: Device): boolean => [...device.irqs.values()].some((irq) => irq.armed.size > 0);

/**
 * Whether the device signals an eventfd while it is `silent`. What was signalled before may still be in the counter, so
 * only a counter that was read empty, or read at all, since then can show a signal.
 */
function signals(judge: Judge, { world }: Context, silent: (device: Device) => boolean, what: string): Handlers {
  const empty = new Map<number, Device>();
  const read = new Set<number>();
  const silenced = new Set<Device>();
  const check = (): void => {
    for (const device of world.devices.values())
      if (silent(device)) {
        if (anyArmed(device)) silenced.add(device);
      } else for (const [handle, d] of empty) if (d === device) empty.delete(handle);
  };
  return {
    set: check,
    get: check,
    v1: (s) => {
      if (s.field === 'device_state') check();
    },
    reset: check,
    eventfd: (s) => {
      if (s.write) {
        empty.delete(s.handle); // the program signals it by itself
        return;
      }
      read.add(s.handle);
      for (const device of new Set(world.devices.values())) {
        if (!arms(device, s.handle)) continue;
        if (!silent(device)) {
          empty.delete(s.handle);
          continue;
        }
        silenced.add(device);
        if (s.ok && empty.has(s.handle))
          judge.broken({ ...s, subject: device.name, text: `the device signals an interrupt ${what}` });
        else if (empty.has(s.handle)) judge.held();
        empty.set(s.handle, device);
      }
    },
    end: () => {
      check();
      for (const device of silenced)
        if (![...device.irqs.values()].some((irq) => [...irq.armed.values()].some((h) => read.has(h))))
          judge.undecidable(`eventfds of ${device.name} are not read by the program: KVM may take them`);
    },
  };
}

const ndma = (device: Device): boolean => device.v1?.state != null && (device.v1.state & v1Bits.NDMA) !== 0;

export const r24: Make = (judge, context) => {
  const reported = new Set<Device>();
  return {
    ...signals(judge, context, ndma, 'while NDMA is set'),
    // A log is read and cleared: what the second report in a row shows was written in between.
    loggingReport: (s) => {
      if (!ndma(s.device)) reported.delete(s.device);
      else if (!s.ok) return;
      else if (reported.has(s.device) && s.dirty)
        judge.broken({ ...s, subject: s.device.name, key: 'dma', text: 'pages were written by DMA while NDMA is set' });
      else {
        if (reported.has(s.device)) judge.held();
        reported.add(s.device);
      }
    },
  };
};

export const r56: Make = (judge, context) => signals(judge, context, stopped, 'while it is stopped');

const DATA = irqSetFlags.DATA_NONE | irqSetFlags.DATA_BOOL | irqSetFlags.DATA_EVENTFD;
const ACTION = irqSetFlags.ACTION_MASK | irqSetFlags.ACTION_UNMASK | irqSetFlags.ACTION_TRIGGER;
const one = (bits: number): boolean => bits !== 0 && (bits & (bits - 1)) === 0;

export const r60: Make = (judge) => ({
  irqs: (s) => {
    const wrong = (key: string, text: string): void =>
      judge.broken({ ...s, subject: s.device.name, key: `${s.index} ${key}`, text });
    const last = s.start + s.count;
    if (!one(s.flags & DATA)) wrong('data', `SET_IRQS with flags 0x${s.flags.toString(16)} has not one data type`);
    else if (!one(s.flags & ACTION))
      wrong('action', `SET_IRQS with flags 0x${s.flags.toString(16)} has not one action`);
    else if (s.flags & ~(DATA | ACTION)) wrong('flags', `SET_IRQS with unknown flags 0x${s.flags.toString(16)}`);
    else if (s.irq.count !== null && last > s.irq.count)
      wrong('count', `SET_IRQS of vectors ${s.start} to ${last - 1} of IRQ ${s.index}, which has ${s.irq.count}`);
    else if (
      s.irq.flags & irqFlags.NORESIZE &&
      s.irq.enabled > 0 &&
      s.flags & irqSetFlags.DATA_EVENTFD &&
      last > s.irq.enabled
    )
      wrong(
        'resize',
        `IRQ ${s.index} is NORESIZE with ${s.irq.enabled} vectors and grows to ${last} without being disabled first`,
      );
    else judge.held();
  },
});

export const c5: Make = (judge, { world }) => ({
  eventfdClose: (s) => {
    const device = [...world.devices.values()].find((d) => arms(d, s.handle));
    if (device)
      judge.broken({
        ...s,
        subject: device.name,
        key: `${s.handle}`,
        text: 'the last descriptor of an eventfd that the device signals is closed: its interrupts get lost without a word',
      });
  },
  irqs: (s) => {
    if (s.ok && s.flags & irqSetFlags.ACTION_TRIGGER && s.irq.armed.size > 0 && s.count === 0) judge.held();
  },
});
