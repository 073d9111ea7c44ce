import { createHash } from 'node:crypto';
import Database from 'better-sqlite3';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { losses, ops, recordFlags } from '../../schema/event.ts';
import { fdKinds } from '../../schema/kinds.ts';
import { codecs, ddl, FORMAT_VERSION, versions } from '../../schema/trace.ts';

/**
 * What each version of the trace format is made of: its tables, and the numbers that stand in them. A change adds a row
 * to `versions` in schema/trace.ts and one here; rows of released versions never change.
 */
const released: Readonly<Record<number, string>> = {
  1: 'e3725b63edb446ef',
  2: 'b0f264a9b4987568',
  3: '0ddf3973a2b7c139',
};

function fingerprint(): string {
  const db = new Database(':memory:');
  db.exec(ddl);
  const columns = db.prepare(
    `SELECT m.name AS tbl, c.name, c.type, c.pk FROM sqlite_schema m JOIN pragma_table_info(m.name) c
     WHERE m.type = 'table' ORDER BY m.name, c.cid`,
  );
  const layout = JSON.stringify([columns.raw().all(), codecs, ops, fdKinds, recordFlags, losses]);
  db.close();
  return createHash('sha256').update(layout).digest('hex').slice(0, 16);
}

test('versions are numbered from 1', () =>
  assert.equal(
    versions.map((v) => v.version),
    versions.map((_, i) => i + 1),
  ));

test('the format has not changed without a new version', () =>
  assert.is(fingerprint(), released[FORMAT_VERSION], 'the trace format changed: add a row to `versions`'));

test.run();
