// Whether a trace of crowd.c has what that program counted itself.
import * as assert from 'node:assert/strict';
import Database from 'better-sqlite3';

import { ops } from '../../schema/event.ts';

interface Counted {
  /** By "CALL ERRNO"; errno 0: it succeeded. */
  readonly counts: Record<string, number>;
  /** Descriptors that dup3 closed on the way. */
  readonly replaced: number;
  /** Descriptors that came by SCM_RIGHTS. */
  readonly received: number;
}

/** What the program printed. */
export function readCounted(stdout: string): Counted {
  const said = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  const all = Object.fromEntries(said.map(([call, errno, n]) => [`${call} ${errno}`, Number(n)]));
  const { 'replaced 0': replaced = 0, 'received 0': received = 0, ...counts } = all;
  return { counts, replaced, received };
}

const counted = ['open', 'dup', 'close', 'sendmsg', 'recvmsg', 'pread', 'ioctl'] as const;

/** Throws where the trace at `path` has not exactly the calls, by result, that the program counted. */
export function judgeCrowd(path: string, said: Counted): void {
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
    assert.deepEqual(list('SELECT * FROM loss'), []);
    assert.deepEqual(list('SELECT * FROM event WHERE ret IS NULL'), []);
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
