// The bars: what recording, storing, playing and replaying may cost, each as a ratio measured in one run.

import { spawnSync } from 'node:child_process';
import { agentRatio } from '../agent/bench.ts';
import { judgingCosts } from '../check/bench.ts';
import { playedSpeed } from '../play/speed.ts';
import { crashes, isGood, prepareCrash, victims } from '../recorder/crash.ts';
import { type Cost, drained, median, recorded, straced, unrecorded } from './cost.ts';
import { payloadCosts } from './payload.ts';
import { accessCosts } from './store.ts';

export interface Bar {
  readonly bar: string;
  /** null: could not be measured here. */
  readonly ratio: number | null;
  readonly reach: string;
  readonly holds: boolean | null;
}

export interface Plan {
  readonly rounds: number;
  readonly calls: number;
  readonly events: number;
  readonly payload: number;
  /** Events of the trace that is judged. */
  readonly judged: number;
  /** SIGKILLs. */
  readonly kills: number;
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

/** A figure that nothing is asked of. */
const told = (bar: string, ratio: number): Bar => ({ bar, ratio, reach: '–', holds: null });

type Round = Readonly<Record<'plain' | 'ring' | 'drain', Cost>>;

function* programBars(plan: Plan): Generator<Bar> {
  const rows: Record<'pread' | 'ioctl' | 'info', Round[]> = { pread: [], ioctl: [], info: [] };
  const strace: number[] = [];
  const trapped: number[] = [];
  const hasStrace = spawnSync('strace', ['-V']).status === 0;
  for (let round = 0; round < plan.rounds; round++) {
    for (const call of ['pread', 'ioctl', 'info'] as const)
      rows[call].push({
        plain: unrecorded(call, plan.calls),
        ring: recorded(call, plan.calls),
        drain: drained(call, plan.calls),
      });
    const pread = recorded('pread', plan.calls);
    trapped.push(recorded('load', plan.calls / 10).cpu / pread.cpu);
    if (hasStrace) strace.push(straced('pread', plan.calls / 20).wall / pread.wall);
  }
  const of = (call: keyof typeof rows, which: 'ring' | 'drain'): number =>
    median(rows[call].map((r) => r[which].cpu / r.plain.cpu));
  yield atMost('recorded / unrecorded CPU, 4-byte pread', of('pread', 'ring'), 1.35);
  yield atMost('recorded / unrecorded CPU, ioctl', of('ioctl', 'ring'), 1.3);
  yield told('recorded / unrecorded CPU, ioctl with a structure', of('info', 'ring'));
  yield atMost('the same while the recorder drains, pread', of('pread', 'drain'), 1.7);
  yield atMost('the same while the recorder drains, ioctl', of('ioctl', 'drain'), 1.7);
  yield hasStrace
    ? atLeast('strace -f --seccomp-bpf / recorded, pread', median(strace), 50)
    : { bar: 'strace -f --seccomp-bpf / recorded, pread', ratio: null, reach: '≥ 50', holds: null };
  yield atMost('trapped load / recorded pread, CPU', median(trapped), 7);
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

function* replayBars(plan: Plan): Generator<Bar> {
  const ratios = Array.from({ length: Math.min(plan.rounds, 5) }, agentRatio);
  yield atMost('agent / a C loop of the same calls, CPU', median(ratios), 1.5);
}

/** Not ratios: processor time and memory that judging a trace may take. */
function* judgeBars(plan: Plan): Generator<Bar> {
  const millions = plan.judged / 1e6;
  for (const { command, seconds, mebibytes } of judgingCosts([plan.judged])) {
    yield atMost(`${command} of ${millions} million events: CPU seconds`, seconds, 20 * millions);
    yield atMost(`${command} of ${millions} million events: MB`, mebibytes * 1.048576, 500);
  }
}

async function* killBars(plan: Plan): AsyncGenerator<Bar> {
  prepareCrash();
  const points = [];
  for (const victim of victims)
    points.push(...(await crashes(victim, plan.kills / victims.length, Date.now() % 2 ** 31)));
  const kills = points.filter((p) => p.kill !== undefined).length;
  const wrong = points.filter((p) => !isGood(p)).reduce((n, p) => n + p.lost + p.doubled + p.reordered, 0);
  const bar = `${kills} SIGKILLs: lost + doubled + reordered`;
  yield { bar, ratio: wrong, reach: '= 0', holds: points.every(isGood) };
}

export async function* bars(plan: Plan): AsyncGenerator<Bar> {
  yield* programBars(plan);
  yield* storeBars(plan);
  yield* playBars(plan);
  yield* replayBars(plan);
  yield* judgeBars(plan);
  yield* killBars(plan);
}
