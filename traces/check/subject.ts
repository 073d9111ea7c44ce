// A recorded trace as what is judged.

import { type MmioMode, mmioModes } from '../../schema/event.ts';
import { eventLine } from '../format/line.ts';
import { Names } from '../names.ts';
import type { Trace } from '../trace.ts';
import type { Subject } from './check.ts';

export function subjectOf(trace: Trace): Subject {
  const names = new Names(trace);
  const { meta } = trace;
  const mmio = String(meta.get('mmio') ?? '');
  return {
    name: trace.path,
    events: trace.events(),
    line: (event) => eventLine(event, names),
    deviceName: (handle) => trace.handles.get(trace.resolve(handle))?.name ?? '',
    mmio: mmio in mmioModes ? (mmio as MmioMode) : null,
    lost: Number(meta.get('lost') ?? 0),
  };
}
