// timeout: 300
// What is changed underneath a running recording: its ring deleted, cut off or without room; its output taken by another
// recorder; a clock that cannot be trusted. The program goes on, and the trace has all of it or says what it lacks.

import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import { cli, flight, prepare, standin } from './build.ts';
import { rows, start } from './running.ts';

const test = suite('underneath');
let folder = '';

test.before(prepare);
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-underneath-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string): string => join(folder, name);
const ring = (): string => at(readdirSync(folder).find((f) => f.endsWith('.ring')) ?? 'no ring');
const reads = (trace: string): number =>
  rows<{ n: number }>(at(trace), "SELECT count(*) AS n FROM call WHERE name = 'pread'")[0]?.n ?? -1;
const lost = (trace: string): Record<string, number> =>
  Object.fromEntries(
    rows<{ what: string; count: number }>(at(trace), 'SELECT what, count FROM loss').map((l) => [l.what, l.count]),
  );
const program = [flight, 'reads', '100', 'mark', 'one', 'wait', 'go', 'reads', '5000'];

async function changed(change: () => void, name: string): Promise<{ code: number | null; said: string }> {
  const r = start(folder, ['record', '-o', name, '--ring', folder, '--', ...program]);
  await r.made('one');
  await setTimeout(300);
  change();
  writeFileSync(at('go'), '');
  const { code } = await r.ended;
  return { code, said: r.said() };
}

test('the ring is deleted', async () => {
  const { code, said } = await changed(() => rmSync(ring()), 't.vrr');
  assert.equal(code, 0, said);
  assert.deepEqual([reads('t.vrr'), lost('t.vrr')], [5100, {}]);
});

// Of the file's megabytes the first is its header.
for (const [size, what] of [
  [0, 'to nothing'],
  [1 << 20, 'behind its header'],
  [2 << 20, 'to one segment'],
] as const)
  test(`the ring is cut off ${what}`, async () => {
    const { code, said } = await changed(() => truncateSync(ring(), size), 't.vrr');
    assert.equal(code, 0, said);
    const there = reads('t.vrr');
    if (there === 5100) return assert.deepEqual(lost('t.vrr'), {});
    assert.ok(there >= 100 && (lost('t.vrr').streams ?? 0) > 0, said);
    assert.match(said, /lost: 1 stream: the ring file is damaged there/);
  });

test('the ring lies on a disk that is too small for what is said', () => {
  const disk = at('disk');
  mkdirSync(disk);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk]).status !== 0)
    return console.log('SKIP mounting a small disk takes root');
  try {
    const argv = [cli, 'record', '-o', at('t.vrr'), '--ring', disk, '--', flight, 'reads', '300000'];
    const r = spawnSync('node', argv, {
      encoding: 'utf8',
      timeout: 100_000,
      env: { ...process.env, LD_PRELOAD: standin },
    });
    assert.equal(r.status, 0, r.stderr);
    assert.equal(reads('t.vrr') + (lost('t.vrr').records ?? 0), 300_000);
  } finally {
    spawnSync('umount', [disk]);
  }
});

test('two recorders on one output: the second is refused, and with --force both traces are whole', async () => {
  const first = start(folder, ['record', '-o', 't.vrr', '--ring', folder, '--', ...program]);
  await first.made('one');
  const second = (...options: string[]) =>
    spawnSync('node', [cli, 'record', '-o', 't.vrr', ...options, '--', flight, 'reads', '7'], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 60_000,
      env: { ...process.env, LD_PRELOAD: standin },
    });
  const refused = second();
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /^vfio-rr: .*t\.vrr exists; --force overwrites it.*\n$/);
  const forced = second('--force');
  assert.equal(forced.status, 0, forced.stderr);
  writeFileSync(at('go'), '');
  assert.equal((await first.ended).code, 0, first.said());
  assert.match(first.said(), /was moved or deleted while it was recorded; all of it is in .*t-1\.vrr/);
  assert.deepEqual([reads('t.vrr'), reads('t-1.vrr')], [7, 5100]);
});

test('the kernel does not trust the TSC: records bear CLOCK_MONOTONIC', () => {
  writeFileSync(at('source'), 'hpet\n');
  const shown = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
  const record = ['node', cli, 'record', '-o', at('t.vrr'), '--', flight, 'reads', '1000'];
  const script = 'mount --bind "$0" "$1" && shift && exec "$@"';
  const before = process.hrtime.bigint();
  const r = spawnSync('unshare', ['-rm', 'sh', '-c', script, at('source'), shown, ...record], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, LD_PRELOAD: standin },
  });
  if (/unshare|mount:/.test(r.stderr)) return console.log('SKIP no user namespaces here');
  assert.equal(r.status, 0, r.stderr);
  const [clock] = rows<{ value: string }>(at('t.vrr'), "SELECT value FROM meta WHERE key = 'clock'");
  assert.equal(clock?.value, 'MONOTONIC');
  assert.deepEqual([reads('t.vrr'), lost('t.vrr')], [1000, {}]);
  const [times] = rows<{ first: number; last: number; wrong: number }>(
    at('t.vrr'),
    'SELECT min(t) AS first, max(t + dur) AS last, count(*) FILTER (WHERE dur < 0) AS wrong FROM event',
  );
  assert.ok(times && times.first >= 0 && times.last < Number(process.hrtime.bigint() - before) && times.wrong === 0);
});

test.run();
