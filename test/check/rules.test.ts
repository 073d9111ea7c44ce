// Each rule on a trace that breaks it and on one that keeps it.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type RuleId, ruleOf, rules } from '../../schema/rules.ts';
import type { Precedence } from '../../schema/states-v1.ts';
import { type CheckReport, check, type Subject } from '../../traces/check/check.ts';
import type { TraceEvent } from '../../traces/event.ts';
import { Script } from './emulated.ts';
import type { Act, Scenario } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';

/** Rules that no trace shows to be broken, with the reason. */
const undecidable: Partial<Record<RuleId, string>> = {};

function subject(name: string, events: readonly TraceEvent[], mmio: Subject['mmio']): Subject {
  return { name, events, line: (e) => `#${e.id} ${e.op} ${e.call?.name ?? ''}`, mmio, lost: 0 };
}

function judge(s: Scenario): CheckReport {
  const mmio = s.mmio ?? 'hide';
  const script = new Script(s.devices);
  script.run(s.acts);
  const subjects = [subject('source', script.events, mmio)];
  if (s.destination) {
    const other = new Script(s.devices);
    for (const [name, bytes] of script.kept) other.kept.set(name, bytes);
    other.run(s.destination as readonly Act[]);
    subjects.push(subject('destination', other.events, mmio));
  }
  return check(subjects, { precedence: (s.precedence ?? null) as Precedence | null });
}

for (const s of scenarios)
  test(`${s.rule}: ${s.name}`, () => {
    const report = judge(s);
    const result = report.rules.find((r) => r.rule === s.rule);
    const found = report.findings.filter((f) => f.rule === s.rule);
    if (s.undecidable) assert.match(result?.undecidable.join('; ') ?? '', s.undecidable);
    else if (s.finds.length === 0) {
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
    } else {
      assert.is(found.length, s.finds.length, found.map((f) => f.text).join('\n') || 'nothing was found');
      for (const [i, want] of s.finds.entries()) {
        const f = found[i];
        assert.is(f?.level, want.level ?? ruleOf(s.rule).level);
        assert.is(f?.who, want.who ?? ruleOf(s.rule).who);
        if (want.says) assert.match(f?.text ?? '', want.says);
        assert.ok((f?.place.event ?? 0) > 0 && f?.source);
      }
    }
  });

for (const { id } of rules) {
  const own = scenarios.filter((s) => s.rule === id);
  test(`${id} has a violating trace`, () => {
    assert.ok(own.some((s) => s.finds.length > 0) || undecidable[id], `${id}: no scenario breaks it`);
  });
  test(`${id} has a clean trace`, () => {
    assert.ok(
      own.some((s) => s.finds.length === 0 && !s.undecidable) || undecidable[id],
      `${id}: no scenario keeps it`,
    );
  });
}

test.run();
