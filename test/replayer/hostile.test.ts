// Traces that somebody has tampered with: a replay ends with a verdict or one sentence, never with a crash, and opens
// nothing but VFIO paths.

import { join } from 'node:path';
import Database from 'better-sqlite3';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { samePlaces } from '../../replayer/places.ts';
import { replay } from '../../replayer/replay.ts';
import { createResult } from '../../replayer/result.ts';
import { TraceError } from '../../schema/errors.ts';
import { openTrace } from '../../traces/trace.ts';
import { inTemporary } from '../traces/make.ts';
import { sample } from '../traces/sample.ts';
import { argOf, Scripted } from './scripted.ts';

let seed = 2026;
const random = (n: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
};
const wild = [0, 1, -1, 7, 8, 255, 65536, 2 ** 31 - 1, -(2 ** 31), 2 ** 40, 2 ** 53 - 1, -(2 ** 53)];
const columns = {
  event: ['t', 'dur', 'a', 'ret', 'val', 'inp', 'outp', 'site'],
  site: ['thread', 'handle', 'kind', 'fd', 'op', 'request', 'feature', 'region', 'length', 'flags'],
  handle: ['kind', 'process', 'fd', 'parent', 'alias'],
  memory: ['at', 'phase', 'payload', 'total'],
  made: ['handle', 'kind'],
  region: ['idx', 'size', 'offset'],
  process: ['pid', 'parent'],
} as const;

function tamper(path: string): void {
  const db = new Database(path);
  for (let i = 0; i < 3; i++) {
    const tables = Object.keys(columns) as (keyof typeof columns)[];
    const table = tables[random(tables.length)] ?? 'event';
    const names = columns[table];
    const set = `UPDATE OR IGNORE ${table} SET ${names[random(names.length)]} = ?`;
    const value = random(5) === 0 ? null : (wild[random(wild.length)] ?? 0);
    if (random(3) === 0) db.prepare(set).run(value);
    else if (table === 'region') db.prepare(`${set} WHERE idx = 0`).run(value);
    else
      db.prepare(`${set} WHERE rowid = (SELECT rowid FROM ${table} ORDER BY rowid LIMIT 1 OFFSET ?)`).run(
        value,
        random(20),
      );
  }
  // And the bytes themselves.
  const rows = db.prepare('SELECT id, data FROM payload WHERE data IS NOT NULL').all() as {
    id: number;
    data: Buffer;
  }[];
  for (const { id, data } of rows) {
    if (random(4) !== 0 || data.length === 0) continue;
    data[random(data.length)] = random(256);
    db.prepare('UPDATE payload SET data = ? WHERE id = ?').run(data, id);
  }
  db.close();
}

async function once(dir: string, round: number): Promise<string> {
  const path = join(dir, `${round}.vrr`);
  sample(path);
  tamper(path);
  const target = new Scripted((r) =>
    r.op === 'pread' || r.op === 'read' ? { ret: 4, arg: Buffer.alloc(4) } : undefined,
  );
  try {
    const trace = openTrace(path, { unfinished: true });
    try {
      const result = createResult(trace, join(dir, `${round}-now.vrr`));
      const verdict = await replay({
        ...{ trace, target, places: samePlaces(trace, new Map()), until: Number.MAX_SAFE_INTEGER, speed: 'recorded' },
        ...{ masks: [], raw: true, patience: 100, settle: 10, stop: false },
        seen: (expected, actual, dur) => result.add(expected, actual, dur),
      });
      result.finish(verdict);
    } finally {
      trace.close();
    }
    return 'verdict';
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    return error.code;
  } finally {
    for (const r of target.of('open'))
      assert.match(argOf(r)?.toString() ?? '', /^\/dev\/(vfio\/[\w/-]+|iommu|null)\0$/);
  }
}

test('every tampered trace gets a verdict or a sentence', () =>
  inTemporary(async (dir) => {
    const ends = new Map<string, number>();
    for (let round = 0; round < 60; round++) {
      const before = seed;
      try {
        const end = await once(dir, round);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      } catch (error) {
        throw new Error(`seed ${before}: ${(error as Error).stack}`);
      }
    }
    assert.ok((ends.get('verdict') ?? 0) > 20, JSON.stringify([...ends]));
    assert.ok((ends.get('CORRUPT') ?? 0) > 0, JSON.stringify([...ends]));
  }));

test.run();
