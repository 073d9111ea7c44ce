// A program as data: the calls it makes, in order, with names instead of descriptors and addresses. The same script runs
// on the emulator in this process, and (script.ts) as a real program under play or on a kernel.

import type { Level, Who } from '../../schema/rule.ts';
import type { RuleId } from '../../schema/rules.ts';

/** A descriptor, or an address in memory that the script made. */
export type Ref =
  | { readonly ref: 'fd'; readonly name: string }
  | { readonly ref: 'address'; readonly name: string; readonly offset: bigint };
export type Value = number | bigint | Ref;
export type Fields = Readonly<Record<string, Value>>;

/** What a misbehaving driver does to the answer of a call. */
export type Lie =
  /** Its bytes at `at` (of the ioctl's argument, or of what was read) are others. */
  | { readonly kind: 'set'; readonly at: number; readonly bytes: Buffer }
  /** Bytes of the memory behind the pointer at `at`. */
  | { readonly kind: 'memory'; readonly at: number; readonly bytes: Buffer }
  /** It fails, without doing anything. */
  | { readonly kind: 'errno'; readonly errno: string }
  /** It succeeds with this result, without doing anything. */
  | { readonly kind: 'ok'; readonly ret: number; readonly bytes?: Buffer }
  /** It never returns. */
  | { readonly kind: 'hang' };

interface More {
  /** Errno that the call is to fail with. Without: it is to succeed. */
  readonly fails?: string;
  readonly lie?: Lie;
  /** Whose call it is: another process of the program. */
  readonly process?: number;
}
export interface IoctlMore extends More {
  /** Name of the descriptor that it makes. */
  readonly as?: string;
  /** Size of the buffer: room for capabilities, bytes behind the fixed part. */
  readonly argsz?: number;
  /** Bytes of the structure that are passed, less than argsz says. */
  readonly tail?: readonly Value[];
}

export type Act =
  | ({ readonly act: 'open'; readonly as: string; readonly path: string } & More)
  | ({ readonly act: 'close'; readonly fd: string } & More)
  | ({
      readonly act: 'ioctl';
      readonly fd: string;
      readonly call: string;
      /** Fields of the structure, the value, the string, or the descriptor. */
      readonly arg: Fields | number | bigint | string | Ref | null;
      /** Feature data. */
      readonly data?: Fields;
    } & IoctlMore)
  | ({
      readonly act: 'pread' | 'pwrite';
      readonly fd: string;
      readonly region: number;
      readonly at: number;
      readonly length: number;
      /** pwrite: the bytes (a number is written little-endian), or what reads kept under a name. */
      readonly value?: bigint | Buffer | string;
      /** pread: keep the bytes. */
      readonly keep?: string;
    } & More)
  | ({ readonly act: 'read'; readonly fd: string; readonly length: number; readonly keep?: string } & More)
  /** `bytes`, or what reads kept under a name. */
  | ({ readonly act: 'write'; readonly fd: string; readonly bytes: Buffer | string } & More)
  | ({
      readonly act: 'mmap';
      readonly fd: string;
      readonly as: string;
      readonly region: number;
      readonly at: number;
      readonly length: number;
      readonly private?: boolean;
    } & More)
  | ({ readonly act: 'munmap'; readonly name: string } & More)
  /** A load from, or store to, what mmap gave: seen with --mmio=trap only. */
  | ({ readonly act: 'load'; readonly name: string; readonly at: number; readonly length: number } & More)
  /** Anonymous memory, with these bytes at its start. */
  | { readonly act: 'memory'; readonly as: string; readonly size: number; readonly bytes?: Buffer }
  | { readonly act: 'fill'; readonly name: string; readonly bytes: Buffer }
  | ({ readonly act: 'eventfd'; readonly as: string } & More)
  /** The device signals it: a misbehaving one may at any time. */
  | { readonly act: 'signal'; readonly fd: string };

export interface Expected {
  readonly rule: RuleId;
  readonly level?: Level;
  readonly who?: Who;
  /** In the finding's sentence. */
  readonly says?: RegExp;
}

