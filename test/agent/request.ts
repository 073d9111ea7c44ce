// Requests written short, for the agent's tests.

import type { Part, Request } from '../../replayer/target.ts';

let tag = 0;
export const request = (op: Request['op'], subject: number, fields: Partial<Request> = {}): Request => ({
  ...{ tag: ++tag, op, subject, a: 0n, b: 0n, timeout: 0, flags: 0, parts: [] },
  ...fields,
});
export const text = (s: string): Part => ({ kind: 'arg', bytes: Buffer.from(`${s}\0`) });
export const arg = (bytes: Buffer): Part => ({ kind: 'arg', bytes });

/** The agent under test: VFIO_RR_TEST_AGENT names one built otherwise (make -C native agent SAN=address,undefined). */
export const agentPath =
  process.env.VFIO_RR_TEST_AGENT ?? new URL('../../native/build/vfio-rr-agent', import.meta.url).pathname;
