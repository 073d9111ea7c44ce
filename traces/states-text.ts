// `states`: each device's migration state over time.

import { jsonLine } from './format/json.ts';
import { errorText } from './format/scalar.ts';
import type { Io } from './io.ts';
import { Names } from './names.ts';
import { Progress } from './progress.ts';
import { parseRange } from './range.ts';
import { type DeviceStates, deviceStates, type Stay } from './states.ts';
import { type Cell, tableText } from './table.ts';
import { openTrace } from './trace.ts';

export interface StatesOptions {
  readonly path: string;
  readonly range: readonly (string | number)[];
  readonly json: boolean;
}

export function states(options: StatesOptions, io: Io): void {
  const trace = openTrace(options.path);
  try {
    const names = new Names(trace);
    const progress = new Progress(io, 'following states', trace.count());
    const devices = deviceStates(trace, parseRange(options.range), (event) => progress.update(event));
    progress.end();
    if (options.json) {
      for (const d of devices) io.out(jsonLine({ name: names.handle(d.device), ...d }));
      return;
    }
    if (devices.length === 0) io.out('No device was opened, and none said its migration state.\n');
    io.out(devices.map((d) => deviceText(d, names)).join('\n'));
  } finally {
    trace.close();
  }
}

function deviceText(d: DeviceStates, names: Names): string {
  const protocol = d.protocol === null ? 'its migration state was never asked for' : `migration protocol ${d.protocol}`;
  const rows = d.stays.map((s): Cell[] => [
    s.event,
    (s.t / 1e9).toFixed(6),
    s.to ?? 'unknown',
    s.lasted === null ? 'to the end' : duration(s.lasted),
    bytes(s.bytesRead),
    bytes(s.bytesWritten),
    `${s.pid}${s.tid === s.pid ? '' : `/${s.tid}`}`,
    howText(s),
    s.dur === null ? 'never returned' : duration(s.dur),
  ]);
  const columns = ['event', 'seconds', 'state', 'for', 'read', 'written', 'pid', 'call', 'took'];
  return `${names.handle(d.device) || `handle ${d.device}`}: ${protocol}\n${tableText(columns, rows)}`;
}

function howText(s: Stay): string {
  switch (s.how) {
    case 'open':
      return 'opened';
    case 'reset':
      return 'VFIO_DEVICE_RESET';
    case 'get':
      return s.protocol === 'v1' ? 'read device_state' : 'GET';
    case 'set': {
      const result = s.ret === null ? ' never returned' : s.ret < 0 ? ` = ${errorText(s.ret)}` : '';
      return `${s.protocol === 'v1' ? 'write' : 'SET'} ${s.asked ?? '?'}${result}`;
    }
    default:
      return s.how satisfies never;
  }
}

export function duration(ns: number): string {
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e9).toFixed(2)} s`;
}

export function bytes(n: number): string {
  if (n === 0) return '';
  if (n < 10_000) return `${n} B`;
  return n < 1e7 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`;
}
