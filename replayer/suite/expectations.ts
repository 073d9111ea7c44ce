// What a kept trace is expected to do, in a file beside it: NAME.vrr → NAME.expect.json. People read and edit it.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { TraceError } from '../../schema/errors.ts';
import type { Verdict } from '../verdict.ts';

/** A divergence that is known: matched by call and field, and by event where that is given. */
export interface Expected {
  readonly event?: number;
  readonly call: string;
  readonly field: string;
  readonly actual?: string;
  /** Why it is right, or tolerated. */
  readonly reason?: string;
}

export interface Expectations {
  /** device, emulator or emulator:PROFILE. */
  readonly on: string;
  /** RECORDED=OWN. */
  readonly maps: readonly string[];
  /** CALL:FIELD that is not compared. */
  readonly masks: readonly string[];
  /** Divergences that must appear. */
  readonly divergences: readonly Expected[];
  /** Divergences that may appear. */
  readonly waivers: readonly Expected[];
}

export const pathOf = (trace: string): string => trace.replace(/\.vrr$/, '.expect.json');

const list = (x: unknown): x is unknown[] => Array.isArray(x);
const texts = (x: unknown): x is string[] => list(x) && x.every((y) => typeof y === 'string');

/** null: there are none yet. */
export function readExpectations(trace: string): Expectations | null {
  const path = pathOf(trace);
  if (!existsSync(path)) return null;
  let read: unknown;
  try {
    read = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new TraceError('USAGE', `${path} is no JSON: ${(error as Error).message}`);
  }
  const o = read as Partial<Record<keyof Expectations, unknown>>;
  const { on = 'emulator', maps = [], masks = [], divergences = [], waivers = [] } = o;
  if (typeof on !== 'string' || !texts(maps) || !texts(masks) || !expecteds(divergences) || !expecteds(waivers)) {
    throw new TraceError(
      'USAGE',
      `${path}: "on" is a text, "maps" and "masks" are lists of texts, "divergences" and "waivers" lists of {call, field}`,
    );
  }
  for (const w of waivers)
    if (!w.reason) throw new TraceError('USAGE', `${path}: the waiver of ${w.call}:${w.field} gives no "reason"`);
  return { on, maps, masks, divergences, waivers };
}

function expecteds(x: unknown): x is Expected[] {
  return (
    list(x) && x.every((y) => typeof (y as Expected)?.call === 'string' && typeof (y as Expected)?.field === 'string')
  );
}

export function writeExpectations(trace: string, e: Expectations): void {
  writeFileSync(pathOf(trace), `${JSON.stringify(e, null, 2)}\n`);
}

export interface Judged {
  /** Divergences that nobody expected. */
  readonly unexpected: readonly Expected[];
  /** Expected, but not seen. */
  readonly absent: readonly Expected[];
}

export function seenIn(v: Verdict): Expected[] {
  return v.divergences.flatMap((d) =>
    d.differences.map((f): Expected => ({ event: d.event, call: d.name, field: f.field, actual: f.actual })),
  );
}

const covers = (e: Expected, seen: Expected): boolean =>
  e.call === seen.call &&
  e.field === seen.field &&
  (e.event === undefined || e.event === seen.event) &&
  (e.actual === undefined || e.actual === seen.actual);

export function judge(v: Verdict, e: Expectations): Judged {
  const seen = seenIn(v);
  const known = [...e.divergences, ...e.waivers];
  const unexpected = seen.filter((s) => !known.some((k) => covers(k, s)));
  // More divergences than are kept in full: what is not told cannot be expected.
  if (v.divergent > v.divergences.length)
    unexpected.push({ call: '(more)', field: `${v.divergent - v.divergences.length} further divergences` });
  return { unexpected, absent: e.divergences.filter((k) => !seen.some((s) => covers(k, s))) };
}
