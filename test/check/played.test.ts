// timeout: 1000
// The same scripts as a real program: it runs with the emulator as its devices, is recorded, and the recording is judged.
// Two run at a time. RULE=R27 runs those of one rule.

import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Precedence } from '../../schema/states-v1.ts';
import { type CheckReport, check } from '../../traces/check/check.ts';
import { subjectOf } from '../../traces/check/subject.ts';
import { openTrace } from '../../traces/trace.ts';
import { make } from '../make.ts';
import type { Act, Scenario } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';
import { linesOf, unexpected } from './script.ts';
import { assertFound } from './verdict.ts';

const root = new URL('../..', import.meta.url).pathname;
const here = join(root, 'test/check');
const cli = join(root, 'dist/cli.js');
const session = join(root, 'dist/replayer/play/session.js');
const rule = process.env.RULE;
const LIMIT = 30; // seconds
const AT_ONCE = 2;

/** Records the program that makes these calls; what went otherwise than it was to, if anything. */
async function record(s: Scenario, acts: readonly Act[], dir: string, name: string): Promise<string | undefined> {
  const lines = linesOf(acts);
  const script = join(dir, `${name}.script`);
  writeFileSync(script, lines.map((l) => `${l.text}\n`).join(''));
  const options = ['-o', join(dir, `${name}.vrr`), ...(s.mmio ? ['--mmio', s.mmio] : [])];
  const program = [join(here, 'build/script'), script, dir];
  // As `vfio-rr play --record`, without another start of Node for each script.
  const { play } = (await import(session)) as typeof import('../../replayer/play/session.ts');
  const devices = s.devices.map((d) => `${d.profile}:${d.name}@${d.group}`);
  const said = ['out', 'err'].map((stream) => join(dir, `${name}.${stream}`)) as [string, string];
  const [out, err] = said.map((path) => openSync(path, 'w')) as [number, number];
  try {
    await play(
      { kind: 'emulate', devices, faults: [], seed: 0, memlock: null },
      {
        command: ['timeout', `${LIMIT}`, process.execPath, cli, 'record', ...options, '--', ...program],
        env: { ...process.env, LD_PRELOAD: join(here, 'build/liar.so') },
        stdio: ['ignore', out, err],
      },
    );
  } finally {
    closeSync(out);
    closeSync(err);
  }
  const [stdout, stderr] = said.map((path) => readFileSync(path, 'utf8')) as [string, string];
  const wrong = unexpected(lines, stdout);
  return wrong && `${wrong}\n${stderr}`;
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
  make('test/check');
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
