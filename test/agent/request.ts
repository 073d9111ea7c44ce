// Requests written short, for the agent's tests.

import type { Part, Request } from '../../replayer/target.ts';

let tag = 0;
export const request = (op: Request['op'], subject: number, fields: Partial<Request> = {}): Request => ({
  ...{ tag: ++tag, op, subject, a: 0n, b: 0n, timeout: 0, flags: 0, parts: [] },
  ...fields,
});
export const text = (s: string): Part => ({ kind: 'arg', bytes: Buffer.from(`${s}\0`) });
export const arg = (bytes: Buffer): Part => ({ kind: 'arg', bytes });
