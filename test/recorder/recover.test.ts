// `recover`: what it takes, and what it refuses in one sentence.

import * as assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { inline, writeRing } from '../rings/ring-file.ts';
import { cli, counter, prepare, standin } from './build.ts';

const test = suite('recover');
let folder = '';

test.before(prepare);
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-récover-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

const recover = (...args: string[]) =>
  spawnSync('node', [cli, 'recover', ...args], { cwd: folder, encoding: 'utf8', timeout: 60_000 });
const ringFile = (): string => join(folder, readdirSync(folder).find((f) => /^vfio-rr-.*\.ring$/.test(f)) ?? 'none');
const pwrites = (trace: string): number => {
  const db = new Database(join(folder, trace), { readonly: true });
  try {
    assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    return db.prepare("SELECT count(*) FROM call WHERE name = 'pwrite'").pluck().get() as number;
  } finally {
    db.close();
  }
};

/** Leaves t.vrr and its ring behind, as a recorder killed with its program does. */
async function killed(): Promise<void> {
  const child = spawn('node', [cli, 'record', '-o', 't.vrr', '--ring', folder, '--', counter, 'state', '1', '40000'], {
    cwd: folder,
    stdio: 'ignore',
    env: { ...process.env, LD_PRELOAD: standin },
  });
  const gone = new Promise((done) => child.once('exit', done));
  while (!existsSync(join(folder, 'state'))) await new Promise((done) => setTimeout(done, 1));
  process.kill(child.pid ?? 0, 'SIGKILL');
  await gone;
  while (spawnSync('pgrep', ['-f', `${counter} state`]).status === 0) await new Promise((done) => setTimeout(done, 20));
}

test('the trace names its ring', async () => {
  await killed();
  const r = recover('t.vrr');
  assert.equal(r.status, 0, r.stderr);
  assert.match(r.stderr, /40002 calls recorded/);
  assert.equal(pwrites('t.vrr'), 40000);
  assert.ok(!existsSync(ringFile()));
  const again = recover('t.vrr');
  assert.equal(again.status, 2);
  assert.match(again.stderr, /finished trace already/);
});

test('the recorder was killed before the first call', async () => {
  const waits = `until [ -e go ]; do sleep 0.05; done; exec ${counter} state 1 500`;
  const recorder = spawn('node', [cli, 'record', '-o', 't.vrr', '--ring', folder, '--', 'sh', '-c', waits], {
    cwd: folder,
    stdio: 'ignore',
    env: { ...process.env, LD_PRELOAD: standin },
  });
  const gone = new Promise((done) => recorder.once('exit', done));
  while (spawnSync('pgrep', ['-f', `^sh -c until.*${counter} state 1 500`]).status !== 0)
    await new Promise((done) => setTimeout(done, 20));
  process.kill(recorder.pid ?? 0, 'SIGKILL');
  await gone;
  const recovered = spawn('node', [cli, 'recover', 't.vrr'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const status = new Promise((done) => recovered.once('exit', done));
  let said = '';
  recovered.stderr.setEncoding('utf8').on('data', (text) => {
    said += text;
    if (said.includes('still runs')) writeFileSync(join(folder, 'go'), '');
  });
  const limit = setTimeout(() => writeFileSync(join(folder, 'go'), ''), 20_000);
  assert.equal(await status, 0, said);
  clearTimeout(limit);
  assert.match(said, /the program still runs/);
  assert.equal(pwrites('t.vrr'), 500);
});

test('a process that only knows the ring by name is none of its writers', async () => {
  await killed();
  const script = spawnSync('sh', ['-c', `node ${cli} recover t.vrr; exit $?`], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, RING: ringFile() },
  });
  assert.equal(script.status, 0, script.stderr);
  assert.doesNotMatch(script.stderr, /still runs/);
});

test('the ring, with the trace that it belongs to', async () => {
  await killed();
  assert.equal(recover(ringFile(), '-o', 't.vrr').status, 0);
  assert.equal(pwrites('t.vrr'), 40000);
});

test('a ring without its trace', () => {
  const ring = writeRing(folder, [
    { pid: 1, tid: 1, records: [1, 2, 3].map((i) => inline('pwrite', i * 50, 0n, BigInt(i))) },
  ]);
  assert.equal(recover(ring).status, 2);
  const r = recover(ring, '-o', 'new.vrr');
  assert.equal(r.status, 0, r.stderr);
  assert.equal(pwrites('new.vrr'), 3);
});

test('a ring of another recording', async () => {
  await killed();
  const other = writeRing(folder, [{ pid: 1, tid: 1, records: [inline('pwrite', 50, 0n, 1n)] }]);
  const r = recover(other, '-o', 't.vrr');
  assert.equal(r.status, 2);
  assert.match(r.stderr, /belongs to the ring/);
});

test('what is no ring, no trace, cut off or not there', async () => {
  writeFileSync(join(folder, 'text.ring'), 'text'.repeat(1000));
  writeFileSync(join(folder, 'empty.vrr'), '');
  writeFileSync(join(folder, 'text.vrr'), 'text'.repeat(1000));
  await killed();
  const ring = ringFile();
  copyFileSync(ring, join(folder, 'cut.ring'));
  spawnSync('truncate', ['-s', '100K', join(folder, 'cut.ring')]);
  rmSync(ring);
  for (const [args, status, said] of [
    [['text.ring', '-o', 'x.vrr'], 3, /not a ring file/],
    [['text.vrr'], 3, /text\.vrr is not a trace: it is no SQLite file/],
    [['empty.vrr'], 3, /empty\.vrr is empty/],
    [['.'], 3, /no regular file/],
    [['cut.ring', '-o', 'x.vrr'], 3, /damaged/],
    [['nothing.vrr'], 2, /there is no such file/],
    [['t.vrr'], 3, /is gone/],
  ] as const) {
    const r = recover(...args);
    assert.equal(r.status, status, `${args}: ${r.stderr}`);
    assert.match(r.stderr, said);
    assert.equal(r.stderr.trim().split('\n').length, 1, r.stderr);
  }
});

test.run();
