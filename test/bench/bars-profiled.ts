// All bars, and what explains those of the hot path and of the store.   bars-profiled FILE

import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { type Bar, bars } from './bars.ts';
import { prepare, unrecorded } from './cost.ts';
import { countInstructions, whyNotCounted } from './instructions.ts';
import { payloadProfile } from './payload.ts';

export interface Profiled {
  readonly processor: string;
  readonly kernel: string;
  /** ns. */
  readonly syscall: number;
  readonly bars: readonly Bar[];
  /** By sort of call, functions of the interposer, most first. */
  readonly instructions: readonly [string, readonly [string, number][]][];
  /** Percent by place. */
  readonly payload: readonly [string, number][] | null;
}

const most = (counted: ReadonlyMap<string, number>): [string, number][] =>
  [...counted].filter(([, n]) => n >= 1).sort((a, b) => b[1] - a[1]);

async function profiled(): Promise<Profiled> {
  prepare();
  const reached: Bar[] = [];
  for await (const bar of bars({
    rounds: 7,
    calls: 300_000,
    events: 300_000,
    payload: 64 << 20,
    judged: 1_000_000,
    kills: 200,
  }))
    reached.push(bar);
  const payload = await payloadProfile(64 << 20, 64 << 10);
  return {
    processor: cpus()[0]?.model ?? 'unknown processor',
    kernel: release(),
    syscall: unrecorded('ioctl', 300_000).cpu,
    bars: reached,
    instructions: whyNotCounted() ? [] : [...countInstructions()].map(([sort, by]) => [sort, most(by)]),
    payload: payload && most(payload),
  };
}

const [path] = process.argv.slice(2);
if (path) writeFileSync(path, JSON.stringify(await profiled()));
