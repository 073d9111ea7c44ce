// One number as the kernel's headers would write it.

import { errnoName } from '../../schema/errno.ts';
import type { Bits, Field, Values } from '../../schema/layout.ts';

export const hex = (n: number | bigint): string =>
  n < 0 ? `-0x${(-BigInt(n)).toString(16)}` : `0x${BigInt(n).toString(16)}`;

/** `READ|WRITE`, and what has no name as a number. */
export function bitNames(names: Bits, value: number | bigint): string {
  let rest = BigInt(value);
  const found = Object.entries(names.bits).flatMap(([name, bit]) => {
    const mask = BigInt(bit);
    if (mask === 0n || (rest & mask) !== mask) return [];
    rest &= ~mask;
    return [name];
  });
  if (rest !== 0n || found.length === 0) found.push(rest === 0n ? '0' : hex(rest));
  return found.join('|');
}

export function valueName(names: Values, value: number | bigint): string {
  return Object.entries(names.values).find(([, v]) => BigInt(v) === BigInt(value))?.[0] ?? `${value} /* ??? */`;
}

export function scalarText(field: Field, value: number | bigint): string {
  if (field.names) return 'bits' in field.names ? bitNames(field.names, value) : valueName(field.names, value);
  return field.hex ? hex(value) : String(value);
}

/** What glibc's strerror says of the errors that VFIO gives; node's own words differ. */
export const errorTexts: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EINTR: 'Interrupted system call',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  E2BIG: 'Argument list too long',
  EBADF: 'Bad file descriptor',
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EACCES: 'Permission denied',
  EFAULT: 'Bad address',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  EINVAL: 'Invalid argument',
  ENOTTY: 'Inappropriate ioctl for device',
  ENOSPC: 'No space left on device',
  ESPIPE: 'Illegal seek',
  ERANGE: 'Numerical result out of range',
  ENOSYS: 'Function not implemented',
  ENOMSG: 'No message of desired type',
  ENODATA: 'No data available',
  EOVERFLOW: 'Value too large for defined data type',
  EMSGSIZE: 'Message too long',
  EOPNOTSUPP: 'Operation not supported',
  ENOTSUP: 'Operation not supported',
  ETIMEDOUT: 'Connection timed out',
};

/** `-1 EINVAL (Invalid argument)`. `ret` is -errno. */
export function errorText(ret: number): string {
  const name = errnoName(-ret);
  const text = errorTexts[name];
  return `-1 ${name}${text ? ` (${text})` : ''}`;
}

/** ns as seconds. */
export const seconds = (ns: number, digits = 6): string => (ns / 1e9).toFixed(digits);

/** `14 00 00 00 …`, at most `most` bytes of it. */
export function bytesText(bytes: Uint8Array, most = 32): string {
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(most, bytes.length)).toString('hex');
  return `${shown.replace(/(..)(?=.)/g, '$1 ')}${bytes.length > most ? ` … ${bytes.length} bytes` : ''}`;
}

/** Nothing in it moves a terminal's cursor: control characters of a hostile trace come out as escapes. */
export const printable = (text: string): string =>
  text.replace(/[^\P{C}\n]|\n/gu, (c) => `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`);

/** A C string as C writes it; ends at its NUL. */
export function stringText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const text = Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('utf8');
  const shown = text.length > 256 ? `${text.slice(0, 256)}…` : text;
  return `"${printable(shown.replace(/["\\]/g, '\\$&'))}"`;
}
