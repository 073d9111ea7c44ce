// The bytes that an act passes to ioctl(): a structure laid out by the schema, with names for descriptors and addresses.

import { type Call, request } from '../../schema/call.ts';
import { FEATURE_MASK, featureOps } from '../../schema/device.ts';
import { type Feature, features } from '../../schema/features.ts';
import { fieldOf, type Placed, type Struct, widths } from '../../schema/layout.ts';
import { calls } from '../../schema/surface.ts';
import type { Act, Fields, Value } from './scenario.ts';

export type IoctlAct = Extract<Act, { act: 'ioctl' }>;
export type Place = { readonly at: number; readonly value: Exclude<Value, number | bigint> };
export interface Argument {
  readonly call: Call;
  readonly request: number;
  /** Structure, string or scalar; null: none, or the number in `value`. */
  readonly bytes: Buffer | null;
  readonly value: bigint;
  /** Where descriptors and addresses go. */
  readonly places: readonly Place[];
  /** Feature flags of VFIO_DEVICE_FEATURE. */
  readonly feature: number | null;
}

function put(bytes: Buffer, at: number, size: number, value: bigint): void {
  for (let i = 0, rest = BigInt.asUintN(64, value); i < size; i++, rest >>= 8n) bytes[at + i] = Number(rest & 255n);
}

function fill(bytes: Buffer, layout: Struct, base: number, fields: Fields, places: Place[]): void {
  for (const [name, value] of Object.entries(fields)) {
    const f: Placed = fieldOf(layout, name);
    if (typeof value === 'object') places.push({ at: base + f.at, value });
    else put(bytes, base + f.at, f.size, BigInt(value));
  }
}

const callNamed = (name: string): Call => {
  const found = calls.find((c) => c.name === name && c.kind !== 'spapr');
  if (!found) throw new Error(`no call ${name}`);
  return found;
};
const featureNamed = (name: string): Feature => {
  const found = features.find((f) => f.name === name || String(f.id) === name);
  if (!found) throw new Error(`no feature ${name}`);
  return found;
};

export function argumentOf(act: IoctlAct): Argument {
  const [name = '', ops, what] = act.call.split(' ');
  const call = callNamed(name);
  const places: Place[] = [];
  const base = { call, request: request(call.nr), value: 0n, feature: null };
  switch (call.arg.kind) {
    case 'none':
      return { ...base, bytes: null, places };
    case 'value':
      return { ...base, bytes: null, value: BigInt(act.arg as number), places };
    case 'string':
      return { ...base, bytes: Buffer.from(`${act.arg}\0`), places };
    case 'scalar': {
      const bytes = Buffer.alloc(widths[call.arg.field.type]);
      if (typeof act.arg === 'object' && act.arg && 'ref' in act.arg)
        places.push({ at: 0, value: act.arg as Place['value'] });
      else put(bytes, 0, bytes.length, BigInt(act.arg as number));
      return { ...base, bytes, places };
    }
    case 'struct':
    case 'raw':
      break;
    default:
      call.arg satisfies never;
  }
  if (call.arg.kind !== 'struct') throw new Error(`${name} has no layout`);
  const { layout } = call.arg;
  const f = ops && what ? featureNamed(what) : null;
  const flags = (ops ?? '')
    .split('|')
    .reduce((n, op) => n | (featureOps[op as keyof typeof featureOps] ?? 0), f ? f.id & FEATURE_MASK : 0);
  const tail = act.tail ?? [];
  const tailStruct = layout.tails.find((t) => t.kind === 'struct');
  const inTail = tailStruct && tailStruct.kind === 'struct' && act.data && !f ? tailStruct.layout : null;
  const natural = layout.size + (f?.data?.size ?? 0) + (inTail?.size ?? 0) + tail.length * 4;
  const argsz = act.argsz ?? natural;
  const bytes = Buffer.alloc(Math.max(natural, argsz));
  put(bytes, 0, 4, BigInt(argsz));
  if (f) put(bytes, 4, 4, BigInt(flags));
  fill(bytes, layout, 0, (act.arg ?? {}) as Fields, places);
  if (f?.data && act.data) fill(bytes, f.data, layout.size, act.data, places);
  if (inTail && act.data) fill(bytes, inTail, layout.size, act.data, places);
  tail.forEach((v, i) => {
    const at = layout.size + 4 * i;
    if (typeof v === 'object') places.push({ at, value: v });
    else put(bytes, at, 4, BigInt(v));
  });
  // The recorder keeps argsz bytes of a structure.
  return { ...base, bytes: bytes.subarray(0, Math.max(argsz, 4)), places, feature: f ? flags : null };
}
