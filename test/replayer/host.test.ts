// What keeps a device from being used, and the command that would mend it.

import { constants } from 'node:os';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkCommon, Host, usablePath, type Way } from '../../replayer/host.ts';
import { argOf, Scripted } from './scripted.ts';

const { ENOENT, EBUSY, EACCES, ENODEV } = constants.errno;

/** A host's files: text is a link's target, an array a directory's names, a number what open() gives. */
type Files = Readonly<Record<string, string | readonly string[] | number>>;

const DIR = '/sys/bus/pci/devices/0000:00:04.0';
const usable: Files = {
  [DIR]: [],
  [`${DIR}/driver`]: '../../../bus/pci/drivers/vfio-pci',
  [`${DIR}/iommu_group`]: '../../../kernel/iommu_groups/7',
  [`${DIR}/vfio-dev`]: ['vfio3'],
  '/dev/vfio': ['7', 'devices', 'vfio'],
  '/dev/vfio/7': 0,
  '/dev/vfio/vfio': 0,
  '/dev/vfio/devices/vfio3': 0,
};

function host(files: Files): { host: Host; target: Scripted } {
  const target = new Scripted((r) => {
    const path = argOf(r)?.toString().replace('\0', '') ?? '';
    const file = files[path];
    if (r.op === 'close') return { ret: 0 };
    if (r.op === 'open') return { ret: typeof file === 'number' ? -file || 9 : -ENOENT };
    if (r.op === 'link')
      return typeof file === 'string' ? { ret: file.length, arg: Buffer.from(file) } : { ret: -ENOENT };
    if (typeof file !== 'object') return { ret: -ENOENT };
    return { ret: 0, arg: Buffer.from(file.map((n) => `${n}\0`).join('')) };
  });
  return { host: new Host(target), target };
}

const without = (...keys: string[]): Files =>
  Object.fromEntries(Object.entries(usable).filter(([k]) => !keys.includes(k)));

async function complaint(files: Files, way: Way = 'group', name = '0000:00:04.0'): Promise<string> {
  try {
    await usablePath(host(files).host, name, way);
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
}

test('a device is reached by its group or its cdev, which are left closed', async () => {
  const { host: h, target } = host(usable);
  assert.is(await usablePath(h, '0000:00:04.0', 'group'), '/dev/vfio/7');
  assert.is(await usablePath(h, '0000:00:04.0', 'cdev'), '/dev/vfio/devices/vfio3');
  assert.is(target.of('open').length, target.of('close').length);
});

test('a group without an IOMMU is found by its name', async () => {
  const files = { ...without('/dev/vfio/7'), '/dev/vfio': ['noiommu-7', 'vfio'], '/dev/vfio/noiommu-7': 0 };
  assert.is(await usablePath(host(files).host, '0000:00:04.0', 'group'), '/dev/vfio/noiommu-7');
});

test('no such device', async () => {
  assert.match(
    await complaint(usable, 'group', '0000:99:00.0'),
    /no device 0000:99:00\.0 .*--map 0000:99:00\.0=DEVICE/,
  );
  assert.match(await complaint(usable, 'group', '../../../etc'), /no device/);
  try {
    await usablePath(host(usable).host, '0000:99:00.0', 'group', '0000:00:04.0');
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /no device 0000:99:00\.0 .*--map 0000:00:04\.0=DEVICE/);
  }
});

test('bound to another driver, or to none', async () => {
  const other = { ...without('/dev/vfio/7'), [`${DIR}/driver`]: '../drivers/e1000', '/dev/vfio': ['vfio'] };
  const said = await complaint(other);
  assert.match(said, /bound to e1000, not to vfio-pci/);
  assert.match(said, /echo 0000:00:04\.0 >\S+\/driver\/unbind; echo vfio-pci >\S+\/driver_override/);
  assert.match(await complaint({ ...without(`${DIR}/driver`, '/dev/vfio/7'), '/dev/vfio': [] }), /bound to no driver/);
});

test('in use', async () => {
  assert.match(
    await complaint({ ...usable, '/dev/vfio/7': EBUSY }),
    /\/dev\/vfio\/7 is in use .*fuser -v \/dev\/vfio\/7/,
  );
});

test('no permission', async () => {
  assert.match(await complaint({ ...usable, '/dev/vfio/7': EACCES }), /no permission .*chown \$USER \/dev\/vfio\/7/);
});

test('no IOMMU', async () => {
  assert.match(await complaint(without(`${DIR}/iommu_group`)), /uses no IOMMU: boot with intel_iommu=on/);
});

test('no cdev in this kernel', async () => {
  assert.match(await complaint(without(`${DIR}/vfio-dev`), 'cdev'), /CONFIG_VFIO_DEVICE_CDEV/);
});

test('no VFIO or iommufd in this kernel', async () => {
  const said = async (files: Files, path: string): Promise<string> => {
    try {
      await checkCommon(host(files).host, new Set([path]));
    } catch (error) {
      return (error as Error).message;
    }
    return 'none';
  };
  assert.match(await said({}, '/dev/vfio/vfio'), /no \/dev\/vfio\/vfio: run `modprobe vfio-pci`/);
  assert.match(await said({ '/dev/vfio/vfio': ENODEV }, '/dev/vfio/vfio'), /modprobe vfio-pci/);
  assert.match(await said({}, '/dev/iommu'), /modprobe iommufd/);
  assert.is(await said(usable, '/dev/vfio/vfio'), 'none');
});

test.run();
