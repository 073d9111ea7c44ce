// timeout: 300
import { copyFileSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TraceError } from '../../schema/errors.ts';
import { recordFlags } from '../../schema/event.ts';
import { eventObject, jsonLine } from '../../traces/format/json.ts';
import { eventLine } from '../../traces/format/line.ts';
import { traceInfo } from '../../traces/info.ts';
import { Names } from '../../traces/names.ts';
import { parseRange } from '../../traces/range.ts';
import { deviceStates } from '../../traces/states.ts';
import { openTrace, plain } from '../../traces/trace.ts';
import { inTemporary, TraceMaker } from './make.ts';

function sample(path: string, events = 10): void {
  const m = new TraceMaker(path);
  m.handle(1, 'container', { fd: 3, path: '/dev/vfio/vfio' });
  m.handle(2, 'device', { fd: 5, name: '0000:00:04.0' }).handle(3, 'device', { alias: 2 });
  m.region(2, 0, { size: 0x100000n });
  m.event({
    op: 'open',
    kind: 'container',
    fd: -1,
    ret: 3,
    made: { handle: 1, kind: 'container' },
    input: Buffer.from('/dev/vfio/vfio\0'),
  });
  for (let i = 1; i < events; i++)
    m.event({
      op: 'pread',
      handle: 3,
      fd: 5,
      region: 0,
      length: 4,
      flags: recordFlags.INLINE,
      a: i * 4,
      ret: 4,
      val: 0x80000000 + i,
    });
  m.finish();
}

function error(path: string, work: () => void): TraceError {
  try {
    work();
  } catch (e) {
    assert.instance(e, TraceError, String((e as Error).stack));
    assert.match((e as Error).message, path);
    assert.not.match((e as Error).message, /\n/);
    return e as TraceError;
  }
  throw new Error('no error');
}

test('events come in order, with their sites, and more than a page of them', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path, 10_000);
    const trace = openTrace(path);
    assert.is(trace.count(), 10_000);
    const ids = [...trace.events()].map((e) => e.id);
    assert.equal(
      ids,
      Array.from({ length: 10_000 }, (_, i) => i + 1),
    );
    const e = trace.event(7);
    assert.is(e?.op, 'pread');
    assert.is(e?.a, 24n);
    assert.is(e?.val, 0x80000006n);
    assert.equal(e?.output, Buffer.from([6, 0, 0, 0x80]));
    assert.is(e?.input, null);
    assert.is(e?.pid, 100);
    assert.is(trace.event(10_001), undefined);
    trace.close();
  }));

test('an alias stands for the handle it is', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const trace = openTrace(path);
    assert.is(trace.event(2)?.handle, 2);
    assert.is(trace.event(1)?.made, 1);
    trace.close();
  }));

test('aliases that loop end', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.handle(1, 'device', { alias: 2 }).handle(2, 'device', { alias: 1 });
    m.event({ op: 'close', handle: 2 });
    m.finish();
    const trace = openTrace(path);
    assert.is(trace.event(1)?.handle, 1);
    trace.close();
  }));

test('values of 64 bits are exact and unsigned', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    const wide = 0xfedcba9876543210n;
    m.event({ op: 'pread', length: 8, flags: recordFlags.INLINE, a: 2n ** 62n + 1n, ret: 8, val: wide });
    m.finish();
    const trace = openTrace(path);
    const e = trace.event(1);
    assert.is(e?.val, wide);
    assert.is(e?.a, 2n ** 62n + 1n);
    assert.is(e?.output?.readBigUInt64LE(), wide);
    trace.close();
  }));

test('a plain event outlives the trace', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const trace = openTrace(path);
    const [first] = trace.events(parseRange(['1']));
    const copy = plain(first as NonNullable<typeof first>);
    trace.close();
    assert.is(copy.input?.toString('latin1'), '/dev/vfio/vfio\0');
    assert.is({ ...copy }.op, 'open');
  }));

test('what is no trace is said in one sentence', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    assert.is(error(path, () => openTrace(path)).code, 'USAGE');
    assert.is(error(dir, () => openTrace(dir)).code, 'NOT_A_TRACE');
    writeFileSync(path, '');
    assert.is(error(path, () => openTrace(path)).code, 'NOT_A_TRACE');
    writeFileSync(path, 'x'.repeat(5000));
    assert.is(error(path, () => openTrace(path)).code, 'NOT_A_TRACE');
    const other = join(dir, 'b.vrr');
    sample(other);
    const fd = openSync(other, 'r+');
    writeSync(fd, Buffer.from('ABCD'), 0, 4, 68);
    assert.match(error(other, () => openTrace(other)).message, /not a trace/);
  }));

test('a trace of a later format is refused', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const fd = openSync(path, 'r+');
    writeSync(fd, Buffer.from([0, 0, 0, 99]), 0, 4, 60);
    const e = error(path, () => openTrace(path));
    assert.is(e.code, 'VERSION_TOO_NEW');
    assert.match(e.message, 'format 99');
  }));

