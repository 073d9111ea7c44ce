// Bytes read through a layout. A short buffer gives the fields that are whole; nothing here throws on the bytes' content.

import { FEATURE_MASK, featureOps } from './device.ts';
import { type Feature, features } from './features.ts';
import { type Field, type Length, type Placed, type Scalar, type Struct, type When, widths } from './layout.ts';

export type Value = number | bigint | Value[] | { readonly [name: string]: Value };
export type Decoded = Record<string, Value>;

/** A field that was found, with its place: what compare, rename and show walk over. `path` is dotted. */
export interface Leaf {
  readonly path: string;
  readonly at: number;
  readonly field: Field;
  readonly value: number | bigint;
}

function scalarAt(view: DataView, at: number, type: Scalar): number | bigint {
  switch (type) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, true);
    case 'u32':
      return view.getUint32(at, true);
    case 's32':
      return view.getInt32(at, true);
    case 'u64':
      return view.getBigUint64(at, true);
    case 's64':
      return view.getBigInt64(at, true);
    default:
      return type satisfies never;
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function holds(when: When | undefined, seen: Map<string, number | bigint>): boolean {
  if (!when) return true;
  return (Number(seen.get(when.field) ?? 0) & when.mask) === when.equals;
}

/** Data of a feature call by its flags, undefined for an unknown feature. */
export const featureOf = (flags: number): Feature | undefined => features.find((f) => f.id === (flags & FEATURE_MASK));

/** Every field of `layout` in `bytes` from `base` on, tails and capabilities included. */
export function* leaves(layout: Struct, bytes: Uint8Array, base = 0, prefix = ''): Generator<Leaf> {
  const view = viewOf(bytes);
  const seen = new Map<string, number | bigint>();
  for (const f of layout.fields) yield* field(f, base, prefix);
  for (const tail of layout.tails) {
    if (tail.kind === 'feature') {
      const flags = Number(seen.get('flags') ?? 0);
      const data = featureOf(flags)?.data;
      // MIGRATION and DMA_BUF have `flags` of their own.
      const clash = data?.fields.some((f) => layout.fields.some((o) => o.name === f.name));
      const inner = `${prefix}${clash ? 'data.' : ''}`;
      if (data && !(flags & featureOps.PROBE)) yield* leaves(data, bytes, base + layout.size, inner);
    } else if (holds(tail.when, seen)) {
      if (tail.kind === 'struct') yield* leaves(tail.layout, bytes, base + layout.size, `${prefix}${tail.name}.`);
      else if (tail.kind === 'array')
        yield* array(tail.name, tail.of, Number(seen.get(tail.count) ?? 0), base + layout.size);
      else yield* caps(Number(seen.get(tail.first) ?? 0), tail.table);
    }
  }

  function* field(f: Placed, from: number, pre: string): Generator<Leaf> {
    const width = widths[f.type];
    for (let i = 0; i < (f.count ?? 1); i++) {
      const at = from + f.at + i * width;
      if (at + width > bytes.byteLength) return;
      const value = scalarAt(view, at, f.type);
      if (f.count === undefined) seen.set(f.name, value);
      yield { path: f.count === undefined ? pre + f.name : `${pre}${f.name}[${i}]`, at, field: f, value };
    }
  }

  function* array(name: string, of: Struct | Field, count: number, from: number): Generator<Leaf> {
    const width = 'kind' in of ? of.size : widths[of.type];
    for (let i = 0; i < count && from + (i + 1) * width <= bytes.byteLength; i++) {
      const at = from + i * width;
      if ('kind' in of) yield* leaves(of, bytes, at, `${prefix}${name}[${i}].`);
      else yield { path: `${prefix}${name}[${i}]`, at, field: of, value: scalarAt(view, at, of.type) };
    }
  }

  function* caps(first: number, table: Readonly<Record<number, Struct>>): Generator<Leaf> {
    const visited = new Set<number>(); // a hostile chain may loop
    for (
      let at = first;
      at >= layout.size && at + 8 <= bytes.byteLength && !visited.has(at);
      at = view.getUint32(base + at + 4, true)
    ) {
      visited.add(at);
      const id = view.getUint16(base + at, true);
      const cap = table[id];
      const pre = `${prefix}${cap?.name ?? `cap${id}`}.`;
      const header: Field = { type: 'u16', dir: 'out', means: 'value' };
      yield { path: `${pre}version`, at: base + at + 2, field: header, value: view.getUint16(base + at + 2, true) };
      if (cap) yield* leaves(cap, bytes, base + at + 8, pre);
    }
  }
}

/** The same as one object, nested by the paths' dots and brackets. */
export function decode(layout: Struct, bytes: Uint8Array): Decoded {
  const root: Decoded = {};
  for (const leaf of leaves(layout, bytes)) {
    const keys = leaf.path.split(/[.[\]]+/).filter(Boolean);
    let here: Record<string, unknown> = root;
    keys.forEach((key, i) => {
      if (i === keys.length - 1) here[key] = leaf.value;
      else {
        here[key] ??= /^\d+$/.test(keys[i + 1] ?? '') ? [] : {};
        here = here[key] as Record<string, unknown>;
      }
    });
  }
  return root;
}

/** Bytes behind a pointer whose fields are in `get`. */
export function lengthOf(length: Length, get: (field: string) => number | bigint): number {
  if ('mul' in length) return length.mul.reduce<number>((n, x) => n * Number(typeof x === 'string' ? get(x) : x), 1);
  const page = BigInt(get(length.bitmap.page));
  if (page === 0n) return 0;
  const pages = (BigInt(get(length.bitmap.length)) + page - 1n) / page;
  return Number((pages + 63n) / 64n) * 8;
}
