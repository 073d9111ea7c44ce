// Findings that are known and accepted: a JSON file, an array of {rule, reason, device?, events?}.

import { readFileSync } from 'node:fs';
import { TraceError } from '../../schema/errors.ts';
import { isRuleId, type RuleId } from '../../schema/rules.ts';
import type { Waive } from './judge.ts';

export interface Waiver {
  readonly rule: RuleId;
  readonly reason: string;
  /** Device (or address space) as findings name it; all if left out. */
  readonly device?: string;
  /** `120` or `120-400`; all if left out. */
  readonly events?: string;
}

const keys: ReadonlySet<string> = new Set(['rule', 'reason', 'device', 'events']);

/** Throws TraceError('USAGE', …) with the place of what is wrong. */
export function parseWaivers(text: string, path: string): Waiver[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new TraceError('USAGE', `${path} is not JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(value))
    throw new TraceError('USAGE', `${path}: waivers are an array of {rule, reason, device?, events?}`);
  return value.map((x: unknown, i) => {
    const where = `${path}: waiver ${i + 1}`;
    if (typeof x !== 'object' || x === null) throw new TraceError('USAGE', `${where} is not an object`);
    const w = x as Record<string, unknown>;
    const unknown = Object.keys(w).find((k) => !keys.has(k));
    if (unknown)
      throw new TraceError('USAGE', `${where} has '${unknown}'; a waiver has rule, reason, device and events`);
    if (typeof w.rule !== 'string' || !isRuleId(w.rule))
      throw new TraceError(
        'USAGE',
        `${where} is for rule '${String(w.rule)}', which does not exist; \`vfio-rr check --list\` prints the rules`,
      );
    if (typeof w.reason !== 'string' || w.reason.trim() === '')
      throw new TraceError('USAGE', `${where} (${w.rule}) gives no reason`);
    if (w.device !== undefined && typeof w.device !== 'string')
      throw new TraceError('USAGE', `${where}: device is a name`);
    if (w.events !== undefined && !/^\d+(-\d+)?$/.test(String(w.events)))
      throw new TraceError('USAGE', `${where}: events is '120' or '120-400'`);
    return {
      rule: w.rule,
      reason: w.reason,
      ...(w.device === undefined ? {} : { device: w.device as string }),
      ...(w.events === undefined ? {} : { events: String(w.events) }),
    };
  });
}

export function readWaivers(path: string): Waiver[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new TraceError('USAGE', `cannot read the waivers ${path}: ${(error as NodeJS.ErrnoException).code ?? error}`);
  }
  return parseWaivers(text, path);
}

/** The reason that covers a finding, and which waivers were of use. */
export class Waivers {
  readonly used = new Set<Waiver>();
  readonly #byRule = new Map<string, { waiver: Waiver; first: number; last: number }[]>();
  constructor(waivers: readonly Waiver[]) {
    for (const waiver of waivers) {
      const [first, last] = (waiver.events ?? `1-${Number.MAX_SAFE_INTEGER}`).split('-').map(Number);
      const list = this.#byRule.get(waiver.rule) ?? [];
      list.push({ waiver, first: first as number, last: last ?? (first as number) });
      this.#byRule.set(waiver.rule, list);
    }
  }
  readonly waive: Waive = (rule, subject, event) => {
    for (const { waiver, first, last } of this.#byRule.get(rule) ?? []) {
      if (event < first || event > last || (waiver.device !== undefined && waiver.device !== subject)) continue;
      this.used.add(waiver);
      return waiver.reason;
    }
    return null;
  };
}
