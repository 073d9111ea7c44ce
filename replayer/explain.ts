// Why a call may have gone otherwise than recorded: the state of its device just before, and what last changed the
// call's inputs. All of it is read out of the trace, only once there is a divergence.

import { type Leaf, leaves } from '../schema/decode.ts';
import { irqSetFlags, vfio_irq_set } from '../schema/device.ts';
import { ops } from '../schema/event.ts';
import type { TraceEvent } from '../traces/event.ts';
import { callText } from '../traces/format/line.ts';
import type { Names } from '../traces/names.ts';
import { everything } from '../traces/range.ts';
import { StateTracker } from '../traces/states.ts';
import type { Trace } from '../traces/trace.ts';
import type { Explanation } from './verdict.ts';

const LISTED = 6;

export function explain(trace: Trace, id: number, names: Names): Explanation {
  const event = trace.event(id);
  if (!event) return { state: [], inputs: [] };
  const fold = new Fold(trace, deviceOf(trace, event), names);
  for (const e of trace.events({ ...everything, last: id - 1, conditions: [onControl] })) fold.feed(e);
  return { state: fold.lines(), inputs: inputsOf(trace, event, names, fold) };
}

/** Everything but region accesses and streams. */
const onControl = {
  sql: `s.op NOT IN (${ops.pread}, ${ops.pwrite}, ${ops.read}, ${ops.write}, ${ops.load}, ${ops.store})`,
  params: [],
};

/** Handle of the device that the call is about, 0 none. */
function deviceOf(trace: Trace, e: TraceEvent): number {
  if (e.kind === 'device') return e.handle;
  const parent = trace.handles.get(e.handle)?.parent;
  if (parent && e.kind === 'data') return trace.resolve(parent);
  return 0;
}

class Fold {
  readonly #trace: Trace;
  readonly #device: number;
  readonly #names: Names;
  readonly #states: StateTracker;
  readonly #irqs = new Map<number, string>();
  #maps = 0;
  #mapped = 0n;
  /** The last successful call that changed the device. */
  change: TraceEvent | undefined;

  constructor(trace: Trace, device: number, names: Names) {
    this.#trace = trace;
    this.#device = device;
    this.#names = names;
    this.#states = new StateTracker(
      trace,
      trace.regions.filter((r) => names.isMigration(r.handle, r.index)),
    );
  }

  feed(e: TraceEvent): void {
    this.#states.feed(e);
    if (e.op !== 'ioctl' || e.ret === null || e.ret < 0) return;
    const name = e.call?.name;
    if (name === 'VFIO_IOMMU_MAP_DMA' || name === 'IOMMU_IOAS_MAP') this.#size(e, 1);
    if (name === 'VFIO_IOMMU_UNMAP_DMA' || name === 'IOMMU_IOAS_UNMAP') this.#size(e, -1);
    if (e.handle !== this.#device) return;
    if (name === 'VFIO_DEVICE_SET_IRQS') this.#irq(e);
    if (name && !/_GET_|FEATURE/.test(name)) this.change = e;
    if (e.feature !== null && e.feature & 0x20000) this.change = e;
  }

  #size(e: TraceEvent, sign: 1 | -1): void {
    const layout = e.call?.arg.kind === 'struct' ? e.call.arg.layout : undefined;
    const bytes = sign > 0 ? e.input : (e.output ?? e.input);
    if (!layout || !bytes) return;
    for (const l of leaves(layout, bytes))
      if (l.path === 'size' || l.path === 'length')
        if (l.field.means === 'value') this.#mapped += BigInt(sign) * BigInt(l.value);
    this.#maps += sign;
  }

  #irq(e: TraceEvent): void {
    const get = (path: string, all: Leaf[]): number => Number(all.find((l) => l.path === path)?.value ?? 0);
    if (!e.input) return;
    const all = [...leaves(vfio_irq_set, e.input)];
    const [index, flags, count, start] = [get('index', all), get('flags', all), get('count', all), get('start', all)];
    if (!(flags & irqSetFlags.ACTION_TRIGGER)) return;
    if (flags & irqSetFlags.DATA_NONE && count === 0) this.#irqs.delete(index);
    if (!(flags & irqSetFlags.DATA_EVENTFD)) return;
    const fds = all.filter((l) => l.path.startsWith('data[')).map((l) => Number(l.value));
    this.#irqs.set(
      index,
      `IRQ index ${index}: vectors ${start} to ${start + count - 1} on fds ${fds.join(', ')} (event ${e.id})`,
    );
  }

  lines(): string[] {
    const out: string[] = [];
    if (this.#device !== 0) {
      const state = this.#states.protocol(this.#device) === null ? null : this.#states.state(this.#device);
      out.push(`device ${this.#names.handle(this.#device)}${state ? `, migration state ${state}` : ''}`);
      out.push(...this.#irqs.values());
    }
    const { handles } = this.#trace;
    if (handles.size > 0 && this.#maps > 0)
      out.push(`${this.#maps} mapping${this.#maps === 1 ? '' : 's'} in the IOMMU, ${this.#mapped} bytes`);
    return out;
  }
}

function inputsOf(trace: Trace, e: TraceEvent, names: Names, fold: Fold): string[] {
  const out: string[] = [];
  const tell = (what: string, by: TraceEvent | undefined): void => {
    if (by && by.id !== e.id) out.push(`${what} event ${by.id}: ${callText(by, names)}`);
  };
  if (e.region !== null && e.a !== null) {
    const write = lastWrite(trace, e);
    tell('last written by', write);
    if (!write) out.push('nothing wrote to it before');
  }
  tell('last change of the device by', fold.change);
  const opened = trace.handles.get(e.handle)?.opened;
  if (opened) tell('its descriptor was made by', trace.event(opened));
  const layout = e.call?.arg.kind === 'struct' ? e.call.arg.layout : undefined;
  if (layout && e.input)
    for (const l of leaves(layout, e.input))
      if (l.field.means === 'fd' && l.field.dir !== 'out' && Number(l.value) >= 0)
        out.push(`${l.path} is ${names.fd(e.process, Number(l.value), e.id)}`);
  return out.slice(0, LISTED);
}

function lastWrite(trace: Trace, e: TraceEvent): TraceEvent | undefined {
  const family = [...trace.handles.keys()].filter((h) => trace.resolve(h) === e.handle);
  if (family.length === 0) family.push(e.handle);
  const [row] = trace.select(
    `SELECT e.id FROM event e JOIN site s ON s.id = e.site WHERE s.handle IN (${family.map(() => '?').join(', ')})
     AND s.region = ? AND s.op IN (${ops.pwrite}, ${ops.store}) AND e.a < ? AND e.a + s.length > ? AND e.id < ?
     ORDER BY e.id DESC LIMIT 1`,
    ...family,
    e.region ?? 0,
    Number(e.a ?? 0n) + (e.length ?? 0),
    Number(e.a ?? 0n),
    e.id,
  );
  return row ? trace.event(Number(row.id)) : undefined;
}
