// vfio-pci: what its ioctls answer and how its regions are read and written.
// Source: drivers/vfio/pci/{vfio_pci_core,vfio_pci_rdwr}.c (6.12).

import {
  deviceCalls,
  deviceFlags,
  irqFlags,
  pciIrqs,
  pciRegions,
  regionCaps,
  regionFlags,
  vfio_device_info,
  vfio_irq_info,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
  vfio_region_info,
} from '../../schema/device.ts';
import type { Caller } from './caller.ts';
import { answer, type Capability } from './capability.ts';
import { fail } from './failed.ts';
import { irqSet } from './irq-set.ts';
import type { PciDevice } from './pci-device.ts';
import { requestsOf } from './request.ts';
import { endOf, type User } from './user.ts';

const call = requestsOf(deviceCalls);
const NUM_REGIONS = Object.keys(pciRegions).length; // VFIO_PCI_NUM_REGIONS
const NUM_IRQS = Object.keys(pciIrqs).length; // VFIO_PCI_NUM_IRQS

export function pciIoctl(pci: PciDevice, caller: Caller, request: number, user: User): number {
  switch (request) {
    case call('VFIO_DEVICE_GET_INFO'):
      return getInfo(pci, user);
    case call('VFIO_DEVICE_GET_REGION_INFO'):
      return getRegionInfo(pci, user);
    case call('VFIO_DEVICE_GET_IRQ_INFO'):
      return getIrqInfo(pci, user);
    case call('VFIO_DEVICE_SET_IRQS'):
      pci.irqs.set(
        caller,
        irqSet(user, (index) => pci.irqCount(index), NUM_IRQS),
        pci.spec.express,
      );
      return 0;
    case call('VFIO_DEVICE_RESET'):
      if (!pci.spec.reset) fail('EINVAL');
      pci.reset();
      return 0;
    case call('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO'): {
      const info = user.copyIn(vfio_pci_hot_reset_info);
      if (info.num('argsz') < vfio_pci_hot_reset_info.size) fail('EINVAL');
      return fail('ENODEV'); // on the root bus: neither its slot nor its bus can be reset
    }
    case call('VFIO_DEVICE_PCI_HOT_RESET'): {
      const reset = user.copyIn(vfio_pci_hot_reset);
      if (reset.num('argsz') < vfio_pci_hot_reset.size || reset.num('flags')) fail('EINVAL');
      if (reset.num('count') > 0 === pci.device.cdevOpened) fail('EINVAL');
      return fail('ENODEV');
    }
    default:
      return fail('ENOTTY');
  }
}

function getInfo(pci: PciDevice, user: User): number {
  const min = endOf(vfio_device_info, 'num_irqs');
  const info = user.copyIn(vfio_device_info, min);
  if (info.num('argsz') < min) fail('EINVAL');
  info.set('flags', deviceFlags.PCI | (pci.spec.reset ? deviceFlags.RESET : 0));
  info.set('num_regions', NUM_REGIONS + pci.extra.length).set('num_irqs', NUM_IRQS);
  // 6.1's structure ends before `pad`.
  const size = pci.device.host.has('6.12') ? vfio_device_info.size : endOf(vfio_device_info, 'cap_offset');
  user.copyOut(info, Math.min(info.num('argsz'), size));
  return 0;
}

function getRegionInfo(pci: PciDevice, user: User): number {
  const info = user.copyIn(vfio_region_info);
  if (info.num('argsz') < vfio_region_info.size) fail('EINVAL');
  const index = info.num('index');
  const region = pci.region(index);
  if (!region) return fail('EINVAL');
  info.set('flags', region.flags).set('size', region.size).set('offset', pci.offsetOf(index));
  const caps: Capability[] = [...region.caps];
  if (index === pci.spec.msix?.bar && region.flags & regionFlags.MMAP)
    caps.push({ id: regionCaps.MSIX_MAPPABLE, version: 1, body: Buffer.alloc(0) });
  answer(user, info, vfio_region_info.size, caps, regionFlags.CAPS);
  return 0;
}

function getIrqInfo(pci: PciDevice, user: User): number {
  const info = user.copyIn(vfio_irq_info);
  const index = info.num('index');
  if (info.num('argsz') < vfio_irq_info.size || index >= NUM_IRQS) fail('EINVAL');
  if (index === pciIrqs.ERR && !pci.spec.express) fail('EINVAL');
  let flags: number = irqFlags.EVENTFD;
  if (index === pciIrqs.INTX) flags |= irqFlags.MASKABLE | irqFlags.AUTOMASKED;
  else if (index !== pciIrqs.MSIX || !pci.dynamicMsix) flags |= irqFlags.NORESIZE;
  user.copyOut(info.set('flags', flags).set('count', pci.irqCount(index)));
  return 0;
}
