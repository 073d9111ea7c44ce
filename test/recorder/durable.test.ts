// A trace that is deleted or replaced while it is recorded, and a recording that is recovered somewhere else.

import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { cli, flight, prepare } from './build.ts';
import { rows, start } from './running.ts';

const test = suite('durability');
let folder = '';

test.before(prepare);
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-durable-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const reads = (trace: string): unknown =>
  rows<{ n: number }>(at(trace), "SELECT count(*) AS n FROM call WHERE name = 'pread'")[0]?.n;
const program = [flight, 'reads', '100', 'mark', 'one', 'wait', 'go', 'reads', '50'];

function replace(): void {
  writeFileSync(at('new'), 'mine');
  renameSync(at('new'), at('t.vrr'));
}

for (const [what, others, goesOn] of [
  ['deleted', (): void => rmSync(at('t.vrr')), 't.vrr'],
  ['replaced', replace, 't-1.vrr'],
] as const)
  test(`the trace is ${what} while it is recorded`, async () => {
    const r = start(folder, ['record', '-o', 't.vrr', '--ring', folder, '--', ...program]);
    await r.made('one');
    others();
    writeFileSync(at('go'), '');
    assert.equal((await r.ended).code, 0, r.said());
    assert.match(r.said(), /was moved or deleted while it was recorded; all of it is in .*, where it goes on/);
    assert.equal(reads(goesOn), 150);
    if (what === 'replaced') assert.equal(readFileSync(at('t.vrr'), 'utf8'), 'mine');
  });

test('a recording recovered in another folder', async () => {
  const r = start(folder, ['record', '-o', 't.vrr', '--ring', folder, '--', ...program]);
  await r.made('one');
  const gone = new Promise((done) => r.child.once('exit', done));
  process.kill(r.child.pid ?? 0, 'SIGKILL');
  await gone;
  writeFileSync(at('go'), '');
  await r.ended;
  mkdirSync(at('other'));
  const ring = readdirSync(folder).find((f) => f.endsWith('.ring')) ?? '';
  for (const name of ['t.vrr', ring]) renameSync(at(name), join(at('other'), name));
  const recover = (...args: string[]) =>
    spawnSync('node', [cli, 'recover', ...args], { cwd: at('other'), encoding: 'utf8' });
  const lacking = recover('t.vrr');
  assert.deepEqual([lacking.status, lacking.stderr.trim().split('\n').length], [3, 1]);
  assert.match(lacking.stderr, /name it with --ring/);
  const done = recover('t.vrr', '--ring', ring);
  assert.equal(done.status, 0, done.stderr);
  assert.equal(reads('other/t.vrr'), 150);
});

test.run();
