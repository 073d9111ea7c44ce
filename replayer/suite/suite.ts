// A directory of traces replayed, each against its expectations.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from '../../schema/errors.ts';
import type { Verdict } from '../verdict.ts';
import {
  type Expectations,
  type Expected,
  judge,
  readExpectations,
  seenIn,
  writeExpectations,
} from './expectations.ts';

/**
 * When expectations are written. once: for a trace that has none yet. new: also what is new in one that has some.
 * none: never, and a trace without them fails. all: always anew.
 */
export const modes = ['once', 'new', 'none', 'all'] as const;
export type Mode = (typeof modes)[number];

export interface SuiteOptions {
  readonly directory: string;
  readonly mode: Mode;
  /** For traces that have no expectations yet. */
  readonly on: string;
  readonly maps: readonly string[];
  /** This part of so many: 1-based. */
  readonly shard: { readonly index: number; readonly of: number };
  /** Replays one trace. */
  readonly replay: (trace: string, e: Expectations) => Promise<Verdict>;
  readonly onCase: (c: Case, done: number, total: number) => void;
}

export interface Case {
  readonly trace: string;
  readonly outcome: 'passed' | 'failed' | 'written' | 'broken';
  readonly verdict: Verdict | null;
  readonly unexpected: readonly Expected[];
  readonly absent: readonly Expected[];
  /** Why it failed without a comparison. */
  readonly problem: string | null;
  readonly code: TraceError['code'] | null;
  readonly seconds: number;
}

export function tracesIn(directory: string): string[] {
  let names: string[];
  try {
    names = statSync(directory).isDirectory() ? readdirSync(directory, { recursive: true, encoding: 'utf8' }) : [];
  } catch {
    throw new TraceError('USAGE', `${directory} is no directory`);
  }
  const traces = names
    .filter((n) => n.endsWith('.vrr'))
    .sort()
    .map((n) => join(directory, n));
  if (traces.length === 0) throw new TraceError('USAGE', `${directory} holds no traces (*.vrr)`);
  return traces;
}

export async function runSuite(o: SuiteOptions): Promise<Case[]> {
  const all = tracesIn(o.directory);
  const mine = all.filter((_t, i) => i % o.shard.of === o.shard.index - 1);
  const cases: Case[] = [];
  for (const trace of mine) {
    const started = performance.now();
    const c = await one(o, trace).catch((error: unknown): Omit<Case, 'seconds'> => {
      if (!(error instanceof TraceError)) throw error;
      return {
        trace,
        outcome: 'broken',
        verdict: null,
        unexpected: [],
        absent: [],
        problem: error.message,
        code: error.code,
      };
    });
    cases.push({ ...c, seconds: (performance.now() - started) / 1000 });
    o.onCase(cases.at(-1) as Case, cases.length, mine.length);
  }
  return cases;
}

async function one(o: SuiteOptions, trace: string): Promise<Omit<Case, 'seconds'>> {
  const known = readExpectations(trace);
  if (!known && o.mode === 'none') {
    return {
      trace,
      outcome: 'failed',
      verdict: null,
      unexpected: [],
      absent: [],
      problem: 'has no expectations, and --mode none writes none',
      code: null,
    };
  }
  const fresh: Expectations = { on: o.on, maps: o.maps, masks: [], divergences: [], waivers: [] };
  const expectations = known ?? fresh;
  const verdict = await o.replay(trace, expectations);
  const { unexpected, absent } = judge(verdict, expectations);
  const rest = { trace, verdict, problem: null, code: null };
  if (!known || o.mode === 'all') {
    const waived = (s: Expected): boolean => expectations.waivers.some((w) => w.call === s.call && w.field === s.field);
    writeExpectations(trace, { ...expectations, divergences: seenIn(verdict).filter((s) => !waived(s)) });
    return { ...rest, outcome: 'written', unexpected: [], absent: [] };
  }
  if (o.mode === 'new' && unexpected.length > 0 && absent.length === 0) {
    writeExpectations(trace, { ...expectations, divergences: [...expectations.divergences, ...unexpected] });
    return { ...rest, outcome: 'written', unexpected: [], absent: [] };
  }
  return { ...rest, outcome: unexpected.length + absent.length > 0 ? 'failed' : 'passed', unexpected, absent };
}

/** `i/n`, 1-based. */
export function parseShard(text: string): SuiteOptions['shard'] {
  const [, i, n] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const shard = { index: Number(i), of: Number(n) };
  if (!(shard.of >= 1 && shard.index >= 1 && shard.index <= shard.of)) {
    throw new TraceError('USAGE', `--shard ${text}: give it as I/N, such as 1/4`);
  }
  return shard;
}
