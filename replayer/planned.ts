// What is to be done for one recorded call, and what the parts of the plan share.

import type { Pieces } from './memory.ts';
import type { Names } from './rename.ts';
import type { Part, Request, Slot } from './target.ts';

export type Planned =
  /** Requests of the replay's own stand around the one that is the call. */
  | { readonly kind: 'run'; readonly before: Request[]; readonly main: Request; readonly after: Request[] }
  /** Nothing to ask: the call only gave a descriptor another number, or passed one on. */
  | { readonly kind: 'noted'; readonly before: Request[] }
  | { readonly kind: 'skipped'; readonly why: string }
  /** Its descriptor does not exist, because the call that made it went otherwise than recorded. */
  | { readonly kind: 'consequence'; readonly of: number };

export interface PlanOptions {
  readonly pieces: Pieces;
  /** Path that stands for a recorded one, null when it is none of VFIO's. */
  path(recorded: string): string | null;
  /** Name of a device that stands for a recorded one (VFIO_GROUP_GET_DEVICE_FD). */
  device(recorded: string): string;
  /** Process that a process was forked from. */
  parent(process: number): number | undefined;
  /** The same process before its last exec. */
  image(process: number): number | undefined;
  /** Where a region began in the recording. */
  regions: Iterable<{ readonly handle: number; readonly index: number; readonly offset: bigint }>;
  /** Open file that a number stands for (aliases). */
  resolve(handle: number): number;
  /** Make calls that the schema does not know. */
  readonly raw: boolean;
  /** ms that a wait (eventfd, poll) may take. */
  readonly patience: number;
  /** ms in which a register may come to its recorded value; 0: it must have it at once. */
  readonly settle: number;
}

export const run = (main: Request, before: Request[] = [], after: Request[] = []): Planned => ({
  kind: 'run',
  before,
  main,
  after,
});
export const skip = (why: string): Planned => ({ kind: 'skipped', why });

/** A plan in the making, as its parts see it. */
export interface Planning {
  readonly names: Names;
  readonly pieces: Pieces;
  readonly options: PlanOptions;
  /** Open files that the replay lacks, and the event that should have made them. */
  readonly dead: ReadonlyMap<number, number>;
  /** Places in regions that never come to their recorded value: not waited for again. */
  readonly restless: ReadonlySet<string>;
  /** ms that a wait may take now: less once waits have been in vain. */
  readonly patience: number;
  /** Makes a request. */
  own(op: Request['op'], subject: Slot, fields?: Partial<Request>): Request;
  /** An open file that is none of VFIO's, for calls that were given one. */
  stranger(before: Request[]): Slot;
  /** Closes an open file that no descriptor refers to any more; 0: none. */
  gone(handle: number): Request[];
  /** Lets go of what ended processes held. */
  reap(): Request[];
}

export const pathPart = (text: string): Part => ({ kind: 'arg', bytes: Buffer.from(`${text}\0`, 'latin1') });
export const textOf = (bytes: Buffer): string => bytes.toString('latin1').split('\0', 1)[0] ?? '';
