// Which clock stamps the records, and how its ticks become nanoseconds.

import { readFileSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { clocks } from '../schema/event.ts';

export interface Clock {
  readonly clock: (typeof clocks)[keyof typeof clocks];
  readonly name: keyof typeof clocks;
  /** Ticks per second. */
  readonly hz: bigint;
  /** Ticks, CLOCK_MONOTONIC ns and CLOCK_REALTIME ns of the recording's start. */
  readonly start: bigint;
  readonly monotonic: bigint;
  readonly realtime: bigint;
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
};

/** The TSC counts the same on every processor and in every sleep state, and the kernel trusts it too. */
export function tscIsInvariant(
  cpuinfo = read('/proc/cpuinfo'),
  source = read('/sys/devices/system/clocksource/clocksource0/current_clocksource'),
): boolean {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(' ') ?? [];
  return flags.includes('constant_tsc') && flags.includes('nonstop_tsc') && source.trim() === 'tsc';
}

interface Moment {
  readonly tsc: bigint;
  readonly monotonic: bigint;
}

/** `db` has the rings extension. */
export function moment(db: Database.Database): Moment {
  const text = db.prepare('SELECT ring_clock()').pluck().get() as string;
  const [tsc, monotonic] = text.split(' ') as [string, string];
  return { tsc: BigInt(tsc), monotonic: BigInt(monotonic) };
}

/** Compares two moments at least 20 ms apart: the pair is read within some 30 ns, so the rate is right to 3 ppm. */
export async function readClock(db: Database.Database, first: Moment): Promise<Clock> {
  const realtime = BigInt(Date.now()) * 1000000n;
  const now = moment(db).monotonic;
  if (!tscIsInvariant() || first.tsc === 0n)
    return { clock: clocks.MONOTONIC, name: 'MONOTONIC', hz: 1000000000n, start: now, monotonic: now, realtime };
  const wait = 20 - Number((moment(db).monotonic - first.monotonic) / 1000000n);
  if (wait > 0) await new Promise((done) => setTimeout(done, wait));
  const { tsc, monotonic } = moment(db);
  const hz = ((tsc - first.tsc) * 1000000000n) / (monotonic - first.monotonic);
  return { clock: clocks.TSC, name: 'TSC', hz, start: tsc, monotonic, realtime: BigInt(Date.now()) * 1000000n };
}
