// Calls that a trace cannot answer, and for the first of them the nearest recorded calls with the reasons why not.

import type { FdKind } from '../../schema/kinds.ts';
import { callOf } from '../../schema/surface.ts';
import type { FieldDifference } from '../../traces/compare.ts';
import type { TraceEvent } from '../../traces/event.ts';
import { callText } from '../../traces/format/line.ts';
import { Names } from '../../traces/names.ts';
import type { CallerMemory } from '../emulator/caller.ts';
import { fail } from '../emulator/failed.ts';
import { type Call, whyNot } from './asked-event.ts';
import type { Remark } from './machine.ts';
import type { Recording } from './recording.ts';

/** How many are told in full, and with how many candidates. */
const TOLD = 5;
const CANDIDATES = 3;

export class Misses {
  private readonly recording: Recording;
  private readonly names: Names;
  /** Tells at once: a program that gets no answer may wait for ever. */
  private readonly say: (text: string) => void;
  private told = 0;
  private readonly paths = new Set<string>();
  private unanswered = 0;
  private outOfOrder = 0;
  private withoutBytes = 0;

  constructor(recording: Recording, say: (text: string) => void) {
    this.recording = recording;
    this.say = say;
    this.names = new Names(recording.trace);
  }

  open(path: string): void {
    if (this.paths.has(path)) return;
    this.paths.add(path);
    const devices = [...this.recording.opens.keys()].join(', ') || 'none';
    if (this.recording.opens.has(path)) this.say(`the program opened ${path} more often than the trace did`);
    else this.say(`the program asks for ${path}, which is not in the trace (it has: ${devices})`);
  }

  /** Bytes that the recording did not keep cannot be given back. */
  unkept(_e: TraceEvent): never {
    this.withoutBytes++;
    return fail('EIO');
  }

  /** `helped`: it was answered by a recorded call that was not its turn. */
  call(memory: CallerMemory, handle: number, call: Call, helped: TraceEvent | undefined): void {
    if (helped) this.outOfOrder++;
    else this.unanswered++;
    if (this.told++ >= TOLD) return;
    const near = this.nearest(memory, handle, call);
    const what = `${this.names.handle(handle)}: ${describe(call, this.recording.trace.handles.get(handle)?.kind ?? 'unknown')}`;
    const verdict = helped ? `was answered by event ${helped.id}, out of order` : 'has no answer in the trace';
    const lines = near.map(({ e, why }) => `    event ${e.id} ${callText(e, this.names)}: ${reasons(why)}`);
    this.say([`${what} ${verdict}; nearest:`, ...(lines.length > 0 ? lines : ['    none on this file'])].join('\n'));
  }

  /** Calls that the trace expects next on this file, and those of the same kind. */
  private nearest(
    memory: CallerMemory,
    handle: number,
    call: Call,
  ): { e: TraceEvent; why: readonly FieldDifference[] }[] {
    const lane = this.recording.lanes.get(handle);
    if (!lane) return [];
    const { used, trace } = this.recording;
    const next = [...lane.queues.values()].flatMap((q) =>
      q.ids
        .slice(q.next)
        .filter((id) => !used.has(id))
        .slice(0, 1),
    );
    const alike = [...lane.byKey.values()]
      .flatMap((k) => k.ids.slice(k.next, k.next + 1))
      .map((id) => trace.event(id))
      .filter((e) => e !== undefined && e.op === call.op && e.request === call.request)
      .map((e) => (e as TraceEvent).id);
    return [...new Set([...next, ...alike])]
      .map((id) => trace.event(id))
      .filter((e): e is TraceEvent => e !== undefined)
      .map((e) => ({ e, why: this.why(memory, call, e) }))
      .sort((a, b) => a.why.length - b.why.length)
      .slice(0, CANDIDATES);
  }

  private why(memory: CallerMemory, call: Call, e: TraceEvent): readonly FieldDifference[] {
    const is = (field: string, expected: string, actual: string): FieldDifference[] =>
      expected === actual ? [] : [{ field, expected, actual }];
    if (plainOp(e.op) !== call.op) return is('call', e.op, call.op);
    if (e.request !== call.request) return is('request', hex(e.request), hex(call.request));
    const place = [
      ...(call.op === 'ioctl'
        ? is('feature', hex(e.feature), hex(call.feature))
        : [
            ...is('offset', hex(this.recording.fileOffset(e)), hex(call.offset)),
            ...is('length', `${e.length}`, `${call.length}`),
          ]),
    ];
    const comparable = call.op !== 'ioctl' || e.feature === call.feature;
    const content = comparable ? whyNot(call, memory, e).differences : [];
    if (place.length === 0 && content.length === 0)
      return [{ field: 'turn', expected: 'another call first', actual: 'it' }];
    return [...(call.op === 'mmap' || call.op === 'read' || call.op === 'write' ? [] : place), ...content];
  }

  report(): Remark[] {
    const remarks: Remark[] = [];
    const add = (text: string, failed = true): void => void remarks.push({ text, failed });
    if (this.paths.size > 0) add(`${this.paths.size} paths that the trace could not open`);
    if (this.told > 0)
      add(
        `${this.unanswered} calls had no answer in the trace, ${this.outOfOrder} were answered out of order; the first ${Math.min(TOLD, this.told)} were told above`,
      );
    if (this.withoutBytes > 0)
      add(`${this.withoutBytes} reads whose bytes were not kept by the recording (record with --payload=full)`);
    const unused = this.recording.ids.length - this.recording.used.size;
    if (unused > 0) add(`${unused} of ${this.recording.ids.length} recorded calls were not made by the program`, false);
    if (this.recording.dmaMaps > 0 && this.recording.dmaPages === 0 && this.recording.trace.meta.get('dma') !== 'pages')
      add(
        'the program mapped memory for DMA: what the device wrote there is not in the trace (record with --dma=pages), and was not written now',
        false,
      );
    if (this.recording.unseenMaps > 0)
      add(
        `the trace has ${this.recording.unseenMaps} mapped regions whose loads and stores it cannot answer: record with --mmio=hide or trap`,
        false,
      );
    return remarks;
  }
}

/** A load is asked for as a read. */
const plainOp = (op: string): string => (op === 'load' ? 'pread' : op === 'store' ? 'pwrite' : op);
const hex = (n: number | bigint | null): string => (n === null ? 'none' : `0x${n.toString(16)}`);
const reasons = (why: readonly FieldDifference[]): string =>
  why.map((d) => `${d.field}: recorded ${d.expected}, asked ${d.actual}`).join('; ');

function describe(call: Call, kind: FdKind): string {
  switch (call.op) {
    case 'ioctl':
      return `ioctl ${callOf(kind, call.request ?? 0)?.name ?? hex(call.request)}${call.feature === null ? '' : ` with flags ${hex(call.feature)}`}`;
    case 'pwrite':
    case 'write':
      return `${call.op} ${call.length} bytes${call.offset === null ? '' : ` at ${hex(call.offset)}`}: ${call.bytes?.subarray(0, 16).toString('hex')}`;
    default:
      return `${call.op} ${call.length ?? ''} bytes${call.offset === null ? '' : ` at ${hex(call.offset)}`}`;
  }
}
