// What the target's host is asked before a replay: which group or cdev stands for the recorded device there, and whether
// it can be used. Each answer that is no says which command would mend it.

import { constants as files } from 'node:fs';
import { constants } from 'node:os';
import { errnoName } from '../schema/errno.ts';
import { TraceError } from '../schema/errors.ts';
import { paths } from '../schema/kinds.ts';
import type { Reply, Request, Target } from './target.ts';

const { ENOENT, ENODEV, ENXIO, EBUSY, EACCES, EPERM } = constants.errno;
const VFIO = paths[0].prefix;
const IOMMUFD = paths[3].prefix;
const CDEVS = paths[1].prefix;
const GROUPS = paths[2].prefix;
/** Slots that a replay does not reach before the questions are over. */
const PROBE = 1;

/** Questions to the target's host. */
export class Host {
  readonly #target: Target;
  #tag = 0;
  constructor(target: Target) {
    this.#target = target;
  }

  async #ask(op: Request['op'], path: string, a = 0n): Promise<Reply> {
    const bytes = Buffer.from(`${path}\0`, 'latin1');
    const request = { tag: ++this.#tag, op, subject: PROBE, a, b: 0n, timeout: 0, flags: 0 };
    const [reply] = await this.#target.run([{ ...request, parts: [{ kind: 'arg', bytes }] }]);
    return reply as Reply;
  }

  /** Last part of where the link points, null when there is none. */
  async link(path: string): Promise<string | null> {
    const { arg } = await this.#ask('link', path);
    return arg ? (arg.toString('latin1').split('/').at(-1) ?? null) : null;
  }

  /** Names in a directory, null when there is none. */
  async list(path: string): Promise<string[] | null> {
    const { ret, arg } = await this.#ask('list', path);
    if (ret < 0) return null;
    return arg ? arg.toString('latin1').split('\0').slice(0, -1) : [];
  }

  /** 0, or why the path cannot be opened for reading and writing. */
  async openable(path: string): Promise<number> {
    const { ret } = await this.#ask('open', path, BigInt(files.O_RDWR));
    if (ret < 0) return -ret;
    const close: Request = {
      tag: ++this.#tag,
      op: 'close',
      subject: PROBE,
      a: 0n,
      b: 0n,
      timeout: 0,
      flags: 0,
      parts: [],
    };
    await this.#target.run([close]);
    return 0;
  }
}

/** A device as the host has it. */
export interface Found {
  readonly name: string;
  readonly bus: 'pci' | 'mdev' | 'platform';
  readonly driver: string | null;
  readonly group: string | null;
  readonly cdev: string | null;
}

const buses = ['pci', 'mdev', 'platform'] as const;

export async function findDevice(host: Host, name: string): Promise<Found | undefined> {
  if (name === '' || name.includes('/') || name === '.' || name === '..') return undefined;
  for (const bus of buses) {
    const dir = `/sys/bus/${bus}/devices/${name}`;
    if ((await host.list(dir)) === null) continue;
    const [cdev] = (await host.list(`${dir}/vfio-dev`)) ?? [];
    return {
      name,
      bus,
      driver: await host.link(`${dir}/driver`),
      group: await host.link(`${dir}/iommu_group`),
      cdev: cdev ?? null,
    };
  }
  return undefined;
}

export type Way = 'group' | 'cdev';

const failed = (message: string): TraceError => new TraceError('TARGET', message);

/** The path by which the device is reached, which stands for `recorded`; TraceError when it cannot be used. */
export async function usablePath(host: Host, name: string, way: Way, recorded = name): Promise<string> {
  const found = await findDevice(host, name);
  if (!found)
    throw failed(
      `there is no device ${name} on the replay's host: name one that stands for it with --map ${recorded}=DEVICE (\`lspci -D\` lists them)`,
    );
  if (!found.group && found.bus === 'pci')
    throw failed(
      `${name} has no IOMMU group, because the kernel uses no IOMMU: boot with intel_iommu=on or amd_iommu=on and switch VT-d or AMD-Vi on in the firmware`,
    );
  const path = way === 'group' ? await groupPath(host, found) : found.cdev && `${CDEVS}${found.cdev}`;
  if (!path) throw unbound(found, way);
  const why = await host.openable(path);
  if (why === 0) return path;
  if ((why === ENOENT || why === ENODEV || why === ENXIO) && !isVfio(found)) throw unbound(found, way);
  throw failed(mend(path, why));
}

async function groupPath(host: Host, found: Found): Promise<string | null> {
  if (found.group === null) return null;
  const noiommu = `${GROUPS}noiommu-${found.group}`;
  const names = (await host.list(GROUPS.slice(0, -1))) ?? [];
  if (names.includes(found.group)) return `${GROUPS}${found.group}`;
  return names.includes(`noiommu-${found.group}`) ? noiommu : null;
}

const isVfio = (found: Found): boolean => found.driver !== null && /vfio|mdev|mtty|mdpy|mbochs/.test(found.driver);

function unbound(found: Found, way: Way): TraceError {
  const { name, driver } = found;
  const bind =
    found.bus === 'pci'
      ? `modprobe vfio-pci; ${driver ? `echo ${name} >/sys/bus/pci/devices/${name}/driver/unbind; ` : ''}echo vfio-pci >/sys/bus/pci/devices/${name}/driver_override; echo ${name} >/sys/bus/pci/drivers_probe`
      : `bind it to its VFIO driver (see /sys/bus/${found.bus}/drivers)`;
  if (driver && isVfio(found) && way === 'cdev')
    return failed(
      `${name} is bound to ${driver}, but this kernel gives it no ${CDEVS}: it needs CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD (Linux 6.6 or later)`,
    );
  return failed(
    `${name} is ${driver ? `bound to ${driver}` : 'bound to no driver'}, not to vfio-pci: run as root \`${bind}\``,
  );
}

/** One sentence on why a VFIO path cannot be opened, with the command that would mend it. */
export function mend(path: string, why: number): string {
  switch (why) {
    case EBUSY:
      return `${path} is in use by another program: \`fuser -v ${path}\` as root tells which; end it first`;
    case EACCES:
    case EPERM:
      return `no permission to open ${path}: run \`sudo chown $USER ${path}\`, or replay as root`;
    case ENOENT:
    case ENODEV:
    case ENXIO:
      if (path === IOMMUFD)
        return `this kernel has no ${path}: run \`modprobe iommufd\`; it needs CONFIG_IOMMUFD (Linux 6.2 or later)`;
      return `this kernel has no ${path}: run \`modprobe vfio-pci\` (or vfio for mdev devices); it needs CONFIG_VFIO`;
    default:
      return `${path} cannot be opened: ${errnoName(why)}; \`dmesg | tail\` may say why`;
  }
}

/** Checks the paths that are no device's. */
export async function checkCommon(host: Host, used: ReadonlySet<string>): Promise<void> {
  for (const path of [VFIO, IOMMUFD]) {
    if (!used.has(path)) continue;
    const why = await host.openable(path);
    if (why !== 0) throw failed(mend(path, why));
  }
}
