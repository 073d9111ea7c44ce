// Descriptors passed over sockets: the same open file where both ends are recorded, and a named loss where one is not.

import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { cli, prepare, root, standin } from './build.ts';

const test = suite('passed descriptors');
const program = join(root, 'test/interposer/build/program');
let folder = '';
test.before(() => {
  prepare();
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-passed-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

function losses(...scene: string[]): string[] {
  const path = join(folder, `${scene.join('-')}.vrr`);
  const env = { ...process.env, LD_PRELOAD: standin };
  spawnSync('node', [cli, 'record', '-o', path, '--', program, ...scene], { encoding: 'utf8', timeout: 60_000, env });
  const db = new Database(path, { readonly: true });
  try {
    return db.prepare("SELECT count || ' ' || detail FROM loss WHERE what = 'descriptor'").pluck().all() as string[];
  } finally {
    db.close();
  }
}

test('to a process that is not recorded', () => {
  const [only, ...rest] = losses('sending');
  assert.match(
    only ?? '',
    /^1 \S+ went over a socket to a process that is not recorded \(event \d+\): what is done with it there is not in the trace$/,
  );
  assert.equal(rest.length, 0);
});

test('so many that they are named no more', () => {
  const all = losses('sending', '40');
  assert.equal(all.length, 17);
  assert.match(all[16] ?? '', /^24 more went over sockets to processes that are not recorded \(events \d+ to \d+\)$/);
});

test.run();
