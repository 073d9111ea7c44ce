// timeout: 600
// The same scripts as a real program: it runs with the emulator as its devices, is recorded, and the recording is judged.
// Two run at a time. RULE=R27 runs those of one rule.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
const rule = process.env.RULE;
const LIMIT = 30_000;
const AT_ONCE = 2;

/** Records the program that makes these calls; what went otherwise than it was to, if anything. */
function record(s: Scenario, acts: readonly Act[], dir: string, name: string): Promise<string | undefined> {
  const lines = linesOf(acts);
  const script = join(dir, `${name}.script`);
  writeFileSync(script, lines.map((l) => `${l.text}\n`).join(''));
  const devices = s.devices.flatMap((d) => ['--emulate', `${d.profile}:${d.name}@${d.group}`]);
  const program = [join(here, 'build/script'), script, dir];
  const recorded = ['--record', join(dir, `${name}.vrr`), ...(s.mmio ? ['--mmio', s.mmio] : [])];
  const args = [cli, 'play', ...devices, ...recorded, '--', ...program];
  const env = { ...process.env, LD_PRELOAD: join(here, 'build/liar.so') };
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env, timeout: LIMIT }, (_error, stdout, stderr) => {
      const wrong = unexpected(lines, stdout);
      resolve(wrong && `${wrong}\n${stderr}`);
    });
  });
}

async function judge(s: Scenario, dir: string): Promise<CheckReport> {
  mkdirSync(dir);
  const names = s.destination ? ['source', 'destination'] : ['source'];
  for (const name of names) {
    const wrong = await record(s, (name === 'source' ? s.acts : s.destination) ?? [], dir, name);
    if (wrong) throw new Error(wrong);
  }
  const traces = names.map((n) => openTrace(join(dir, `${n}.vrr`)));
  try {
    return check(traces.map(subjectOf), { precedence: (s.precedence ?? null) as Precedence | null });
  } finally {
    for (const t of traces) t.close();
    rmSync(dir, { recursive: true });
  }
}

if (!existsSync(cli) || !existsSync(join(root, 'native/build/libvfio-rr-play.so')))
  test.skip('not built: npm run build', () => undefined);
else {
  execFileSync('make', ['-s', '-C', here]);
  const dir = mkdtempSync(join(tmpdir(), 'played-'));
  const chosen = scenarios.filter((s) => !rule || s.rule === rule);
  const reports = new Map<Scenario, Promise<CheckReport>>();
  const lanes = Array.from({ length: AT_ONCE }, () => Promise.resolve<unknown>(undefined));
  for (const [i, s] of chosen.entries()) {
    const lane = i % AT_ONCE;
    const report = (lanes[lane] as Promise<unknown>).then(() => judge(s, join(dir, `${i}`)));
    reports.set(s, report);
    lanes[lane] = report.catch(() => undefined); // told by its test
    test(`${s.rule}: ${s.name}`, async () => assertFound(s, await (reports.get(s) as Promise<CheckReport>)));
  }
  test.after(() => rmSync(dir, { recursive: true, force: true }));
  test('there are scripts to run', () => assert.ok(chosen.length > 0));
}

test.run();
