// timeout: 240
// `ctl`: what it does to a recording, whom it finds, and whom it refuses.

import * as assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { flight, prepare } from './build.ts';
import { ctl, type Running, rows, start } from './running.ts';

const test = suite('ctl');
let folder = '';

test.before(prepare);
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-ctl-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

const make = (name: string): void => writeFileSync(join(folder, name), '');
function say(...args: string[]): string {
  const r = ctl(folder, ...args);
  assert.equal(r.status, 0, r.stderr);
  return r.stdout;
}
function refused(said: RegExp, ...args: string[]): void {
  const r = ctl(folder, ...args);
  assert.equal(r.status, 2, r.stderr);
  assert.match(r.stderr, said);
  assert.equal(r.stderr.trim().split('\n').length, 1, r.stderr);
}
const recordTo = (output: string, ...rest: string[]): Running =>
  start(folder, ['record', '-o', output, '--ring', folder, ...rest]);

test('mark, stop, start, status', async () => {
  const program = ['reads', '10', 'mark', 'one', 'wait', 'go1', 'reads', '100', 'reset', 'mark', 'two', 'wait', 'go2'];
  const r = recordTo('t.vrr', '--', flight, ...program, 'reads', '5', 'mark', 'three', 'wait', 'go3');
  await r.made('one');
  say('mark', 'between the two');
  say('stop');
  make('go1');
  await r.made('two');
  const status = JSON.parse(say('status', '--json')) as { pid: number; recording: string; lost: object };
  // A read and, for every sixteenth, a write.
  assert.deepEqual([status.pid, status.recording, status.lost], [r.child.pid, 'PAUSED', { paused: 106 }]);
  say('start');
  make('go2');
  await r.made('three');
  assert.match(say('status'), /: recording\n/);
  refused(/keeps everything and has no dumps/, 'dump');
  make('go3');
  assert.equal((await r.ended).code, 0, r.said());
  assert.match(r.said(), /missed: 106 calls: made while recording was stopped/);
  const trace = join(folder, 't.vrr');
  const names = rows<{ name: string; n: number }>(trace, 'SELECT name, count(*) AS n FROM call GROUP BY name');
  const count = (name: string): number => names.find((x) => x.name === name)?.n ?? 0;
  assert.deepEqual([count('pread'), count('VFIO_DEVICE_RESET')], [15, 1]);
  const [mark] = rows<{ t: number; text: string; before: number; after: number }>(
    trace,
    `SELECT t, text, (SELECT max(t + dur) FROM event WHERE t < mark.t AND dur IS NOT NULL) AS before,
     (SELECT min(t) FROM event WHERE t > mark.t) AS after FROM mark`,
  );
  assert.equal(mark?.text, 'between the two');
  assert.ok(mark && mark.before < mark.t && mark.t < mark.after);
  assert.ok(!readdirSync(join(folder, 'vfio-rr')).some((f) => f.endsWith('.sock')), 'the socket is gone');
});

test('dump, and its name', async () => {
  const r = recordTo('t.vrr', '--keep', '60s', '--', flight, 'reads', '10', 'mark', 'one', 'wait', 'go1');
  await r.made('one');
  assert.equal(say('dump'), `${join(folder, 't-1.vrr')}\n`);
  const trace = join(folder, 't-1.vrr');
  assert.deepEqual(rows(trace, "SELECT value FROM meta WHERE key IN ('dump_reason', 'state') ORDER BY key"), [
    { value: 'ctl' },
    { value: 'finished' },
  ]);
  assert.deepEqual(rows(trace, "SELECT count(*) AS n FROM call WHERE name = 'pread'"), [{ n: 10 }]);
  make('go1');
  await r.ended;
});

test('several recordings, none, and one that was killed', async () => {
  refused(/nothing is being recorded/, 'status');
  const all = ['a', 'b'].map((name) => recordTo(`${name}.vrr`, '--', flight, 'mark', `${name}1`, 'wait', 'go'));
  await Promise.all(all.map((r, i) => r.made(`${'ab'[i]}1`)));
  refused(/several recordings are under way: name one with --pid/, 'status');
  const pid = all[0]?.child.pid ?? 0;
  assert.match(say('status', '--pid', String(pid)), new RegExp(`^${pid}: .*a\\.vrr`));
  refused(/is no recorder/, 'status', '--pid', '1');
  const gone = new Promise((done) => all[0]?.child.once('exit', done));
  process.kill(pid, 'SIGKILL');
  await gone;
  assert.match(say('status'), new RegExp(`^${all[1]?.child.pid}: `));
  assert.ok(!existsSync(join(folder, 'vfio-rr', `${pid}.sock`)), 'a stale socket is removed');
  make('go');
  await all[1]?.ended;
});

test('only for the user who records', async () => {
  const r = recordTo('t.vrr', '--', flight, 'mark', 'one', 'wait', 'go');
  await r.made('one');
  const mode = (path: string): number => statSync(path).mode & 0o777;
  assert.equal(mode(join(folder, 'vfio-rr')), 0o700);
  assert.equal(mode(join(folder, 'vfio-rr', `${r.child.pid}.sock`)), 0o600);
  make('go');
  await r.ended;
  // A folder that others may write to is not spoken into.
  chmodSync(join(folder, 'vfio-rr'), 0o777);
  const open = ctl(folder, 'status');
  assert.equal(open.status, 3);
  assert.match(open.stderr, /not a folder of this user's alone/);
});

test('a socket that does not answer as a recorder does', async () => {
  mkdirSync(join(folder, 'vfio-rr'), { mode: 0o700 });
  const server = createServer((socket) => socket.destroy()).listen(join(folder, 'vfio-rr', '77.sock'));
  const r = await new Promise<string>((done) => {
    const child = start(folder, ['ctl', 'status']);
    void child.ended.then(() => done(child.said()));
  });
  server.close();
  assert.match(r, /^vfio-rr: the recorder 77 does not answer.*\n$/);
});

test('a mark needs its text', () => {
  refused(/a mark has a text/, 'mark');
  refused(/a mark has a text/, 'dump', 'text');
});

test.run();
