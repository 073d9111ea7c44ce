// The host that a recording was made on: what a reader needs to know to make sense of it, or to repeat it elsewhere.

import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { arch, hostname, release, version } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { packageFolder } from './native.ts';

/** A device as sysfs describes it; null: the file is not there. */
export interface Device {
  readonly path: string;
  readonly bus: string | null;
  readonly driver: string | null;
  readonly vendor: string | null;
  readonly device: string | null;
  readonly class: string | null;
  readonly revision: string | null;
  readonly group: number | null;
  readonly cdev: string | null;
  readonly numa: number | null;
}

export function line(path: string): string | null {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return null;
  }
}
const link = (path: string): string | null => {
  try {
    return basename(readlinkSync(path));
  } catch {
    return null;
  }
};
const list = (path: string): string[] => {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
};
const number = (text: string | null): number | null =>
  text === null || Number.isNaN(Number(text)) ? null : Number(text);

/** Describes the device of that name (PCI address, mdev uuid, platform name), or null. */
export function describeDevice(name: string): Device | null {
  if (!/^[\w:.@-]+$/.test(name)) return null;
  for (const bus of list('/sys/bus')) {
    let path: string;
    try {
      path = realpathSync(`/sys/bus/${bus}/devices/${name}`);
    } catch {
      continue;
    }
    const at = (file: string): string | null => line(join(path, file));
    const cdev = list(join(path, 'vfio-dev'))[0];
    return {
      path,
      bus,
      driver: link(join(path, 'driver')),
      vendor: at('vendor'),
      device: at('device'),
      class: at('class'),
      revision: at('revision'),
      group: number(link(join(path, 'iommu_group'))),
      cdev: cdev ? `/dev/vfio/devices/${cdev}` : null,
      numa: number(at('numa_node')),
    };
  }
  return null;
}

/** Name of the device behind /dev/vfio/devices/vfioN, or null. */
export function cdevName(path: string): string | null {
  try {
    // …/0000:00:04.0/vfio-dev/vfio0
    return basename(dirname(dirname(realpathSync(`/sys/class/vfio-dev/${basename(path)}`))));
  } catch {
    return null;
  }
}

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8')) as { version: string }).version;
}

export function describeHost(): Record<string, unknown> {
  const modules = (line('/proc/modules') ?? '')
    .split('\n')
    .map((row) => row.split(' ')[0] ?? '')
    .filter((name) => /vfio|iommu|mdev/.test(name));
  return {
    uname: `Linux ${hostname()} ${release()} ${version()} ${arch()}`,
    release: release(),
    cmdline: line('/proc/cmdline'),
    cpu: /^model name\s*:\s*(.*)$/m.exec(line('/proc/cpuinfo') ?? '')?.[1] ?? null,
    modules,
    groups: list('/sys/kernel/iommu_groups').length,
    noiommu: line('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode'),
    vfio_rr: packageVersion(),
    node: process.versions.node,
  };
}