test('an unfinished trace is opened only for following', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    m.meta('state', 'recording').event({ op: 'close' });
    m.finish();
    assert.is(error(path, () => openTrace(path)).code, 'UNFINISHED');
    const trace = openTrace(path, { unfinished: true });
    assert.is(trace.finished, false);
    assert.is(trace.count(), 1);
    trace.close();
  }));

test('a trace that was cut off names the first missing page', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path, 5000);
    truncateSync(path, 40_000);
    const e = error(path, () => openTrace(path));
    assert.is(e.code, 'CORRUPT');
    assert.match(e.message, /cut off.*page 10 of/);
  }));

test('whatever byte is damaged, reading ends in the events or in one sentence', () =>
  inTemporary((dir) => {
    const good = join(dir, 'good.vrr');
    const path = join(dir, 'bad.vrr');
    sample(good, 3000);
    const size = readFileSync(good).length;
    let refused = 0;
    let seed = 1;
    const random = (): number => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed / 2147483648;
    };
    for (let i = 0; i < 150; i++) {
      copyFileSync(good, path);
      const fd = openSync(path, 'r+');
      const length = i % 3 === 0 ? 4096 : 1 + Math.floor(random() * 16);
      const at = i % 3 === 0 ? Math.floor(random() * (size / 4096)) * 4096 : Math.floor(random() * (size - 16));
      writeSync(fd, Buffer.from(Array.from({ length }, () => Math.floor(random() * 256))), 0, length, at);
      try {
        const trace = openTrace(path);
        try {
          for (const e of trace.events()) plain(e);
          trace.handles.size + trace.processes.size + trace.regions.length + trace.losses.length;
        } finally {
          trace.close();
        }
      } catch (e) {
        assert.instance(e, TraceError, String((e as Error).stack));
        assert.not.match((e as Error).message, /\n/);
        refused++;
      }
    }
    assert.ok(refused > 30, `${refused} refused`);
  }));

test('numbers that no recorder writes end in the events or in one sentence', () =>
  inTemporary((dir) => {
    const hostile: readonly string[] = [
      'UPDATE event SET id = 9223372036854775807 WHERE id = 3',
      'UPDATE event SET id = 4611686018427387904 + id WHERE id > 2',
      'UPDATE event SET id = -id',
      "UPDATE event SET t = 'soon'",
      'UPDATE event SET t = 1e300, dur = -5',
      "UPDATE event SET site = x'00'",
      'UPDATE event SET site = 77',
      "UPDATE event SET a = 'there', val = 1.5",
      'UPDATE event SET ret = 9223372036854775807, inp = 4, outp = -1',
      "UPDATE site SET op = 99, kind = 99, fd = 'x'",
      'UPDATE site SET length = 9223372036854775807, flags = -1',
      "UPDATE payload SET size = 4611686018427387904, codec = 1, data = 'text'",
      'UPDATE payload SET size = 60000000, codec = 1',
      'UPDATE handle SET alias = id + 1',
      "UPDATE handle SET kind = 'x', name = x'ff', alias = 9223372036854775807",
      'INSERT INTO memory SELECT 1, 1, 7, 99, -1',
      "INSERT INTO made SELECT id, 'x', 'y' FROM event",
      "UPDATE process SET pid = 'x'; UPDATE thread SET process = 9",
      "UPDATE region SET size = 'big', offset = NULL",
      "INSERT INTO meta VALUES ('state', x'00'), ('deep', 1e999)",
      "INSERT INTO context VALUES ('host', x'9fffffffffffffffffff')",
      'DROP TABLE loss; CREATE VIEW loss AS SELECT 1 AS what, 2 AS count, 3 AS detail',
      'ALTER TABLE event RENAME COLUMN a TO b',
    ];
    for (const sql of hostile) {
      const path = join(dir, 'a.vrr');
      rmSync(path, { force: true });
      sample(path);
      const db = new Database(path);
      db.exec(sql);
      db.close();
      try {
        const trace = openTrace(path);
        try {
          const names = new Names(trace);
          for (const e of trace.events()) {
            eventLine(plain(e), names);
            jsonLine(eventObject(e, names));
          }
          traceInfo(trace);
          deviceStates(trace);
        } finally {
          trace.close();
        }
      } catch (e) {
        assert.instance(e, TraceError, `${sql}: ${(e as Error).stack}`);
        assert.not.match((e as Error).message, /\n/);
      }
    }
  }));

test('a damaged page is named', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path, 20_000);
    const root = openTrace(path);
    const page = Number(
      root.select("SELECT max(pageno) AS p FROM (SELECT rootpage AS pageno FROM sqlite_schema WHERE name = 'event')")[0]
        ?.p,
    );
    root.close();
    const fd = openSync(path, 'r+');
    writeSync(fd, Buffer.alloc(4096, 0xff), 0, 4096, (page - 1) * 4096);
    const e = error(path, () => {
      const trace = openTrace(path);
      try {
        for (const event of trace.events()) plain(event);
      } finally {
        trace.close();
      }
    });
    assert.is(e.code, 'CORRUPT');
    assert.match(e.message, new RegExp(`page ${page}`));
  }));

test.run();
