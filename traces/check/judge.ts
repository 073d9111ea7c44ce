// Collects what the rules say. Findings that repeat are counted, not kept: a program that breaks a rule with every
// access of a million is one finding.

import type { Level, Who } from '../../schema/rule.ts';
import { type RuleId, ruleOf } from '../../schema/rules.ts';
import type { TraceEvent } from '../event.ts';

export interface Place {
  readonly trace: string;
  readonly event: number;
  /** The call on one line. */
  readonly call: string;
}

export interface Finding {
  readonly rule: RuleId;
  readonly level: Level;
  readonly who: Who;
  /** Device, address space or descriptor. */
  readonly subject: string;
  readonly text: string;
  readonly source: string;
  readonly place: Place;
  /** What the trace had made known before the call. */
  readonly shadow: string;
  /** Times, and the first of the events. */
  count: number;
  readonly events: number[];
  /** Reason of the waiver that covers it. */
  readonly waived: string | null;
}

export interface Outcome {
  held: number;
  broken: number;
  readonly undecidable: Set<string>;
}

/** Event ids kept of a repeated finding. */
const EVENTS_KEPT = 20;
/** Findings kept of one rule. */
const FINDINGS_KEPT = 50;

export interface Said {
  readonly event: TraceEvent;
  readonly subject: string;
  readonly text: string;
  /** Findings of one subject with one key are one; the text is the first's. */
  readonly key?: string;
  readonly level?: Level;
  readonly who?: Who;
}
export type Waive = (rule: RuleId, subject: string, event: number) => string | null;
export type Describe = { line(event: TraceEvent): string; shadow(subject: string): string };

/** What one rule says of one trace. */
export class Judge {
  readonly rule: RuleId;
  readonly outcome: Outcome = { held: 0, broken: 0, undecidable: new Set() };
  readonly findings = new Map<string, Finding>();
  /** Findings beyond the number kept. */
  dropped = 0;
  readonly #trace: string;
  readonly #describe: Describe;
  readonly #waive: Waive;
  constructor(rule: RuleId, trace: string, describe: Describe, waive: Waive) {
    this.rule = rule;
    this.#trace = trace;
    this.#describe = describe;
    this.#waive = waive;
  }

  held(): void {
    this.outcome.held++;
  }

  /** Something in the trace comes under the rule, and the trace does not show whether it keeps it. */
  undecidable(why: string): void {
    this.outcome.undecidable.add(why);
  }

  broken(said: Said): void {
    this.outcome.broken++;
    const { event, subject } = said;
    const rule = ruleOf(this.rule);
    const waived = this.#waive(this.rule, subject, event.id);
    const level = said.level ?? rule.level;
    const key = `${waived ?? ''}|${subject}|${level}|${said.key ?? ''}`;
    const known = this.findings.get(key);
    if (known) {
      known.count++;
      if (known.events.length < EVENTS_KEPT) known.events.push(event.id);
    } else if (this.findings.size >= FINDINGS_KEPT) this.dropped++;
    else
      this.findings.set(key, {
        rule: this.rule,
        level,
        who: said.who ?? rule.who,
        subject,
        text: said.text,
        source: rule.source,
        place: { trace: this.#trace, event: event.id, call: this.#describe.line(event) },
        shadow: this.#describe.shadow(subject),
        count: 1,
        events: [event.id],
        waived,
      });
  }
}
