// How reports say who broke a rule and how it ended.

import type { Who } from '../../schema/rule.ts';
import type { CheckReport, RuleResult } from './check.ts';
import type { Finding } from './judge.ts';

export const whoText: Readonly<Record<Who, string>> = { user: 'program', driver: 'driver' };

/** Event numbers, with `…` where more were found than kept. */
export function eventsText(f: Finding): string {
  const more = f.count > f.events.length ? ', …' : '';
  return `${f.events.join(', ')}${more}`;
}

export const open = (report: CheckReport): readonly Finding[] => report.findings.filter((f) => f.waived === null);
export const waived = (report: CheckReport): readonly Finding[] => report.findings.filter((f) => f.waived !== null);
export const ofOutcome = (report: CheckReport, outcome: RuleResult['outcome']): readonly RuleResult[] =>
  report.rules.filter((r) => r.outcome === outcome);
