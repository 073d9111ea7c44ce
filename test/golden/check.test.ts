// What `check` says of the golden traces: the findings that each was recorded to show, and none against a driver that is
// right.

import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Precedence } from '../../schema/states-v1.ts';
import { type CheckReport, check } from '../../traces/check/check.ts';
import { subjectOf } from '../../traces/check/subject.ts';
import { info } from '../../traces/info.ts';
import type { Io } from '../../traces/io.ts';
import { openTrace } from '../../traces/trace.ts';

const golden = fileURLToPath(new URL('../../traces/golden', import.meta.url));
const all = readdirSync(golden, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.vrr'));
const named = (pattern: RegExp): string[] => {
  const found = all.filter((name) => pattern.test(basename(name, '.vrr')));
  assert.ok(found.length > 0, `no golden trace is ${pattern}`);
  return found;
};

const reports = new Map<string, CheckReport>();
function checked(name: string, precedence: Precedence | null = null): CheckReport {
  const key = `${name} ${precedence}`;
  const known = reports.get(key);
  if (known) return known;
  const trace = openTrace(join(golden, name));
  try {
    const report = check([subjectOf(trace)], { precedence });
    reports.set(key, report);
    return report;
  } finally {
    trace.close();
  }
}
const findings = (name: string, rule: string, precedence: Precedence | null = null): string[] =>
  checked(name, precedence)
    .findings.filter((f) => f.rule === rule)
    .map((f) => `${f.level} ${f.who} ${f.text}`);

const test = suite('golden traces: check');

test("mtty gives 0, not ENOMSG, at PRE_COPY's temporary end: R40", () => {
  for (const name of named(/^mtty-(group|cdev)$/)) {
    assert.is(findings(name, 'R40').length, 1, name);
    assert.match(findings(name, 'R40')[0] ?? '', /^SHOULD driver read\(\) returns 0 at the temporary end in PRE_COPY/);
  }
});

test('QEMU 7.2 writes stop-and-copy a second time: R22', () => {
  for (const name of named(/^qemu-7\.2-v1-source$/))
    assert.ok(
      findings(name, 'R22').some((t) => /^MAY user device_state is SAVING \(2\) already/.test(t)),
      findings(name, 'R22').join('\n'),
    );
});

test('QEMU 7.2 stops two devices one after the other: R23', () => {
  for (const name of named(/^qemu-7\.2-v1-two-source$/))
    assert.ok(
      findings(name, 'R23').some((t) => /^MUST user .* stops while .* is SAVING\|RUNNING/.test(t)),
      findings(name, 'R23').join('\n'),
    );
});

test('both ends of a migration, together: the segments arrive as they were given, R19', () => {
  for (const source of named(/^qemu-7\.2-.*-source$/)) {
    const traces = [source, source.replace('-source', '-destination')].map((n) => openTrace(join(golden, n)));
    try {
      const report = check(traces.map(subjectOf));
      assert.is(report.rules.find((r) => r.rule === 'R19')?.outcome, 'held', source);
    } finally {
      for (const t of traces) t.close();
    }
  }
});

test('RESUMING to SAVING passes an invalid value in the order v3, and none in the order derived: R21', () => {
  for (const name of named(/^v1-resume-save-v3-/)) {
    const [first = '', ...more] = findings(name, 'R21', 'v3');
    assert.match(
      first,
      /^MUST user RESUMING \(4\) to SAVING \(2\) .* in the driver's order v3 passes ERROR \(6\)/,
      name,
    );
    assert.is(more.length, 0, name);
    assert.match(findings(name, 'R21')[0] ?? '', /depends on the order/, 'without knowing the order');
  }
  for (const name of named(/^v1-resume-save-derived-/)) assert.equal(findings(name, 'R21', 'derived'), [], name);
});

/** The orders of v2 and v3 never clear SAVING, which is R5 of the emulated driver. */
const wrongDriver = /^v1-states-v[23]$/;

test('a driver whose order of bits does not arrive: R5', () => {
  for (const name of named(wrongDriver)) assert.is(findings(name, 'R5').length, 1, name);
});

for (const name of all.filter((n) => !wrongDriver.test(basename(n, '.vrr'))))
  test(`${name}: no MUST against the driver`, () => {
    const found = checked(name).findings.filter((f) => f.who === 'driver' && f.level === 'MUST');
    assert.equal(
      found.map((f) => `${f.rule} ${f.text} ${f.place.call}`),
      [],
    );
  });

test('as many calls as info counts', () => {
  for (const name of all) {
    let out = '';
    info({ path: join(golden, name), json: true }, { out: (text) => (out += text) } as Partial<Io> as Io);
    assert.is(checked(name).traces[0]?.calls, (JSON.parse(out) as { calls: number }).calls, name);
  }
});

test.run();
