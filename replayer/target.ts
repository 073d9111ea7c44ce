// What a replay runs against: the agent on a real device, or the emulator. Both take the same requests, in which every
// descriptor, object id and address is a numbered slot (schema/agent.ts), so the replayer never sees their real numbers.

import type { agentOps } from '../schema/agent.ts';
import type { Op } from '../schema/event.ts';

export type Slot = number;
export type Part =
  | { readonly kind: 'arg'; readonly bytes: Buffer }
  | { readonly kind: 'buffer'; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'zeroes'; readonly at: number; readonly length: number }
  | {
      readonly kind: 'fd' | 'id' | 'keepFd' | 'keepId' | 'keepMemory';
      readonly at: number | 'ret';
      readonly slot: Slot;
    }
  | { readonly kind: 'address'; readonly at: number; readonly slot: Slot; readonly delta: bigint };

export interface Request {
  readonly tag: number;
  readonly op: Op | keyof typeof agentOps;
  readonly subject: Slot;
  readonly a: bigint;
  readonly b: bigint;
  /** ms; 0: as the descriptor does by itself. */
  readonly timeout: number;
  readonly flags: number;
  readonly parts: readonly Part[];
}

export interface Reply {
  readonly tag: number;
  /** -errno on failure. */
  readonly ret: number;
  /** ns. */
  readonly duration: number;
  readonly arg: Buffer | null;
  /** Memory behind pointers, by the pointer's offset in the argument. */
  readonly buffers: ReadonlyMap<number, Buffer>;
}

export interface Target {
  /** What it is, for the report: "agent 1, Linux 6.12…". */
  readonly hello: string;
  /** Performs the batch in order; a reply for each, in order. Throws TraceError('TARGET', …) when the target is gone. */
  run(batch: readonly Request[]): Promise<Reply[]>;
  close(): Promise<void>;
}
