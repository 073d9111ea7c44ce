// Each rule on a trace that breaks it and on one that keeps it.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type RuleId, rules } from '../../schema/rules.ts';
import type { Precedence } from '../../schema/states-v1.ts';
import { type CheckReport, check, type Subject } from '../../traces/check/check.ts';
import type { TraceEvent } from '../../traces/event.ts';
import { Script } from './emulated.ts';
import type { Act, Scenario } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';
import { assertFound } from './verdict.ts';

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
    assertFound(s, judge(s));
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
