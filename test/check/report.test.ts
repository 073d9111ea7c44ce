// The reports of a check and its verdict: text, JSON, SARIF, JUnit, waivers.

import { execFileSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rules } from '../../schema/rules.ts';
import { check, type Subject } from '../../traces/check/check.ts';
import { render } from '../../traces/check/run.ts';
import { parseWaivers } from '../../traces/check/waivers.ts';
import { Script } from './emulated.ts';
import { feature, pread } from './scenario.ts';
import { getState, one, setState, V2, v2Opened } from './scenarios/setup.ts';

const DEVICE = '0000:00:04.0';
function run(): Subject {
  const script = new Script(one('v2-full'));
  script.run([
    ...v2Opened,
    feature('d', 'SET', 'MIG_DEVICE_STATE', { device_state: 0 }, { fails: 'EINVAL' }),
    setState(V2.STOP),
    getState(),
    pread('d', 0, 0, 4),
    pread('d', 0, 8, 4),
  ]);
  return { name: 'a&b<"c">.vrr', events: script.events, line: (e) => `#${e.id} ${e.op}`, mmio: 'hide', lost: 0 };
}

test('text says rule, source, who, event and state', () => {
  const text = render(check([run()]), 'text', 'MUST');
  assert.match(text, /MUST {3}R27 program 0000:00:04\.0: SET to ERROR/);
  assert.match(text, /rule: .*vfio_main\.c:856/);
  assert.match(text, /event: #7 ioctl/);
  assert.match(text, /before: .*state RUNNING/);
  assert.match(text, /2 times: events 10, 11/);
  assert.match(text, /Held: .*R32 \(1\)/);
  assert.match(text, /Not exercised: .*R10/);
});

test('JSON holds every rule once, and the findings', () => {
  const report = JSON.parse(render(check([run()]), 'json', 'MUST'));
  assert.equal(
    report.rules.map((r: { rule: string }) => r.rule),
    rules.map((r) => r.id),
  );
  const f = report.findings.find((x: { rule: string }) => x.rule === 'R54');
  assert.is(f.count, 2);
  assert.equal(f.events, [10, 11]);
  assert.is(f.who, 'user');
});

test('SARIF has its version, a rule and a place for each result', () => {
  const sarif = JSON.parse(render(check([run()]), 'sarif', 'MUST'));
  assert.is(sarif.version, '2.1.0');
  const [r] = sarif.runs;
  for (const result of r.results) {
    assert.is(r.tool.driver.rules[result.ruleIndex].id, result.ruleId);
    assert.ok(result.locations[0].physicalLocation.region.startLine > 0);
    assert.is(result.locations[0].physicalLocation.artifactLocation.uri, 'a%26b%3C%22c%22%3E.vrr');
  }
  assert.equal(r.results.map((x: { ruleId: string }) => x.ruleId).sort(), ['R27', 'R54']);
});

test('SARIF: a trace named by its whole path is a file: URI', () => {
  const sarif = JSON.parse(render(check([{ ...run(), name: '/var/run #1.vrr' }]), 'sarif', 'MUST'));
  const [result] = sarif.runs[0].results;
  assert.is(result.locations[0].physicalLocation.artifactLocation.uri, 'file:///var/run%20%231.vrr');
});

test('JUnit is well-formed, whatever the name, and counts right', () => {
  const xml = render(check([run()]), 'junit', 'MUST');
  assert.match(xml, /a&amp;b&lt;&quot;c&quot;&gt;\.vrr/);
  // Another parser's view: Python's.
  const program =
    'import sys,xml.etree.ElementTree as t;s=t.fromstring(sys.stdin.buffer.read())[0];print(s.get("tests"),s.get("failures"),s.get("skipped"),len(s.findall("testcase")),len(s.findall("testcase/failure")))';
  const [tests, failures, skipped, cases, failed] = execFileSync('python3', ['-c', program], {
    input: xml,
    encoding: 'utf8',
  })
    .trim()
    .split(' ')
    .map(Number);
  assert.is(tests, rules.length);
  assert.is(cases, rules.length);
  assert.is(failures, 2);
  assert.is(failed, 2);
  assert.ok((skipped ?? 0) > 20);
});

test('a waiver takes a finding out of the verdict, and keeps it in the report', () => {
  const waivers = parseWaivers(
    JSON.stringify([{ rule: 'R54', reason: 'vendor tool', device: DEVICE, events: '10' }]),
    'w',
  );
  const report = check([run()], { waivers });
  const found = report.findings.filter((f) => f.rule === 'R54');
  assert.equal(
    found.map((f) => [f.events, f.waived]),
    [
      [[10], 'vendor tool'],
      [[11], null],
    ],
  );
  assert.is(report.rules.find((r) => r.rule === 'R54')?.outcome, 'broken');
  const all = check([run()], { waivers: parseWaivers('[{"rule": "R54", "reason": "x"}]', 'w') });
  assert.is(all.rules.find((r) => r.rule === 'R54')?.outcome, 'waived');
  assert.match(render(all, 'text', 'MUST'), /waived: x/);
});

test('a waiver that covers nothing is said', () => {
  const report = check([run()], { waivers: parseWaivers('[{"rule": "R1", "reason": "old"}]', 'w') });
  assert.match(render(report, 'text', 'MUST'), /Waiver of R1 \(old\) covers nothing/);
});

for (const [name, text, says] of [
  ['no JSON', '{', /is not JSON/],
  ['no array', '{}', /array/],
  ['an unknown rule', '[{"rule": "R99", "reason": "x"}]', /R99.*does not exist/],
  ['no reason', '[{"rule": "R1"}]', /no reason/],
  ['an unknown key', '[{"rule": "R1", "reason": "x", "event": "3"}]', /'event'/],
  ['a bad range', '[{"rule": "R1", "reason": "x", "events": "a-b"}]', /120-400/],
] as const)
  test(`waivers with ${name}`, () => {
    assert.throws(
      () => parseWaivers(text, 'w.json'),
      (e: Error & { code?: string }) => e.code === 'USAGE' && says.test(e.message),
    );
  });

test.run();
