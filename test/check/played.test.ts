// timeout: 900
// The same scripts as a real program: it runs with the emulator as its devices, is recorded, and the recording is judged.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Precedence } from '../../schema/states-v1.ts';
import { type CheckReport, check } from '../../traces/check/check.ts';
import { subjectOf } from '../../traces/check/subject.ts';
import { openTrace } from '../../traces/trace.ts';
import type { Act, Scenario } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';
import { linesOf, unexpected } from './script.ts';
import { assertFound } from './verdict.ts';

const root = new URL('../..', import.meta.url).pathname;
const here = join(root, 'test/check');
const cli = join(root, 'dist/cli.js');
const dir = mkdtempSync(join(tmpdir(), 'played-'));
const only = process.env.RULE;

function record(s: Scenario, acts: readonly Act[], name: string): string {
  const lines = linesOf(acts);
  const script = join(dir, `${name}.script`);
  const trace = join(dir, `${name}.vrr`);
  writeFileSync(script, lines.map((l) => `${l.text}\n`).join(''));
  const devices = s.devices.flatMap((d) => ['--emulate', `${d.profile}:${d.name}@${d.group}`]);
  const run = spawnSync(
    process.execPath,
    [cli, 'play', ...devices, '--record', trace, '--force', '--', join(here, 'build/script'), script, dir],
    { encoding: 'utf8', timeout: 60_000, env: { ...process.env, LD_PRELOAD: join(here, 'build/liar.so') } },
  );
  assert.is(unexpected(lines, run.stdout), undefined, `${run.stderr}`);
  return trace;
}

function judge(s: Scenario): CheckReport {
  const paths = [record(s, s.acts, 'source')];
  if (s.destination) paths.push(record(s, s.destination, 'destination'));
  const traces = paths.map((p) => openTrace(p));
  try {
    return check(traces.map(subjectOf), { precedence: (s.precedence ?? null) as Precedence | null });
  } finally {
    for (const t of traces) t.close();
    for (const s of ['s0', 's1', 's2', 'a', 'b']) rmSync(join(dir, s), { force: true });
  }
}

test.before(() => {
  execFileSync('make', ['-s', '-C', here]);
});
test.after(() => rmSync(dir, { recursive: true, force: true }));

if (!existsSync(cli)) test.skip('dist/cli.js is not built: npm run build', () => undefined);
else
  for (const s of scenarios.filter((x) => !x.emulatedOnly && (!only || x.rule === only)))
    test(`${s.rule}: ${s.name}`, () => assertFound(s, judge(s)));

test.run();
