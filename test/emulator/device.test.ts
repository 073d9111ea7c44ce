// PCI devices: regions, interrupts, the edu model's DMA, and faults.

import { suite } from 'uvu';
import { equal, is, ok } from 'uvu/assert';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import { vfio_iommu_type1_dma_map } from '../../schema/container.ts';
import { featureOps, irqSetFlags, pciIrqs, vfio_irq_set, vfio_region_info } from '../../schema/device.ts';
import { type Client, fill, get, start } from './client.ts';

const BAR0 = 0;
const CONFIG = 7;
const COMMAND = 4;
const edu = { profile: profileOf('edu') };
const { DATA_NONE, DATA_EVENTFD, ACTION_TRIGGER, ACTION_UNMASK } = irqSetFlags;

const irqs = (c: Client, fd: number, index: number, flags: number, fds: readonly number[] = [], count = fds.length) => {
  const tail = Buffer.alloc(4 * fds.length);
  fds.forEach((n, i) => {
    tail.writeInt32LE(n, 4 * i);
  });
  return c.ioctl(fd, 'VFIO_DEVICE_SET_IRQS', fill(vfio_irq_set, { flags, index, start: 0, count }, tail));
};
const counted = (counter: { take(): Buffer | null }): bigint => counter.take()?.readBigUInt64LE() ?? 0n;

const test = suite('device');

test('reads past a region, of no region and of nothing end as the kernel ends them', () => {
  const { client, device } = start([edu]);
  is(client.pread(device, 4, 77n << 40n), 'EINVAL');
  is(client.pread(device, 4, (BigInt(CONFIG) << 40n) + 4096n), 'EFAULT');
  is(client.pread(device, 4, 1n << 20n), 'EINVAL');
  is(client.pread(device, 4, 3n << 40n), 'EINVAL');
  equal(client.pread(device, 0, 0n), Buffer.alloc(0));
  is((client.pread(device, 64, (1n << 20n) - 8n) as Buffer).length, 8, 'short at the end of a BAR');
});

test('a BAR does not answer while memory decoding is off', () => {
  const { client, device } = start([edu]);
  is(client.store(device, CONFIG, COMMAND, 0, 2), 2);
  is(client.pread(device, 4, 0n), 'EIO');
});

test('INTx is masked when it fires, and fires again on unmask while it is asserted', () => {
  const { client, device } = start([edu]);
  const { fd, counter } = client.eventfd();
  is(irqs(client, device, pciIrqs.INTX, DATA_EVENTFD | ACTION_TRIGGER, [fd]), 0);
  client.store(device, BAR0, 0x60, 1);
  client.store(device, BAR0, 0x60, 2);
  is(counted(counter), 1n);
  is(irqs(client, device, pciIrqs.INTX, DATA_NONE | ACTION_UNMASK, [], 1), 0);
  is(counted(counter), 1n);
  client.store(device, BAR0, 0x64, 3);
  is(irqs(client, device, pciIrqs.INTX, DATA_NONE | ACTION_UNMASK, [], 1), 0);
  is(counted(counter), 0n);
});

test('a message needs bus mastering; a bad eventfd leaves the index off', () => {
  const { client, device } = start([edu]);
  const { fd, counter } = client.eventfd();
  is(irqs(client, device, pciIrqs.MSI, DATA_EVENTFD | ACTION_TRIGGER, [999]), 'EBADF');
  is(irqs(client, device, pciIrqs.MSI, DATA_NONE | ACTION_TRIGGER, [], 1), 'EINVAL');
  is(irqs(client, device, pciIrqs.MSI, DATA_EVENTFD | ACTION_TRIGGER, [fd]), 0);
  client.store(device, BAR0, 0x60, 1);
  is(counted(counter), 0n);
  client.store(device, CONFIG, COMMAND, 6, 2);
  client.store(device, BAR0, 0x60, 1);
  is(counted(counter), 1n);
});

/** Master on, one page mapped at 0x100000. */
function withMemory(it: ReturnType<typeof start>) {
  const at = it.client.allocate(8192);
  it.client.store(it.device, CONFIG, COMMAND, 6, 2);
  const map = fill(vfio_iommu_type1_dma_map, { flags: 3, iova: 0x100000n, vaddr: at, size: 8192n });
  is(it.client.ioctl(it.container, 'VFIO_IOMMU_MAP_DMA', map), 0);
  return at;
}
function transfer(c: Client, fd: number, from: number, to: number, length: number, command: number): void {
  [from, to, length, command | 1].forEach((v, i) => {
    c.store(fd, BAR0, 0x80 + 8 * i, v);
  });
}

test('DMA goes through the container’s maps into the caller’s memory and back', () => {
  const it = start([edu]);
  const at = withMemory(it);
  const bytes = Buffer.from(Array.from({ length: 2000 }, (_, i) => i * 7));
  it.client.memory.write(at, bytes);
  transfer(it.client, it.device, 0x100000, 0x40000, 2000, 0);
  transfer(it.client, it.device, 0x40000, 0x101000, 2000, 2);
  ok(it.client.memory.read(at + 4096n, 2000)?.equals(bytes));
  transfer(it.client, it.device, 0x40000, 0x200000, 16, 2); // nothing is mapped there
  is(it.client.load(it.device, BAR0, 0x98), 2n);
});

