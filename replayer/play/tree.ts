// What a played program finds under /dev and /sys: as the kernel shows a machine with these devices, in the play
// directory's root/. Links are relative, so that following one stays in the tree.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export interface ShownBar {
  readonly size: number;
  readonly kind: 'mem32' | 'mem64' | 'io';
}

/** A device as sysfs shows it. */
export interface Shown {
  /** "0000:00:04.0", or an mdev's UUID. */
  readonly name: string;
  /** null: only its node is known. */
  readonly bus: 'pci' | 'mdev' | null;
  /** null: it has no group's node. */
  readonly group: number | null;
  /** N of /dev/vfio/devices/vfioN; null: it has none. */
  readonly cdev: number | null;
  /** First bytes of the configuration space (pci). */
  readonly config: Buffer | null;
  readonly bars: readonly (ShownBar | null)[];
}

/** Major number of the nodes; the kernel takes a free one, so programs look it up in `dev`. */
const MAJOR = 511;
const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}\n`;

class Tree {
  private readonly root: string;
  constructor(root: string) {
    this.root = root;
  }
  directory(path: string): void {
    mkdirSync(join(this.root, path), { recursive: true });
  }
  file(path: string, content: string | Buffer): void {
    this.directory(dirname(path));
    writeFileSync(join(this.root, path), content);
  }
  link(path: string, target: string): void {
    this.directory(dirname(path));
    symlinkSync(relative(dirname(path), target), join(this.root, path));
  }
}

/** Resource flags: include/linux/ioport.h. */
const resourceFlags = { mem32: 0x40200, mem64: 0x140204, io: 0x40101 } as const;

function resources(bars: Shown['bars']): string {
  let next = { io: 0xc000, mem: 0xf0000000 };
  const lines = Array.from({ length: 13 }, (_, i) => {
    const bar = bars[i];
    if (!bar) return [0, 0, 0];
    const space = bar.kind === 'io' ? 'io' : 'mem';
    const start = Math.ceil(next[space] / bar.size) * bar.size;
    next = { ...next, [space]: start + bar.size };
    return [start, start + bar.size - 1, resourceFlags[bar.kind]];
  });
  return lines.map((l) => `${l.map((n) => `0x${n.toString(16).padStart(16, '0')}`).join(' ')}\n`).join('');
}

function showPci(tree: Tree, device: Shown, home: string): void {
  const config = device.config ?? Buffer.alloc(64);
  tree.file(`${home}/vendor`, hex(config.readUInt16LE(0), 4));
  tree.file(`${home}/device`, hex(config.readUInt16LE(2), 4));
  tree.file(`${home}/subsystem_vendor`, hex(config.readUInt16LE(0x2c), 4));
  tree.file(`${home}/subsystem_device`, hex(config.readUInt16LE(0x2e), 4));
  tree.file(`${home}/class`, hex(config.readUIntLE(9, 3), 6));
  tree.file(`${home}/revision`, hex(config.readUInt8(8), 2));
  tree.file(`${home}/config`, config);
  tree.file(`${home}/resource`, resources(device.bars));
  tree.file(`${home}/irq`, '0\n');
  tree.file(`${home}/enable`, '1\n');
  tree.file(`${home}/numa_node`, '-1\n');
  tree.file(`${home}/driver_override`, 'vfio-pci\n');
  tree.link(`${home}/driver`, '/sys/bus/pci/drivers/vfio-pci');
  tree.link(`${home}/subsystem`, '/sys/bus/pci');
  tree.link(`/sys/bus/pci/devices/${device.name}`, home);
  tree.link(`/sys/bus/pci/drivers/vfio-pci/${device.name}`, home);
}

function showMdev(tree: Tree, device: Shown, home: string): void {
  tree.link(`${home}/driver`, '/sys/bus/mdev/drivers/vfio_mdev');
  tree.link(`${home}/subsystem`, '/sys/bus/mdev');
  tree.link(`/sys/bus/mdev/devices/${device.name}`, home);
}

function showDevice(tree: Tree, device: Shown): void {
  if (device.cdev !== null) tree.file(`/dev/vfio/devices/vfio${device.cdev}`, '');
  if (device.bus === null) return;
  const home =
    device.bus === 'pci'
      ? `/sys/devices/pci${device.name.slice(0, 7)}/${device.name}`
      : `/sys/devices/virtual/mtty/mtty/${device.name}`;
  tree.directory(home);
  if (device.bus === 'pci') showPci(tree, device, home);
  else showMdev(tree, device, home);
  if (device.group !== null) {
    const group = `/sys/kernel/iommu_groups/${device.group}`;
    tree.link(`${home}/iommu_group`, group);
    tree.link(`${group}/devices/${device.name}`, home);
  }
  if (device.cdev !== null) {
    tree.file(`${home}/vfio-dev/vfio${device.cdev}/dev`, `${MAJOR}:${device.cdev}\n`);
    tree.link(`/sys/class/vfio-dev/vfio${device.cdev}`, `${home}/vfio-dev/vfio${device.cdev}`);
  }
}

/** Writes the tree below `root`. */
export function writeTree(root: string, devices: readonly Shown[], iommufd: boolean): void {
  const tree = new Tree(root);
  for (const bus of ['pci', 'mdev']) tree.directory(`/sys/bus/${bus}/devices`);
  tree.directory('/sys/bus/pci/drivers/vfio-pci');
  tree.directory('/sys/bus/mdev/drivers/vfio_mdev');
  tree.directory('/sys/kernel/iommu_groups');
  tree.directory('/sys/class/vfio');
  tree.directory('/sys/class/iommu');
  tree.directory('/sys/class/vfio-dev');
  tree.file('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', 'N\n');
  tree.file('/sys/module/vfio_pci/refcnt', '0\n');
  tree.file('/sys/module/vfio_iommu_type1/parameters/dma_entry_limit', '65535\n');
  tree.file('/dev/vfio/vfio', '');
  if (iommufd) tree.file('/dev/iommu', '');
  for (const device of devices) showDevice(tree, device);
  for (const group of new Set(devices.map((d) => d.group))) if (group !== null) tree.file(`/dev/vfio/${group}`, '');
  writeFileSync(join(root, 'made'), '');
}
