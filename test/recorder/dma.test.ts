// `record --dma`: which pages of DMA memory are kept at which point, judged by the program that changed them.

import * as assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { dmaPoints, ops } from '../../schema/event.ts';
import { openTrace } from '../../traces/trace.ts';
import { cli, compile, prepare, root, standin } from './build.ts';

const test = suite('dma');
const program = join(root, 'test/recorder/build/memory');
let folder = '';

test.before(() => {
  prepare();
  compile('memory.c', program);
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-dma-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

function recorded(name: string, args: readonly string[]): SpawnSyncReturns<string> & { path: string } {
  const path = join(folder, name);
  const r = spawnSync('node', [cli, 'record', '-o', path, ...args, '--', program], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, LD_PRELOAD: standin },
  });
  return { ...r, path };
}

const point = (n: number | null): string => Object.entries(dmaPoints).find(([, v]) => v === n)?.[0] ?? '?';

test('pages: those that changed, with their bytes, at each point', () => {
  const { path, stdout, status } = recorded('pages.vrr', ['--dma', 'pages', '--doorbell', 'BAR0+0x20:4']);
  assert.equal(status, 0);
  const trace = openTrace(path);
  const kept = [...trace.events()].flatMap((e) => (e.op === 'dma' ? [{ a: e.a, ret: e.ret, output: e.output }] : []));
  trace.close();
  assert.deepEqual(
    kept.map((e) => `${point(e.ret)} ${(e.a ?? 0n).toString(16)} ${(e.output?.[0] ?? 0).toString(16)}`),
    stdout.trim().split('\n'),
  );
  for (const e of kept) assert.ok(e.output?.length === 4096 && e.output.every((b) => b === e.output?.[0]));
  const db = new Database(path, { readonly: true });
  assert.deepEqual(
    db.prepare("SELECT count FROM loss WHERE detail = 'it could not be read any more'").pluck().all(),
    [4], // pages 12 to 15
  );
  assert.equal(db.prepare('SELECT count(*) FROM payload WHERE size = 4096').pluck().get(), 6, 'equal pages once');
  db.close();
  const info = spawnSync('node', [cli, 'info', path], { encoding: 'utf8', timeout: 60_000 }).stdout;
  assert.match(info, /^DMA memory\n {2}9 pages that had changed, 36\.0 KiB$/m);
  const show = spawnSync('node', [cli, 'show', path, '@name:dma'], { encoding: 'utf8', timeout: 60_000 }).stdout;
  assert.equal(show.trim().split('\n').length, kept.length);
  assert.match(show, /dma\(\/dev\/vfio\/vfio, 0x101000, 4096\) \[d1 d1 .* \/\* at interrupt \*\/$/m);
});

test('hash: the same events without bytes, whatever --payload says', () => {
  const { path, stdout } = recorded('hash.vrr', ['--dma', 'hash', '--doorbell', 'BAR0+0x20:4']);
  const db = new Database(path, { readonly: true });
  const rows = db
    .prepare(
      `SELECT p.codec, p.data, length(p.hash) AS n FROM event e JOIN site s ON s.id = e.site JOIN payload p ON p.id = e.outp
       WHERE s.op = ${ops.dma}`,
    )
    .all() as { codec: number; data: Buffer | null; n: number }[];
  db.close();
  assert.equal(rows.length, stdout.trim().split('\n').length);
  assert.ok(rows.every((r) => r.data === null && r.n === 16));
});

test('none: no page, and the trace says so', () => {
  const { path } = recorded('none.vrr', []);
  const db = new Database(path, { readonly: true });
  assert.equal(db.prepare(`SELECT count(*) FROM site WHERE op = ${ops.dma}`).pluck().get(), 0);
  db.close();
  const info = spawnSync('node', [cli, 'info', path], { encoding: 'utf8', timeout: 60_000 }).stdout;
  assert.match(info, /dma: none: what devices and program write to memory is not in the trace/);
});

test('beyond --dma-limit: counted', () => {
  const { path } = recorded('limit.vrr', ['--dma', 'pages', '--dma-limit', '12K']);
  const db = new Database(path, { readonly: true });
  const loss = db.prepare("SELECT count FROM loss WHERE detail LIKE '%--dma-limit%'").pluck().get() as number;
  const most = db
    .prepare(`SELECT max(e.a) FROM event e JOIN site s ON s.id = e.site WHERE s.op = ${ops.dma}`)
    .pluck()
    .get();
  db.close();
  assert.equal(loss % 13, 0); // 3 of 16 pages each time
  assert.ok(loss > 0);
  assert.equal(most, 0x102000);
});

test('wrong use is one sentence', () => {
  const refused = (...args: string[]): [number | null, string] => {
    const { status, stderr } = recorded('refused.vrr', args);
    return [status, stderr.trim()];
  };
  assert.deepEqual(refused('--dma', 'pages', '--doorbell', 'BAR9:4'), [
    2,
    'vfio-rr: BAR9:4 is no doorbell; write it like BAR0+0x3818:8 (region + offset : bytes)',
  ]);
  assert.match(refused('--doorbell', 'BAR0+0:4').join(), /^2,.*add --dma=pages/);
  assert.match(
    refused('--dma', 'pages', '--backend', 'ptrace').join(),
    /^2,.*--dma needs a program that can be preloaded/,
  );
});

test.run();
