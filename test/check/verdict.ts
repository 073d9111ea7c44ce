// What a scenario is to find, asked of a check's report.

import * as assert from 'uvu/assert';
import { ruleOf } from '../../schema/rules.ts';
import type { CheckReport } from '../../traces/check/check.ts';
import type { Scenario } from './scenario.ts';

export function assertFound(s: Scenario, report: CheckReport): void {
  const result = report.rules.find((r) => r.rule === s.rule);
  const found = report.findings.filter((f) => f.rule === s.rule);
  if (s.undecidable) {
    assert.match(result?.undecidable.join('; ') ?? '', s.undecidable);
    return;
  }
  if (s.finds.length === 0) {
    assert.equal(
      found.map((f) => f.text),
      [],
      'a clean trace has findings',
    );
    assert.equal(result?.outcome, 'held');
    const others = report.findings.filter((f) => f.level === 'MUST' && !s.also?.includes(f.rule));
    assert.equal(
      others.map((f) => `${f.rule} ${f.text}`),
      [],
      'a clean trace breaks another rule',
    );
    return;
  }
  assert.is(found.length, s.finds.length, found.map((f) => f.text).join('\n') || 'nothing was found');
  for (const [i, want] of s.finds.entries()) {
    const f = found[i];
    assert.is(f?.level, want.level ?? ruleOf(s.rule).level);
    assert.is(f?.who, want.who ?? ruleOf(s.rule).who);
    if (want.says) assert.match(f?.text ?? '', want.says);
    assert.ok((f?.place.event ?? 0) > 0 && f?.source);
  }
}
