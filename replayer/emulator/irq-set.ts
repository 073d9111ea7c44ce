// The argument of VFIO_DEVICE_SET_IRQS, checked as every driver checks it (vfio_set_irqs_validate_and_prepare).

import { irqSetFlags, vfio_irq_set } from '../../schema/device.ts';
import { fail } from './failed.ts';
import type { IrqSet } from './pci-irq.ts';
import type { User } from './user.ts';

const DATA = irqSetFlags.DATA_NONE | irqSetFlags.DATA_BOOL | irqSetFlags.DATA_EVENTFD;
const ACTION = irqSetFlags.ACTION_MASK | irqSetFlags.ACTION_UNMASK | irqSetFlags.ACTION_TRIGGER;
const U32_MAX = 0xffffffff;
const HEADER = vfio_irq_set.size;

/** `countOf`: interrupts of an index; `indexes`: how many indexes there are. */
export function irqSet(user: User, countOf: (index: number) => number, indexes: number): IrqSet {
  const head = user.copyIn(vfio_irq_set);
  const [argsz, flags, index] = [head.num('argsz'), head.num('flags'), head.num('index')];
  const [start, count] = [head.num('start'), head.num('count')];
  if (argsz < HEADER || index >= indexes || count >= U32_MAX - start || flags & ~(DATA | ACTION)) fail('EINVAL');
  const max = countOf(index);
  if (start >= max || start + count > max) fail('EINVAL');
  const set = { action: flags & ACTION, index, start, count };
  const width = { [irqSetFlags.DATA_NONE]: 0, [irqSetFlags.DATA_BOOL]: 1, [irqSetFlags.DATA_EVENTFD]: 4 }[flags & DATA];
  if (width === undefined) return fail('EINVAL');
  if (width === 0) return { ...set, data: { kind: 'none' } };
  if (argsz - HEADER < count * width) fail('EINVAL');
  const bytes = user.at(HEADER).read(count * width);
  const values = Array.from({ length: count }, (_, i) => (width === 1 ? bytes.readUInt8(i) : bytes.readInt32LE(4 * i)));
  return { ...set, data: { kind: width === 1 ? 'bool' : 'eventfd', values } };
}
