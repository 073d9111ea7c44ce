// One call as a JSON object. Numbers of 64 bits are strings in hexadecimal, so that no reader rounds them.

import { decode } from '../../schema/decode.ts';
import { FEATURE_MASK } from '../../schema/device.ts';
import { errnoName } from '../../schema/errno.ts';
import { features } from '../../schema/features.ts';
import type { TraceEvent } from '../event.ts';
import type { Names } from '../names.ts';
import { callText } from './line.ts';
import { hex } from './scalar.ts';

/** What JSON.stringify needs to take bigints and bytes. */
export const jsonValue = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? hex(value) : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;

function argument(e: TraceEvent, bytes: Buffer | null): unknown {
  if (!bytes) return undefined;
  const arg = e.call?.arg;
  if (e.op === 'ioctl' && arg?.kind === 'struct') return decode(arg.layout, bytes);
  if (e.op === 'open' || arg?.kind === 'string') return bytes.toString('utf8').replace(/\0.*$/s, '');
  return bytes.toString('hex');
}

export function eventObject(e: TraceEvent, names: Names): Record<string, unknown> {
  const feature = e.feature === null ? undefined : e.feature & FEATURE_MASK;
  const memory = e.memory.map((m) => ({ at: m.at, phase: m.phase, total: m.total, bytes: m.bytes?.toString('hex') }));
  return {
    id: e.id,
    t: e.t,
    dur: e.dur,
    pid: e.pid,
    tid: e.tid,
    op: e.op,
    name: e.call?.name ?? (e.op === 'ioctl' ? hex(e.request ?? 0) : e.op),
    ...(feature === undefined ? {} : { feature: features.find((f) => f.id === feature)?.name ?? feature }),
    kind: e.kind,
    fd: e.fd,
    handle: e.handle,
    device: names.handle(e.handle) || undefined,
    ...(e.region === null ? {} : { region: names.region(e.handle, e.region) }),
    offset: e.a === null ? undefined : hex(e.a),
    length: e.length ?? undefined,
    ret: e.ret,
    error: e.ret !== null && e.ret < 0 ? errnoName(-e.ret) : undefined,
    value: e.val === null ? undefined : hex(e.val),
    input: argument(e, e.input),
    output: argument(e, e.output),
    ...(memory.length > 0 ? { memory } : {}),
    made: e.made || undefined,
    text: callText(e, names),
  };
}

export const jsonLine = (value: unknown): string => `${JSON.stringify(value, jsonValue)}\n`;
