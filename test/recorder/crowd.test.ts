// 64 threads that open, copy, pass and close devices as fast as they can, judged by what they counted themselves.
// Five seconds; VFIO_RR_CROWD_SECONDS=60 for longer.
// timeout: 400

import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { ops } from '../../schema/event.ts';
import { cli, compile, prepare, root, standin } from './build.ts';

const test = suite('crowd');
const seconds = process.env.VFIO_RR_CROWD_SECONDS ?? '5';
const program = join(root, 'test/recorder/build/crowd');
const THREADS = '64';
let folder = '';

test.before(() => {
  prepare();
  compile('crowd.c', program, ['-pthread']);
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-crowd-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

type Counts = Record<string, number>;

function run(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = {},
): { counts: Counts; replaced: number; received: number } {
  const r = spawnSync(process.execPath, [cli, ...argv], {
    encoding: 'utf8',
    timeout: (300 + 20 * Number(seconds)) * 1000,
    env: { ...process.env, ...env },
  });
  assert.equal(r.status, 0, r.stderr);
  const said = r.stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const all = Object.fromEntries(said.map(([call, errno, n]) => [`${call} ${errno}`, Number(n)]));
  const { 'replaced 0': replaced = 0, 'received 0': received = 0, ...counts } = all;
  return { counts, replaced, received };
}

const counted = ['open', 'dup', 'close', 'sendmsg', 'recvmsg', 'pread', 'ioctl'] as const;

function judge(path: string, said: { counts: Counts; replaced: number; received: number }): void {
  const db = new Database(path, { readonly: true });
  const list = <T>(sql: string): T[] => db.prepare(sql).raw().all() as T[];
  const number = (sql: string): number => db.prepare(sql).pluck().get() as number;
  try {
    assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    const names = new Map(counted.map((name) => [ops[name] as number, name]));
    const rows = list<[number, number, number]>(
      `SELECT s.op, max(0, -e.ret), count(*) FROM event e JOIN site s ON s.id = e.site
       WHERE s.op IN (${[...names.keys()]}) GROUP BY 1, 2`,
    );
    assert.deepEqual(
      Object.fromEntries(rows.map(([op, errno, n]) => [`${names.get(op)} ${errno}`, n])),
      Object.fromEntries(Object.entries(said.counts).filter(([, n]) => n > 0)),
    );
    assert.equal(
      number(`SELECT count(*) FROM event e JOIN site s ON s.id = e.site WHERE s.op = ${ops.attach}`),
      said.received,
    );
    assert.equal(number('SELECT count(*) FROM loss'), 0);
    assert.equal(number('SELECT count(*) FROM event WHERE ret IS NULL'), 0);
    // Descriptors of each open file: made, copied, closed; dup2 closed the place's copy without a call of its own.
    const [open, negative] = list<[number, number]>(
      `WITH step(handle, n) AS (
         SELECT handle, 1 FROM made
         UNION ALL SELECT s.handle, iif(s.op = ${ops.dup}, 1, -1) FROM event e JOIN site s ON s.id = e.site
           WHERE s.op IN (${ops.dup}, ${ops.close}) AND e.ret >= 0)
       SELECT total(n), count(*) FILTER (WHERE n < 0 OR n > 1) FROM (SELECT sum(n) AS n FROM step GROUP BY handle)`,
    )[0] as [number, number];
    assert.deepEqual([open, negative], [said.replaced, 0]);
    assert.equal(number('SELECT count(*) FROM (SELECT handle FROM made GROUP BY handle HAVING count(*) <> 1)'), 0);
  } finally {
    db.close();
  }
}

test(`${THREADS} threads for ${seconds} s on the stand-in`, () => {
  const path = join(folder, 'standin.vrr');
  const argv = [program, THREADS, seconds, '/dev/vfio/devices/vfio0', '/dev/vfio/12'];
  const said = run(['record', '-o', path, '--', ...argv], { LD_PRELOAD: standin, STANDIN_LINKS: '1' });
  console.log(`  stand-in: ${JSON.stringify(said)}`);
  assert.ok((said.counts['open 0'] ?? 0) > 1000);
  judge(path, said);
});

test(`${THREADS} threads for ${seconds} s on the emulator`, () => {
  const path = join(folder, 'emulator.vrr');
  const argv = [program, THREADS, seconds, '/dev/vfio/devices/vfio0', '/dev/vfio/1'];
  const said = run(['play', '--emulate', 'edu:0000:00:04.0', '--record', path, '--', ...argv]);
  console.log(`  emulator: ${JSON.stringify(said)}`);
  assert.ok((said.counts['open 16'] ?? 0) > 0, 'a group is one thread’s at a time');
  judge(path, said);
});

test.run();
