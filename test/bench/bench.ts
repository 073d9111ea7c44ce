// Prints each bar of what recording may cost as a ratio measured in this run, with what it has to reach.
//   npm run bench -- --flight 600 [--keep 64M]: what a flight recorder takes at full rate
//   npm run bench [-- --json] [-- --rounds N] [-- --quick]
//   npm run bench -- --large      instead what judging traces of 1 and of 10 million events costs, for information
//   npm run bench -- --update-instructions      renews test/bench/instructions.json instead

import { spawnSync } from 'node:child_process';
import { largeCosts } from '../check/bench.ts';
import { playedSpeed } from '../play/speed.ts';
import { type Cost, drained, median, prepare, recorded, straced, unrecorded } from './cost.ts';
import { flownText, fly } from './flight.ts';
import { updateInstructions } from './instructions.ts';
import { accessCosts, payloadCosts } from './store.ts';

export interface Bar {
  readonly bar: string;
  /** null: could not be measured here. */
  readonly ratio: number | null;
  readonly reach: string;
  readonly holds: boolean | null;
}

interface Plan {
  readonly rounds: number;
  readonly calls: number;
  readonly events: number;
  readonly payload: number;
}

const atMost = (bar: string, ratio: number, limit: number): Bar => ({
  bar,
  ratio,
  reach: `≤ ${limit}`,
  holds: ratio <= limit,
});
const atLeast = (bar: string, ratio: number, limit: number): Bar => ({
  bar,
  ratio,
  reach: `≥ ${limit}`,
  holds: ratio >= limit,
});

function* programBars(plan: Plan): Generator<Bar> {
  const rows: Record<'pread' | 'ioctl', { plain: Cost; ring: Cost; drain: Cost }[]> = { pread: [], ioctl: [] };
  const strace: number[] = [];
  const hasStrace = spawnSync('strace', ['-V']).status === 0;
  for (let round = 0; round < plan.rounds; round++) {
    for (const call of ['pread', 'ioctl'] as const)
      rows[call].push({
        plain: unrecorded(call, plan.calls),
        ring: recorded(call, plan.calls),
        drain: drained(call, plan.calls),
      });
    if (hasStrace) strace.push(straced('pread', plan.calls / 20).wall / recorded('pread', plan.calls).wall);
  }
  const of = (call: 'pread' | 'ioctl', which: 'ring' | 'drain'): number =>
    median(rows[call].map((r) => r[which].cpu / r.plain.cpu));
  yield atMost('recorded / unrecorded CPU, 4-byte pread', of('pread', 'ring'), 1.35);
  yield atMost('recorded / unrecorded CPU, ioctl', of('ioctl', 'ring'), 1.3);
  yield atMost('the same while the recorder drains, pread', of('pread', 'drain'), 1.7);
  yield atMost('the same while the recorder drains, ioctl', of('ioctl', 'drain'), 1.7);
  yield hasStrace
    ? atLeast('strace -f --seccomp-bpf / recorded, pread', median(strace), 50)
    : { bar: 'strace -f --seccomp-bpf / recorded, pread', ratio: null, reach: '≥ 50', holds: null };
}

function* storeBars(plan: Plan): Generator<Bar> {
  const costs = accessCosts(plan.events, plan.rounds);
  yield atLeast('better-sqlite3 row per event / drain, CPU', median(costs.map((c) => c.rows / c.drain)), 3.5);
  yield atMost('bytes per 4-byte region access on disk', costs[0]?.bytes ?? 0, 32);
  for (const length of [64 << 10, 1 << 20]) {
    const ratio = median(payloadCosts(plan.payload, length, plan.rounds).map((c) => c.stored / c.lz4));
    yield atLeast(`payload store / lz4 alone, ${length >> 10} KiB`, ratio, 0.8);
  }
}

function* playBars(plan: Plan): Generator<Bar> {
  const speeds = Array.from({ length: Math.min(plan.rounds, 3) }, () => playedSpeed(plan.calls / 10));
  for (const call of ['pread', 'pwrite', 'ioctl'] as const)
    yield atLeast(`played calls a second / 20 000, ${call}`, median(speeds.map((s) => s[call])) / 20_000, 1);
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--flight')) {
    const after = (name: string): string | undefined =>
      args.includes(name) ? args[args.indexOf(name) + 1] : undefined;
    const flown = await fly(Number(after('--flight')) || 600, after('--keep') ?? '64M');
    process.stdout.write(args.includes('--json') ? `${JSON.stringify(flown)}\n` : flownText(flown));
    return flown.ring <= flown.ringBound && flown.lost === 0 ? 0 : 1;
  }
  if (args.includes('--update-instructions')) {
    process.stdout.write(`${JSON.stringify(updateInstructions(), null, 2)}\n`);
    return 0;
  }
  if (args.includes('--large')) {
    for (const line of largeCosts([1_000_000, 10_000_000])) process.stdout.write(`${line}\n`);
    return 0;
  }
  const quick = args.includes('--quick');
  const rounds = Number(args[args.indexOf('--rounds') + 1]) || (quick ? 3 : 7);
  const plan: Plan = {
    rounds,
    calls: quick ? 100_000 : 300_000,
    events: quick ? 50_000 : 300_000,
    payload: quick ? 16 << 20 : 64 << 20,
  };
  prepare();
  const bars: Bar[] = [];
  for (const bars_ of [programBars(plan), storeBars(plan), playBars(plan)])
    for (const bar of bars_) {
      bars.push(bar);
      if (args.includes('--json')) continue;
      const verdict = bar.holds === null ? 'not measured' : bar.holds ? 'holds' : 'MISSED';
      process.stdout.write(
        `${bar.bar.padEnd(46)} ${(bar.ratio?.toFixed(2) ?? '–').padStart(8)}  ${bar.reach.padEnd(7)} ${verdict}\n`,
      );
    }
  if (args.includes('--json')) process.stdout.write(`${JSON.stringify(bars)}\n`);
  return bars.every((b) => b.holds !== false) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
