// What a replay found, as data: what went otherwise than recorded, and everything that was left out of the comparison.

import type { FieldDifference } from '../traces/compare.ts';

export interface Divergence {
  readonly event: number;
  /** The recorded call as one line. */
  readonly call: string;
  readonly name: string;
  readonly differences: readonly FieldDifference[];
}

/** What is known of the device and of the call's inputs just before the first divergence. */
export interface Explanation {
  readonly state: readonly string[];
  readonly inputs: readonly string[];
}

export interface Tally {
  readonly why: string;
  count: number;
  /** The first event of it. */
  readonly first: number;
}
export interface Masked extends Tally {
  readonly name: string;
  readonly field: string;
  readonly expected: string;
  readonly actual: string;
}

export interface Verdict {
  readonly trace: string;
  readonly target: string;
  /** Recorded device and the one it was replayed on. */
  readonly devices: readonly { readonly recorded: string; readonly own: string }[];
  /** Calls in the trace, up to --until. */
  calls: number;
  /** Made again and compared. */
  compared: number;
  /** Only renamed or passed a descriptor: followed, nothing to compare. */
  followed: number;
  divergent: number;
  /** Not made, because what they needed was missing after a divergence. */
  consequences: number;
  /** The first ones. */
  readonly divergences: Divergence[];
  explanation: Explanation | null;
  readonly skipped: Tally[];
  readonly masked: Masked[];
  /** The replay was ended before the trace's end. */
  stopped: string | null;
  seconds: number;
}

/** Divergences that are kept with all they say. */
const KEPT = 1000;

export class Finding {
  readonly verdict: Verdict;
  readonly #skipped = new Map<string, Tally>();
  readonly #masked = new Map<string, Masked>();

  constructor(trace: string, target: string, devices: ReadonlyMap<string, string>) {
    this.verdict = {
      trace,
      target,
      devices: [...devices].map(([recorded, own]) => ({ recorded, own })),
      calls: 0,
      compared: 0,
      followed: 0,
      divergent: 0,
      consequences: 0,
      divergences: [],
      explanation: null,
      skipped: [],
      masked: [],
      stopped: null,
      seconds: 0,
    };
  }

  skip(event: number, why: string): void {
    const known = this.#skipped.get(why);
    if (known) known.count++;
    else {
      const tally: Tally = { why, count: 1, first: event };
      this.#skipped.set(why, tally);
      this.verdict.skipped.push(tally);
    }
  }

  mask(event: number, name: string, d: FieldDifference & { readonly mask: string }): void {
    const key = `${d.mask}\0${name}\0${d.field}`;
    const known = this.#masked.get(key);
    if (known) known.count++;
    else {
      const { field, expected, actual } = d;
      const entry: Masked = { why: d.mask, count: 1, first: event, name, field, expected, actual };
      this.#masked.set(key, entry);
      this.verdict.masked.push(entry);
    }
  }

  diverge(d: () => Divergence): void {
    this.verdict.divergent++;
    if (this.verdict.divergences.length < KEPT) this.verdict.divergences.push(d());
  }
}
