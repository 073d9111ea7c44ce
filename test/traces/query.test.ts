import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TraceError } from '../../schema/errors.ts';
import { query } from '../../traces/query.ts';
import { listen } from './io.ts';
import { inTemporary } from './make.ts';
import { sample } from './sample.ts';

const run = (
  sql: string | undefined,
  format: 'table' | 'json' | 'csv',
  body: (out: string, path: string) => void,
): Promise<void> =>
  inTemporary(async (dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const io = listen();
    await query({ path, sql, format }, io);
    body(io.stdout(), path);
  });

test('a table is aligned', () =>
  run("SELECT name, calls FROM call_summary WHERE name LIKE 'VFIO_GROUP%' ORDER BY name", 'table', (out) =>
    assert.is(
      out,
      'name                      calls\nVFIO_GROUP_GET_DEVICE_FD      2\nVFIO_GROUP_GET_STATUS         1\nVFIO_GROUP_SET_CONTAINER      1\n',
    ),
  ));

test('JSON keeps types', () =>
  run("SELECT 1 AS one, NULL AS none, x'0a' AS bytes, 9007199254740993 AS wide, 'a\"b' AS text", 'json', (out) =>
    assert.equal(JSON.parse(out), { one: 1, none: null, bytes: '0a', wide: '9007199254740993', text: 'a"b' }),
  ));

test('CSV quotes what must be quoted', () =>
  run(`SELECT 'a,b' AS x, 'c"d' AS y, NULL AS z`, 'csv', (out) => assert.is(out, 'x,y,z\n"a,b","c""d",\n')));

test('without SQL it lists what there is', () =>
  run(undefined, 'table', (out) => {
    assert.match(out, /view\s+call_summary\s+name, kind, calls/);
    assert.match(out, /table\s+event\s+id, site/);
  }));

test('nothing can be written', () =>
  inTemporary(async (dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const before = readFileSync(path);
    const other = join(dir, 'other');
    for (const sql of [
      'DELETE FROM event',
      'DELETE FROM event RETURNING id',
      'DROP TABLE event',
      `ATTACH '${other}' AS o`,
      `VACUUM INTO '${other}'`,
      'PRAGMA journal_mode = wal',
      'PRAGMA user_version = 7',
      'SELECT 1; DELETE FROM event',
      '',
      'selec',
    ])
      try {
        await query({ path, sql, format: 'table' }, listen());
      } catch (e) {
        assert.instance(e, TraceError, sql);
        assert.is((e as TraceError).code, 'USAGE', sql);
      }
    assert.ok(before.equals(readFileSync(path)));
    assert.equal(readdirSync(dir), ['a.vrr']);
  }));

const shell = spawnSync('sqlite3', ['-version']).status === 0;
(shell ? test : test.skip)('the views answer the same in the plain sqlite3 shell', () =>
  run('SELECT * FROM call', 'json', (out, path) => {
    const theirs = execFileSync('sqlite3', ['-json', path, 'SELECT * FROM call'], { encoding: 'utf8' });
    const ours = out.trim().split('\n');
    assert.equal(
      ours.map((line) => JSON.parse(line)),
      JSON.parse(theirs),
    );
    assert.is(execFileSync('sqlite3', [path, 'PRAGMA integrity_check'], { encoding: 'utf8' }), 'ok\n');
  }),
);

test.run();
