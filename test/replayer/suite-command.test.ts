// `vfio-rr test` as a command: exit codes, and its reports as other programs read them.

import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { testCommand } from '../../replayer/suite/command.ts';
import { TraceError } from '../../schema/errors.ts';
import { listen, type Said } from '../traces/io.ts';
import { inTemporary } from '../traces/make.ts';

const golden = fileURLToPath(new URL('../../traces/golden/v1/', import.meta.url));
const ODD = 'a%b, #1: <&>"'; // what any of the formats must escape

async function run(directory: string, more: Record<string, unknown> = {}): Promise<Said> {
  const io = listen();
  const argv = {
    ...{ directory, mode: 'none', update: false, on: 'emulator', map: [], agent: undefined, shard: '1/1' },
    ...{ junit: undefined, force: false, tap: false, github: false, bisect: false, _: [], $0: '' },
    ...more,
  };
  await testCommand(io).handler(argv as never);
  return io;
}
type Kind = 'good' | 'bad' | 'broken';
const kinds: readonly Kind[] = ['good', 'bad', 'broken'];
function put(dir: string, name: string, kind: Kind): void {
  const path = join(dir, name);
  if (kind === 'broken') writeFileSync(`${path}.vrr`, '');
  else copyFileSync(join(golden, 'dirty-mdev.vrr'), `${path}.vrr`);
  const known = JSON.parse(readFileSync(join(golden, 'dirty-mdev.expect.json'), 'utf8')) as object;
  const absent = { call: 'VFIO_DEVICE_RESET', field: 'result', actual: '50% or\nmore' };
  writeFileSync(`${path}.expect.json`, JSON.stringify({ ...known, divergences: kind === 'bad' ? [absent] : [] }));
}
const within = (body: (dir: string) => Promise<void>): Promise<void> => inTemporary(body);

test('exit codes, and those that git bisect run wants', () =>
  within(async (dir) => {
    const codes: [number | undefined, number | undefined][] = [];
    for (const kind of kinds) {
      put(dir, 'x', kind);
      codes.push([(await run(dir)).code(), (await run(dir, { bisect: true })).code()]);
    }
    assert.equal(codes, [
      [0, 0],
      [1, 1],
      [3, 125],
    ]);
    put(dir, 'y', 'bad'); // one that cannot be told beside one that is bad
    assert.is((await run(dir, { bisect: true })).code(), 1);
  }));

test('--update takes in what is there now', () =>
  within(async (dir) => {
    put(dir, 'x', 'bad');
    assert.is((await run(dir, { update: true })).code(), 0);
    assert.is((await run(dir)).code(), 0);
  }));

test('--shard runs its part only', () =>
  within(async (dir) => {
    for (const name of ['a', 'b', 'c']) put(dir, name, 'good');
    assert.match((await run(dir, { shard: '1/2' })).stdout(), /^2 passed, 0 failed/m);
    assert.match((await run(dir, { shard: '2/2' })).stdout(), /^1 passed, 0 failed/m);
  }));

test("JUnit's file is XML with the counts, and is overwritten only with --force", () =>
  within(async (dir) => {
    kinds.forEach((kind, i) => void put(dir, `${i} ${ODD}`, kind));
    const junit = join(dir, 'junit.xml');
    await run(dir, { junit });
    const program =
      'import sys,xml.etree.ElementTree as t\nfor s in t.parse(sys.argv[1]).getroot(): print(s.get("tests"),s.get("failures"),len(s.findall("testcase/failure")));print(s[1].get("name"))';
    const { stdout } = spawnSync('python3', ['-c', program, junit], { encoding: 'utf8' });
    assert.is(stdout, `3 2 2\n1 ${ODD}.vrr\n`);
    const refused = await run(dir, { junit }).catch((e: unknown) => e);
    assert.instance(refused, TraceError);
    assert.match((refused as TraceError).message, /junit\.xml exists; --force overwrites it$/);
    assert.is((refused as TraceError).code, 'USAGE');
    assert.is((await run(dir, { junit, force: true })).code(), 1);
  }));

test("TAP as Perl's Test::Harness reads it", () =>
  within(async (dir) => {
    kinds.forEach((kind, i) => void put(dir, `${i} ${ODD} # SKIP`, kind));
    const path = join(dir, 'out.tap');
    writeFileSync(path, (await run(dir, { tap: true })).stdout());
    const program =
      'use TAP::Parser; my $p = TAP::Parser->new({source => $ARGV[0]}); $p->run; printf "%d of %d passed, %d skipped, %s", scalar $p->passed, $p->tests_planned, scalar $p->skipped, join ";", $p->parse_errors';
    const { stdout, status } = spawnSync('perl', ['-e', program, path], { encoding: 'utf8' });
    if (status !== 0) console.log('SKIP no Perl with Test::Harness to read TAP with');
    else assert.is(stdout, '1 of 3 passed, 0 skipped, ');
  }));

test("GitHub's annotations: one line each, escaped as its runner unescapes", () =>
  within(async (dir) => {
    put(dir, ODD, 'bad');
    const line = (await run(dir, { github: true }))
      .stdout()
      .split('\n')
      .filter((l) => l.startsWith('::'));
    assert.is(line.length, 1);
    const [, properties = '', message = ''] = /^::error ([^:]*)::(.*)$/.exec(line[0] ?? '') ?? [];
    // actions/runner, ActionCommand.cs: %3A and %2C are unescaped in properties only, %25 last.
    const back = (s: string): string => s.replaceAll('%0D', '\r').replaceAll('%0A', '\n');
    const file = /^file=([^,]*),title=replay$/.exec(properties)?.[1] ?? '';
    assert.is(back(file).replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%25', '%'), join(dir, `${ODD}.vrr`));
    assert.is(
      back(message).replaceAll('%25', '%'),
      'expected, but not seen: VFIO_DEVICE_RESET: result is 50% or\nmore',
    );
  }));

test.run();
