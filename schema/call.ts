// What an ioctl is: a request number on a kind of descriptor, with its argument's layout.

import type { FdKind } from './kinds.ts';
import type { Field, Struct } from './layout.ts';

export type Arg =
  | { readonly kind: 'none' }
  /** The argument is the number itself. */
  | { readonly kind: 'value'; readonly field: Field }
  /** Pointer to a NUL-terminated string of at most `max` bytes with the NUL. */
  | { readonly kind: 'string'; readonly max: number }
  /** Pointer to one scalar. */
  | { readonly kind: 'scalar'; readonly field: Field }
  /** Pointer to a structure whose first u32 (`argsz`, iommufd: `size`) is the caller's buffer size. */
  | { readonly kind: 'struct'; readonly layout: Struct }
  /** The same, not decoded: kept as bytes. */
  | { readonly kind: 'raw' };

export interface Call {
  readonly name: string;
  /** `spapr` stands for a container set to an sPAPR IOMMU: those requests clash with type1's. */
  readonly kind: FdKind | 'spapr';
  readonly nr: number;
  readonly arg: Arg;
  /** Least argsz that the kernel takes. */
  readonly min: number;
  /** A new descriptor: in the return value, or in the field named. */
  readonly makes?: { readonly kind: FdKind; readonly at: 'ret' | string };
  /** First kernel of 6.1, 6.12, 7.2 that has it. */
  readonly since: '6.1' | '6.12' | '7.2';
}

export const TYPE = 0x3b; // ';' (linux/vfio.h: VFIO_TYPE, linux/iommufd.h: IOMMUFD_TYPE)
export const request = (nr: number): number => (TYPE << 8) | nr;
export const none: Arg = { kind: 'none' };
export const raw: Arg = { kind: 'raw' };
export const value = (field: Field): Arg => ({ kind: 'value', field });
export const scalar = (field: Field): Arg => ({ kind: 'scalar', field });
export const pointerTo = (layout: Struct): Arg => ({ kind: 'struct', layout });
