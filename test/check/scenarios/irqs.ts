// R24, R56, R60, C5.

import { irqSetFlags as f, pciIrqs } from '../../../schema/device.ts';
import { type Act, close, eventfd, fd, ioctl, read, type Scenario, signal } from '../scenario.ts';
import { irqInfo, one, setState, V1, V2, v1Opened, v2Opened, writeState } from './setup.ts';

const { MSI, INTX } = pciIrqs;
const ARM = f.DATA_EVENTFD | f.ACTION_TRIGGER;
const arm = (flags = ARM, index: number = MSI, count = 1, more: Parameters<typeof ioctl>[3] = {}): Act =>
  ioctl(
    'd',
    'VFIO_DEVICE_SET_IRQS',
    { flags, index, start: 0, count },
    { tail: Array.from({ length: count }, () => fd('e')), ...more },
  );
const disarm = ioctl('d', 'VFIO_DEVICE_SET_IRQS', {
  flags: f.DATA_NONE | f.ACTION_TRIGGER,
  index: MSI,
  start: 0,
  count: 0,
});
const v2 = { devices: one('v2-full') };
const v1 = { devices: one('v1-ndma') };
const armedV2: Act[] = [...v2Opened, irqInfo('d', MSI), eventfd('e'), arm()];
const armedV1: Act[] = [...v1Opened, irqInfo('d', MSI), eventfd('e'), arm()];
const empty = read('e', 8, { fails: 'EAGAIN' });
const ndma = writeState(V1.RUNNING | V1.NDMA);

export const irqs: Scenario[] = [
  {
    ...v1,
    rule: 'R24',
    name: 'an interrupt under NDMA',
    acts: [...armedV1, ...ndma, empty, signal('e'), read('e', 8)],
    finds: [{ rule: 'R24', says: /while NDMA is set/ }],
  },
  {
    ...v1,
    rule: 'R24',
    name: 'an interrupt from before',
    acts: [...armedV1, signal('e'), ...ndma, read('e', 8), empty],
    finds: [],
  },
  { ...v1, rule: 'R24', name: 'nobody reads the eventfd', acts: [...armedV1, ...ndma], finds: [], undecidable: /KVM/ },
  {
    ...v2,
    rule: 'R56',
    name: 'an interrupt in STOP',
    acts: [...armedV2, setState(V2.STOP), empty, signal('e'), read('e', 8)],
    finds: [{ rule: 'R56', says: /while it is stopped/ }],
  },
  {
    ...v2,
    rule: 'R56',
    name: 'an interrupt from before',
    acts: [...armedV2, signal('e'), setState(V2.STOP), read('e', 8), empty],
    finds: [],
  },
  {
    ...v2,
    rule: 'R60',
    name: 'two actions',
    acts: [...v2Opened, irqInfo('d', MSI), eventfd('e'), arm(ARM | f.ACTION_MASK, MSI, 1, { fails: 'ENOTTY' })],
    finds: [{ rule: 'R60', says: /not one action/ }],
  },
  {
    ...v2,
    rule: 'R60',
    name: 'two data types',
    acts: [...v2Opened, irqInfo('d', MSI), eventfd('e'), arm(ARM | f.DATA_NONE, MSI, 1, { fails: 'EINVAL' })],
    finds: [{ rule: 'R60', says: /not one data type/ }],
  },
  {
    ...v2,
    rule: 'R60',
    name: 'more vectors than there are',
    acts: [...v2Opened, irqInfo('d', INTX), eventfd('e'), arm(ARM, INTX, 2, { fails: 'EINVAL' })],
    finds: [{ rule: 'R60', says: /which has 1/ }],
  },
  { ...v2, rule: 'R60', name: 'one vector', acts: armedV2, finds: [] },
  { ...v2, rule: 'C5', name: 'closed while armed', acts: [...armedV2, close('e')], finds: [{ rule: 'C5' }] },
  { ...v2, rule: 'C5', name: 'disarmed, then closed', acts: [...armedV2, disarm, close('e')], finds: [] },
];
