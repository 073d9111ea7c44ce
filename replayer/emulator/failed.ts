// How a handler inside the emulated kernel gives up: `fail('EINVAL')` unwinds to the call, which returns -EINVAL.

import { errnoNumber } from '../../schema/errno.ts';

/** Not an Error: it is thrown on ordinary paths, and a stack would cost more than the call. */
export class Failed {
  readonly errno: number;
  constructor(errno: number) {
    this.errno = errno;
  }
}

/** Linux number of `name`. */
export function errno(name: string): number {
  const nr = errnoNumber(name);
  if (nr === undefined) throw new Error(`no errno ${name}`);
  return nr;
}

export function fail(name: string): never {
  throw new Failed(errno(name));
}