export interface DeviceSpec {
  readonly profile: string;
  readonly name: string;
  readonly group: number;
}
export interface Scenario {
  readonly rule: RuleId;
  readonly name: string;
  readonly devices: readonly DeviceSpec[];
  readonly acts: readonly Act[];
  /** Findings of the rule in question. Empty: a clean trace, in which the rule is held. */
  readonly finds: readonly Expected[];
  /** The rule is expected to be undecidable in it. */
  readonly undecidable?: RegExp;
  /** Other MUST rules that a clean trace breaks on the way. */
  readonly also?: readonly RuleId[];
  /** A second recording that is checked together with it. */
  readonly destination?: readonly Act[];
  readonly precedence?: string;
  /** How mapped regions are recorded; hide unless said. */
  readonly mmio?: 'hide' | 'trap' | 'pass';
}

export const fd = (name: string): Ref => ({ ref: 'fd', name });
export const address = (name: string, offset = 0n): Ref => ({ ref: 'address', name, offset });

export const open = (as: string, path: string, more: More = {}): Act => ({ act: 'open', as, path, ...more });
export const close = (name: string, more: More = {}): Act => ({ act: 'close', fd: name, ...more });
export const ioctl = (
  name: string,
  call: string,
  arg: Fields | number | bigint | string | Ref | null = null,
  more: IoctlMore = {},
): Act => ({ act: 'ioctl', fd: name, call, arg, ...more });
export const feature = (
  name: string,
  op: 'GET' | 'SET' | 'PROBE|SET' | 'PROBE|GET',
  what: string,
  data: Fields = {},
  more: IoctlMore = {},
): Act => ({ act: 'ioctl', fd: name, call: `VFIO_DEVICE_FEATURE ${op} ${what}`, arg: {}, data, ...more });
export const pread = (
  name: string,
  region: number,
  at: number,
  length: number,
  more: More & { readonly keep?: string } = {},
): Act => ({
  ...{ act: 'pread', fd: name, region, at, length },
  ...more,
});
export const pwrite = (
  name: string,
  region: number,
  at: number,
  length: number,
  value: bigint | number | Buffer | string,
  more: More = {},
): Act => ({
  ...{ act: 'pwrite', fd: name, region, at, length, value: typeof value === 'number' ? BigInt(value) : value },
  ...more,
});
export const read = (name: string, length: number, more: More & { readonly keep?: string } = {}): Act => ({
  ...{ act: 'read', fd: name, length },
  ...more,
});
export const write = (name: string, bytes: Buffer | string, more: More = {}): Act => ({
  ...{ act: 'write', fd: name, bytes },
  ...more,
});
export const mmap = (
  name: string,
  as: string,
  region: number,
  at: number,
  length: number,
  more: More & { readonly private?: boolean } = {},
): Act => ({ act: 'mmap', fd: name, as, region, at, length, ...more });
export const munmap = (name: string, more: More = {}): Act => ({ act: 'munmap', name, ...more });
export const load = (name: string, at: number, length: number): Act => ({ act: 'load', name, at, length });
export const memory = (as: string, size: number, bytes?: Buffer): Act => ({
  ...{ act: 'memory', as, size },
  ...(bytes ? { bytes } : {}),
});
export const fill = (name: string, bytes: Buffer): Act => ({ act: 'fill', name, bytes });
export const eventfd = (as: string, more: More = {}): Act => ({ act: 'eventfd', as, ...more });
export const signal = (name: string): Act => ({ act: 'signal', fd: name });

export const set = (at: number, bytes: Buffer): Lie => ({ kind: 'set', at, bytes });
export const errno = (name: string): Lie => ({ kind: 'errno', errno: name });
export const ok = (ret = 0, bytes?: Buffer): Lie => ({ kind: 'ok', ret, ...(bytes ? { bytes } : {}) });
export function u32(n: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(n >>> 0);
  return b;
}
export function u64(n: bigint | number): Buffer {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt(n));
  return b;
}