test('a device logs the pages it writes, per device', () => {
  const it = start([{ profile: profileOf('v2-full') }]);
  const { client, device } = it;
  withMemory(it);
  const range = client.allocate(16);
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(0x100000n);
  bytes.writeBigUInt64LE(0x2000n, 8);
  client.memory.write(range, bytes);
  const bitmap = client.allocate(8);
  const log = { iova: 0x100000n, length: 0x2000n, page_size: 4096, bitmap };
  is(client.feature(device, featureOps.GET, 'DMA_LOGGING_REPORT', log).ret, 'EINVAL');
  const begin = { page_size: 4096, num_ranges: 1, ranges: range };
  is(client.feature(device, featureOps.SET, 'DMA_LOGGING_START', begin).ret, 0);
  is(client.feature(device, featureOps.SET, 'DMA_LOGGING_START', begin).ret, 'EINVAL');
  transfer(client, device, 0x40000, 0x101000, 16, 2);
  is(client.feature(device, featureOps.GET, 'DMA_LOGGING_REPORT', log).ret, 0);
  is(client.memory.read(bitmap, 8)?.readBigUInt64LE(), 2n);
  client.memory.write(bitmap, Buffer.alloc(8));
  is(client.feature(device, featureOps.GET, 'DMA_LOGGING_REPORT', log).ret, 0);
  is(client.memory.read(bitmap, 8)?.readBigUInt64LE(), 0n, 'read and cleared');
});

test('GET_REGION_INFO wants room for the capabilities of the migration region', () => {
  const it = start([{ profile: profileOf('v1-sparse') }]);
  const small = fill(vfio_region_info, { index: 9 });
  is(it.client.ioctl(it.device, 'VFIO_DEVICE_GET_REGION_INFO', small), 0);
  is(get(vfio_region_info, small, 'cap_offset'), 0n);
  const argsz = Number(get(vfio_region_info, small, 'argsz'));
  const large = fill(vfio_region_info, { index: 9 }, Buffer.alloc(argsz - vfio_region_info.size));
  is(it.client.ioctl(it.device, 'VFIO_DEVICE_GET_REGION_INFO', large), 0);
  is(get(vfio_region_info, large, 'cap_offset'), BigInt(vfio_region_info.size));
  is(large.readUInt32LE(vfio_region_info.size + 8), 3, 'type');
  is(it.client.ioctl(it.device, 'VFIO_DEVICE_GET_REGION_INFO', fill(vfio_region_info, { index: 10 })), 'EINVAL');
});

test('faults strike the call they name, the time they name', () => {
  const faults = ['MAP_DMA=ENOMEM@2', 'pread:BAR0=EIO@3', 'pread:CONFIG=short:2', 'IRQ:MSI=lost', 'pwrite:BAR5=EIO'];
  const it = start([edu], { faults });
  const { client, device } = it;
  withMemory(it);
  const map = fill(vfio_iommu_type1_dma_map, { flags: 3, iova: 0x200000n, vaddr: 0n, size: 4096n });
  is(client.ioctl(it.container, 'VFIO_IOMMU_MAP_DMA', map), 'ENOMEM');
  client.load(device, BAR0, 0);
  client.load(device, BAR0, 0);
  is(client.pread(device, 4, 0n), 'EIO');
  client.load(device, BAR0, 0);
  is((client.pread(device, 4, BigInt(CONFIG) << 40n) as Buffer).length, 2);
  const { fd, counter } = client.eventfd();
  is(irqs(client, device, pciIrqs.MSI, DATA_EVENTFD | ACTION_TRIGGER, [fd]), 0);
  client.store(device, BAR0, 0x60, 1);
  is(counted(counter), 0n);
  client.store(device, BAR0, 0x60, 1);
  is(counted(counter), 1n);
  equal(it.emulator.unmatchedFaults, ['pwrite:BAR5=EIO']);
});

test('an interrupt that is late comes with virtual time', () => {
  const it = start([edu], { faults: ['IRQ:MSI=late:5ms'] });
  const { fd, counter } = it.client.eventfd();
  it.client.store(it.device, CONFIG, COMMAND, 6, 2);
  is(irqs(it.client, it.device, pciIrqs.MSI, DATA_EVENTFD | ACTION_TRIGGER, [fd]), 0);
  it.client.store(it.device, BAR0, 0x60, 1);
  is(counter.readable, false);
  is(
    it.emulator.wait(10_000_000n, () => counter.readable),
    true,
  );
});
test('low power is entered once, by vfio-pci devices only', () => {
  const { client, device } = start([edu]);
  const set = (name: string) => client.feature(device, featureOps.SET, name).ret;
  is(client.feature(device, featureOps.SET | featureOps.PROBE, 'LOW_POWER_ENTRY').ret, 0);
  equal(
    [set('LOW_POWER_ENTRY'), set('LOW_POWER_ENTRY'), set('LOW_POWER_EXIT'), set('LOW_POWER_ENTRY')],
    [0, 'EINVAL', 0, 0],
  );
  const card = start([{ profile: profileOf('serial') }]);
  is(card.client.feature(card.device, featureOps.SET, 'LOW_POWER_ENTRY').ret, 'ENOTTY');
});
test.run();
