// A matrix as a list of cells, each a kernel to boot with the trace's devices; any engine can run one by its number.

import { existsSync } from 'node:fs';
import { TraceError } from '../../schema/errors.ts';
import type { Trace } from '../../traces/trace.ts';
import { modelOf } from './models.ts';

export interface Cell {
  readonly index: number;
  /** 6.1, 6.12, 7.2 (Debian's own), lab (ours, with cdev, iommufd and mtty), or the path of a bzImage. */
  readonly kernel: string;
  /** QEMU arguments. */
  readonly devices: readonly string[];
  /** Commands that ready the devices in the guest, one a line. */
  readonly prepare: readonly string[];
  /** recorded=here, for devices that stand elsewhere in the guest. */
  readonly map: readonly string[];
}

export const STOCK = ['6.1', '6.12', '7.2', 'lab'] as const;
export const isStock = (kernel: string): boolean => (STOCK as readonly string[]).includes(kernel);

/** What `devices` in a trace's context says of each (recorder/). */
interface Described {
  readonly vendor?: unknown;
  readonly device?: unknown;
  readonly bus?: unknown;
}

const EDU = '0000:00:04.0'; // where boot.sh puts it
const MTTY = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002'; // the mdev that mtty.sh creates
const id = (x: unknown): number => (typeof x === 'number' ? x : Number.parseInt(String(x), 16));

/** `arguments_`: the user's -device arguments, instead of those found by the trace's PCI ids. */
export function cellsOf(trace: Trace, kernels: readonly string[], arguments_: readonly string[]): Cell[] {
  if (kernels.length === 0) throw new TraceError('USAGE', 'name kernels with --kernels, such as 6.1,6.12,7.2');
  for (const k of kernels) {
    if (!isStock(k) && !existsSync(k)) {
      throw new TraceError('USAGE', `kernel "${k}" is neither one of ${STOCK.join(', ')} nor a file`);
    }
  }
  const setup = devicesOf(trace, arguments_);
  return kernels.map((kernel, index) => ({ index, kernel, ...setup }));
}

function devicesOf(trace: Trace, arguments_: readonly string[]): Pick<Cell, 'devices' | 'prepare' | 'map'> {
  const described = trace.context('devices');
  const entries = Object.entries((described ?? {}) as Record<string, Described>);
  if (entries.length === 0)
    throw new TraceError('USAGE', `${trace.path} names no device; give --device and record it anew`);
  const [devices, prepare, map]: [string[], string[], string[]] = [[], [], []];
  entries.forEach(([name, d], i) => {
    const isMdev = /^[0-9a-f]{8}-/.test(name);
    const model = isMdev ? undefined : modelOf(id(d.vendor), id(d.device));
    const given = arguments_[i];
    if (isMdev) {
      prepare.push('test/vm/mtty.sh');
      if (name !== MTTY) map.push(`${name}=${MTTY}`);
    } else if (model?.argument === null && given === undefined) {
      prepare.push(`test/vm/bind.sh ${EDU}`);
      if (name !== EDU) map.push(`${name}=${EDU}`);
    } else {
      const argument = given ?? model?.argument;
      if (!argument) throw new TraceError('USAGE', `no QEMU device is known for ${name}; name one with --device`);
      const slot = /(?:^|,)addr=([0-9a-f.]+)/.exec(argument)?.[1];
      const own = slot ?? `0${5 + i}.0`;
      const here = `0000:00:${own}`;
      devices.push('-device', slot ? argument : `${argument},addr=${own}`);
      prepare.push(`test/vm/bind.sh ${here}`);
      if (name !== here) map.push(`${name}=${here}`);
    }
  });
  return { devices, prepare, map };
}
