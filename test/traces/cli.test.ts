// timeout: 300
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inTemporary, TraceMaker } from './make.ts';
import { sample } from './sample.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** dist/ starts five times faster than the sources, if it is as new. */
function command(): string[] {
  const built = join(root, 'dist/cli.js');
  const newer = ['cli.ts', 'schema', 'recorder', 'traces', 'replayer'].some((folder) =>
    existsSync(built)
      ? execFileSync('find', [join(root, folder), '-name', '*.ts', '-newer', built], { encoding: 'utf8' }) !== ''
      : true,
  );
  return newer ? ['--import', 'tsx', join(root, 'cli.ts')] : [built];
}
const cli = command();
const run = (...args: string[]): { code: number | null; out: string; err: string } => {
  const r = spawnSync(process.execPath, [...cli, ...args], { encoding: 'utf8', maxBuffer: 1 << 28 });
  return { code: r.status, out: r.stdout, err: r.stderr };
};

const readers = ['info', 'query', 'states'];

test('a broken trace: one sentence, exit 3, no stack trace, by every reader', () =>
  inTemporary((dir) => {
    const text = join(dir, 'text.vrr');
    writeFileSync(text, 'this is not a trace'.repeat(100));
    const cut = join(dir, 'cut.vrr');
    sample(cut);
    truncateSync(cut, 20_000);
    const later = join(dir, 'later.vrr');
    sample(later);
    writeSync(openSync(later, 'r+'), Buffer.from([0, 0, 1, 0]), 0, 4, 60);
    const cases = [...[dir, text, cut, later].map((p) => ['show', p]), ...readers.map((r) => [r, cut])];
    for (const [reader = '', path = ''] of cases) {
      const { code, err } = run(reader, path);
      assert.is(code, 3, `${reader} ${path}: ${err}`);
      assert.match(err, /^vfio-rr: [^\n]+\n$/);
      assert.match(err, path);
    }
  }));

test('a trace that is not there, or a wrong option: one sentence, exit 2', () =>
  inTemporary((dir) => {
    const none = join(dir, 'none.vrr');
    const cases = [
      ['show', none],
      ['show'],
      ['record', '--mmio=bad', '--', 'true'],
      ['replay', none, '--settle', 'abc'],
    ];
    for (const args of cases) {
      const { code, err } = run(...args);
      assert.is(code, 2, `${args.join(' ')}: ${err}`);
      assert.match(err, /^vfio-rr: [^\n]+\n$/);
    }
  }));

test('a report that exists is overwritten only with --force', () =>
  inTemporary((dir) => {
    const [path, html] = [join(dir, 'a.vrr'), join(dir, 'a.html')];
    sample(path);
    writeFileSync(html, 'mine');
    const refused = run('diff', path, path, '--html', html);
    assert.is(refused.code, 2, refused.err);
    assert.match(refused.err, /a\.html exists; --force overwrites it\n$/);
    assert.is(readFileSync(html, 'utf8'), 'mine');
    assert.is(run('diff', path, path, '--html', html, '--force').code, 0);
    assert.match(readFileSync(html, 'utf8'), /<!doctype html>/);
  }));

test('a damaged page: exit 3, and the place', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    for (let i = 0; i < 20_000; i++) m.event({ op: 'close' });
    m.finish();
    writeSync(openSync(path, 'r+'), Buffer.alloc(4096, 0x5a), 0, 4096, 4096 * 60);
    const { code, err } = run('show', path, '--json');
    assert.is(code, 3);
    assert.match(err, /^vfio-rr: .* is damaged at the events after \d+.*page 61.*\n$/);
  }));

test('wrong usage: exit 2', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    for (const args of [
      ['nothing'],
      ['show'],
      ['show', path, '@nothing'],
      ['show', path, '--nothing'],
      ['query', path, 'SELEC'],
      ['query', path, 'SELECT 1', '--json', '--csv'],
    ]) {
      const { code, err } = run(...args);
      assert.is(code, 2, `${args.join(' ')}: ${err}`);
      assert.match(err, /^vfio-rr: [^\n]+\n$/);
    }
  }));

test('every line of --json is JSON', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    for (const args of [
      ['info', path],
      ['show', path],
      ['states', path],
      ['query', path, 'SELECT * FROM call'],
    ]) {
      const { code, out } = run(...args, '--json');
      assert.is(code, 0);
      const lines = out.trim().split('\n');
      assert.ok(lines.length > 0);
      for (const line of lines) JSON.parse(line);
    }
  }));

test('a reader that has seen enough ends the command quietly', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    for (let i = 0; i < 50_000; i++) m.event({ op: 'close' });
    m.finish();
    const script = `'${process.execPath}' ${cli.map((a) => `'${a}'`).join(' ')} show '${path}' | head -n 2`;
    const r = spawnSync('bash', ['-o', 'pipefail', '-c', script], { encoding: 'utf8' });
    assert.is(r.stdout.split('\n').length, 3);
    assert.is(r.stderr, '');
    assert.is(r.status, 0);
  }));

test('help has examples, and completion is a shell script', () => {
  assert.match(run('show', '--help').out, /Examples:[\s\S]*@device:/);
  assert.match(run('completion').out, 'complete');
});

test.run();
