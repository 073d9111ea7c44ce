// A check's report as JUnit: a case a rule; what cannot be decided, or did not come up, is skipped.

import { atLeast, type Level } from '../../schema/rule.ts';
import { ruleOf } from '../../schema/rules.ts';
import { type Case, junit } from '../junit.ts';
import type { CheckReport, RuleResult } from './check.ts';
import { eventsText, open, whoText } from './rule-words.ts';

function resultOf(r: RuleResult, report: CheckReport, least: Level): Case['result'] {
  const found = open(report).filter((f) => f.rule === r.rule && atLeast(f.level, least));
  const first = found[0];
  if (first)
    return {
      kind: 'failed',
      message: `${first.subject}: ${first.text}`,
      detail: found
        .map(
          (f) =>
            `${f.level} ${whoText[f.who]} ${f.subject}: ${f.text}\n${f.place.trace} ${f.place.call.trim()}\nbefore: ${f.shadow}\nevents ${eventsText(f)}\n${f.source}`,
        )
        .join('\n\n'),
    };
  if (r.outcome === 'not exercised') return { kind: 'skipped', why: 'not exercised' };
  if (r.outcome === 'undecidable') return { kind: 'skipped', why: r.undecidable.join('; ') };
  return { kind: 'passed' };
}

export function junitReport(report: CheckReport, least: Level): string {
  const cases = report.rules.map(
    (r): Case => ({
      name: `${r.rule} ${ruleOf(r.rule).text}`,
      group: `check.${ruleOf(r.rule).who === 'user' ? 'program' : 'driver'}`,
      result: resultOf(r, report, least),
    }),
  );
  return junit([{ name: report.traces.map((t) => t.name).join(' '), cases }]);
}
