// Linux error numbers by name, as this host's libc has them.

import { constants } from 'node:os';

const preferred = new Set(['EAGAIN', 'ENOTSUP', 'EDEADLK']); // of aliases with one number
const byNumber = new Map<number, string>();
for (const [name, nr] of Object.entries(constants.errno))
  if (!byNumber.has(nr) || preferred.has(name)) byNumber.set(nr, name);
// Not among node's constants; include/uapi/asm-generic/errno.h.
for (const [nr, name] of [
  [15, 'ENOTBLK'],
  [77, 'EBADFD'],
  [512, 'ERESTARTSYS'],
] as const)
  if (!byNumber.has(nr)) byNumber.set(nr, name);

export const errnoName = (nr: number): string => byNumber.get(nr) ?? `errno ${nr}`;
export const errnoNumber = (name: string): number | undefined =>
  constants.errno[name as keyof typeof constants.errno] ?? [...byNumber].find(([, n]) => n === name)?.[0];
export const errnos = (): [number, string][] => [...byNumber].sort((a, b) => a[0] - b[0]);
