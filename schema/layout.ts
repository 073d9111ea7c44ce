// The words in which a kernel structure is written down: fields with width, direction and meaning, tails, pointers.
// A layout is data. decode.ts reads bytes through it, generate.ts prints it for C.

export type Scalar = 'u8' | 'u16' | 'u32' | 'u64' | 's32' | 's64';
export type Dir = 'in' | 'out' | 'inout';

/**
 * What a field's number stands for when the call is made again elsewhere.
 * - value: the same number is expected
 * - argsz: size of the caller's buffer (grows with the header's version; never compared)
 * - fd / object: a number the kernel handed out; renamed (`of` says the kind)
 * - iova: stays as it is
 * - address: a pointer into the process that made the call; fresh memory of the same size stands for it
 * - pointer: an address whose memory the kernel reads or writes during the call (`to`)
 * - counter, time: moves by itself; compared only when asked for
 * - reserved: padding
 */
export type Means =
  | 'value'
  | 'argsz'
  | 'fd'
  | 'object'
  | 'iova'
  | 'address'
  | 'pointer'
  | 'counter'
  | 'time'
  | 'reserved';

/** What iommufd calls an object id names. */
export type ObjectType =
  | 'ioas'
  | 'hwpt'
  | 'pt'
  | 'device'
  | 'fault'
  | 'viommu'
  | 'vdevice'
  | 'veventq'
  | 'hw_queue'
  | 'any';

/** Names of bits, with the prefix that the header writes before each. `mask` fields hold an enum inside the flags. */
export interface Bits {
  readonly prefix: string;
  readonly bits: Readonly<Record<string, number>>;
}
/** Names of whole values. */
export interface Values {
  readonly prefix: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Bytes behind a pointer: a product of fields and numbers, or a dirty bitmap's: ceil(length / page / 64) * 8. */
export type Length =
  | { readonly mul: readonly (string | number)[] }
  | { readonly bitmap: { readonly length: string; readonly page: string } };

export interface When {
  readonly field: string;
  readonly mask: number;
  readonly equals: number;
}

export interface PointerTo {
  readonly dir: Dir;
  readonly length: Length;
  readonly of?: Struct | Scalar;
  readonly when?: When;
  /** The kernel only sets bits in it, so what was there before matters (linux/vfio.h, DMA_LOGGING_REPORT). */
  readonly ored?: boolean;
}

export interface FieldOptions {
  readonly means?: Means;
  readonly of?: string;
  readonly to?: PointerTo;
  readonly names?: Bits | Values;
  /** Array of this many elements. */
  readonly count?: number;
  /** First kernel whose header has the field. */
  readonly since?: string;
  /** Printed in hexadecimal. */
  readonly hex?: boolean;
}
export interface Field extends FieldOptions {
  readonly type: Scalar;
  readonly dir: Dir;
  readonly means: Means;
}

/** What follows the fixed part. */
export type Tail =
  | { readonly kind: 'struct'; readonly name: string; readonly layout: Struct; readonly when?: When }
  | {
      readonly kind: 'array';
      readonly name: string;
      readonly of: Struct | Field;
      readonly count: string;
      readonly when?: When;
    }
  | {
      readonly kind: 'caps';
      readonly first: string;
      readonly table: Readonly<Record<number, Struct>>;
      readonly when?: When;
    }
  | { readonly kind: 'feature' };

export interface Placed extends Field {
  readonly name: string;
  readonly at: number;
  readonly size: number;
}
export interface Struct {
  readonly kind: 'struct';
  readonly name: string;
  /** Bytes of the fixed part, as in the 7.2 header; a tail starts here. */
  readonly size: number;
  readonly fields: readonly Placed[];
  readonly tails: readonly Tail[];
}

export const widths: Readonly<Record<Scalar, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, s32: 4, s64: 8 };

const scalar =
  (type: Scalar) =>
  (dir: Dir, options: FieldOptions = {}): Field => ({ means: 'value', ...options, type, dir });
export const u8 = scalar('u8');
export const u16 = scalar('u16');
export const u32 = scalar('u32');
export const u64 = scalar('u64');
export const s32 = scalar('s32');
export const s64 = scalar('s64');

export const argsz: FieldOptions = { means: 'argsz' };
export const reserved: FieldOptions = { means: 'reserved' };
export const iova: FieldOptions = { means: 'iova', hex: true };
export const address: FieldOptions = { means: 'address', hex: true };
export const counter: FieldOptions = { means: 'counter' };
export const hex: FieldOptions = { hex: true };
export const fd = (of: string): FieldOptions => ({ means: 'fd', of });
export const object = (of: ObjectType): FieldOptions => ({ means: 'object', of });
export const pointer = (to: PointerTo): FieldOptions => ({ means: 'pointer', to, hex: true });
export const bits = (prefix: string, names: Record<string, number>): FieldOptions => ({
  names: { prefix, bits: names },
  hex: true,
});
export const values = (prefix: string, names: Record<string, number>): FieldOptions => ({
  names: { prefix, values: names },
});

/** Lays the fields out with C's natural alignment. `size` overrides where the header's fixed part ends in a flexible array. */
export function struct(name: string, fields: Record<string, Field>, tails: readonly Tail[] = []): Struct {
  let at = 0;
  const placed = Object.entries(fields).map(([fieldName, field]): Placed => {
    const width = widths[field.type];
    at = Math.ceil(at / width) * width;
    const p = { ...field, name: fieldName, at, size: width * (field.count ?? 1) };
    at += p.size;
    return p;
  });
  return { kind: 'struct', name, size: at, fields: placed, tails };
}

export function fieldOf(layout: Struct, name: string): Placed {
  const found = layout.fields.find((f) => f.name === name);
  if (!found) throw new Error(`${layout.name} has no field ${name}`);
  return found;
}
