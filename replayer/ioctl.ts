// An ioctl made again.

import { constants } from 'node:os';
import type { Arg } from '../schema/call.ts';
import { vfio_device_bind_iommufd } from '../schema/device.ts';
import { fieldOf, type Struct, widths } from '../schema/layout.ts';
import type { TraceEvent } from '../traces/event.ts';
import { argumentOf, keepParts } from './argument.ts';
import { type Planned, type Planning, pathPart, run, skip, textOf } from './planned.ts';
import type { Part, Request, Slot } from './target.ts';

/** Calls whose success shows that what an ended process held had gone. */
const exclusive: ReadonlySet<string> = new Set([
  'VFIO_DEVICE_BIND_IOMMUFD',
  'VFIO_GROUP_SET_CONTAINER',
  'VFIO_GROUP_UNSET_CONTAINER',
]);
const BOUND = fieldOf(vfio_device_bind_iommufd, 'iommufd').at;

type Pointed = Exclude<Arg, { readonly kind: 'none' | 'value' | 'raw' }>;

/** Bytes that the kernel reads at least before it says anything but EFAULT. */
const leastOf = (arg: Pointed): number => {
  if (arg.kind === 'struct') return 4;
  return arg.kind === 'scalar' ? widths[arg.field.type] : 1;
};

const layoutOf = (arg: Exclude<Pointed, { readonly kind: 'string' }>): Struct => {
  if (arg.kind === 'struct') return arg.layout;
  const size = widths[arg.field.type];
  return { kind: 'struct', name: '', size, tails: [], fields: [{ ...arg.field, name: 'value', at: 0, size }] };
};

export function planIoctl(e: TraceEvent, slot: Slot, planner: Planning): Planned {
  const a = BigInt(e.request ?? 0);
  const arg = e.call?.arg;
  if (!arg || arg.kind === 'raw') {
    if (!planner.options.raw) return skip('the schema does not know the call; --raw makes it all the same');
    const parts: Part[] = e.input ? [{ kind: 'arg', bytes: e.input }] : [];
    return run(planner.own('ioctl', slot, { a, b: e.a ?? 0n, parts }));
  }
  if (arg.kind === 'none' || arg.kind === 'value')
    return called(e, planner.own('ioctl', slot, { a, b: e.a ?? 0n }), planner);
  const input = e.input;
  // What could not be read when it was recorded was nowhere: so is NULL.
  if (e.ret === -constants.errno.EFAULT && (input?.length ?? 0) < leastOf(arg))
    return run(planner.own('ioctl', slot, { a }));
  if (!input) return skip('its argument was not kept');
  if (arg.kind === 'string') {
    const name = pathPart(planner.options.device(textOf(input)));
    return called(e, planner.own('ioctl', slot, { a, parts: [name] }), planner);
  }
  const { before, parts } = argumentOf(e, layoutOf(arg), input, planner);
  return called(e, planner.own('ioctl', slot, { a, parts }), planner, before);
}

/** The call, with what it hands out kept. */
function called(e: TraceEvent, main: Request, planner: Planning, before: Request[] = []): Planned {
  if ((e.ret ?? -1) < 0) return run(main, before);
  if (exclusive.has(e.call?.name ?? '')) before.unshift(...planner.reap());
  if (e.call?.name === 'VFIO_DEVICE_BIND_IOMMUFD' && e.input && e.input.length >= BOUND + 4)
    planner.names.iommufds.set(e.handle, planner.names.handleOf(e.process, e.input.readInt32LE(BOUND)));
  const { parts, made } = keepParts(e, planner.names);
  if (made) before.push(...planner.gone(planner.names.learn(e.process, made.fd, e.made)));
  return run({ ...main, parts: [...main.parts, ...parts] }, before);
}
