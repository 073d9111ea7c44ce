// The suite of `vfio-rr test`: expectations written, kept, broken; the replays themselves are stood in for by verdicts.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Expectations } from '../../replayer/suite/expectations.ts';
import { annotations, tap } from '../../replayer/suite/report.ts';
import { type Case, type Mode, parseShard, runSuite } from '../../replayer/suite/suite.ts';
import { Finding, type Verdict } from '../../replayer/verdict.ts';
import { TraceError } from '../../schema/errors.ts';
import { inTemporary } from '../traces/make.ts';

/** A verdict with one differing field for each `event: field = actual`. */
function verdict(...found: [event: number, field: string, actual: string][]): Verdict {
  const f = new Finding('t.vrr', 'emulator', new Map());
  for (const [event, field, actual] of found) {
    const differences = [{ field, expected: '0x1', actual }];
    f.diverge(() => ({ event, call: 'ioctl(…)', name: 'VFIO_DEVICE_GET_INFO', differences }));
  }
  return f.verdict;
}

async function run(
  directory: string,
  answer: (trace: string, e: Expectations) => Verdict,
  mode: Mode = 'once',
  shard = '1/1',
): Promise<Case[]> {
  const replay = async (trace: string, e: Expectations): Promise<Verdict> => answer(trace, e);
  return runSuite({ directory, mode, on: 'emulator', maps: [], shard: parseShard(shard), replay, onCase: () => {} });
}

const within = (body: (dir: string) => Promise<void>): Promise<void> =>
  inTemporary(async (dir) => {
    for (const name of ['a', 'b', 'c']) writeFileSync(join(dir, `${name}.vrr`), '');
    await body(dir);
  });
const outcomes = (cases: readonly Case[]): string[] => cases.map((c) => c.outcome);
const expectFile = (dir: string, name = 'a'): string => join(dir, `${name}.expect.json`);

test('once: written the first time, then held to', () =>
  within(async (dir) => {
    assert.equal(outcomes(await run(dir, () => verdict([7, 'flags', '0x3']))), ['written', 'written', 'written']);
    const written = JSON.parse(readFileSync(expectFile(dir), 'utf8')) as Expectations;
    assert.equal(written.divergences, [{ event: 7, call: 'VFIO_DEVICE_GET_INFO', field: 'flags', actual: '0x3' }]);
    assert.equal(outcomes(await run(dir, () => verdict([7, 'flags', '0x3']))), ['passed', 'passed', 'passed']);
    const [other] = await run(dir, () => verdict([7, 'flags', '0x4']));
    assert.is(other?.outcome, 'failed');
    assert.equal([other?.unexpected.length, other?.absent.length], [1, 1]);
    const [none] = await run(dir, () => verdict());
    assert.equal([none?.outcome, none?.absent.length], ['failed', 1]);
  }));

test('none: a trace without expectations fails and nothing is written', () =>
  within(async (dir) => {
    assert.equal(outcomes(await run(dir, () => verdict(), 'none')), ['failed', 'failed', 'failed']);
    assert.not(existsSync(expectFile(dir)));
  }));

test('new: what is new is taken in, what is gone still fails', () =>
  within(async (dir) => {
    await run(dir, () => verdict([7, 'flags', '0x3']));
    assert.is(
      (await run(dir, () => verdict([7, 'flags', '0x3'], [9, 'result', '-1 EIO']), 'new'))[0]?.outcome,
      'written',
    );
    assert.is(
      (await run(dir, () => verdict([7, 'flags', '0x3'], [9, 'result', '-1 EIO']), 'none'))[0]?.outcome,
      'passed',
    );
    assert.is((await run(dir, () => verdict([7, 'flags', '0x3']), 'new'))[0]?.outcome, 'failed');
  }));

test('all: written anew, but waivers and masks stay', () =>
  within(async (dir) => {
    const waivers = [{ call: 'VFIO_DEVICE_GET_INFO', field: 'flags', reason: 'of the driver' }];
    writeFileSync(expectFile(dir), JSON.stringify({ on: 'device', masks: ['*:size'], waivers }));
    let asked: Expectations | undefined;
    const cases = await run(
      dir,
      (trace, e) => {
        if (trace.endsWith('a.vrr')) asked = e;
        return verdict([7, 'flags', '0x3'], [8, 'size', '0x2']);
      },
      'all',
    );
    assert.is(cases[0]?.outcome, 'written');
    assert.equal([asked?.on, asked?.masks], ['device', ['*:size']]);
    const written = JSON.parse(readFileSync(expectFile(dir), 'utf8')) as Expectations;
    assert.equal(written.waivers, waivers);
    assert.equal(
      written.divergences.map((d) => d.field),
      ['size'],
    );
  }));

test('a waiver lets a divergence pass, whether it comes or not', () =>
  within(async (dir) => {
    const waivers = [{ call: 'VFIO_DEVICE_GET_INFO', field: 'flags', reason: 'of the driver' }];
    writeFileSync(expectFile(dir), JSON.stringify({ waivers }));
    for (const v of [verdict([7, 'flags', '0x3']), verdict()])
      assert.is((await run(dir, () => v))[0]?.outcome, 'passed');
  }));

test('a target that is not there is no divergence', () =>
  within(async (dir) => {
    const cases = await run(dir, () => {
      throw new TraceError('TARGET', 'no such device');
    });
    assert.equal(outcomes(cases), ['broken', 'broken', 'broken']);
    assert.is(cases[0]?.problem, 'no such device');
  }));

test('shards share the traces among them, each once', () =>
  within(async (dir) => {
    const seen: string[] = [];
    for (const shard of ['1/2', '2/2'])
      for (const c of await run(dir, () => verdict(), 'all', shard)) seen.push(c.trace);
    assert.equal(
      seen.sort(),
      ['a', 'b', 'c'].map((n) => join(dir, `${n}.vrr`)),
    );
    for (const bad of ['0/2', '3/2', '1', 'x/y']) assert.throws(() => parseShard(bad), /give it as I\/N/);
  }));

test('bad input is told in one sentence', () =>
  within(async (dir) => {
    mkdirSync(join(dir, 'empty'));
    const fails = async (work: Promise<unknown>, message: RegExp): Promise<void> => {
      const error = await work.then(
        () => undefined,
        (e: unknown) => e,
      );
      assert.instance(error, TraceError);
      assert.match((error as TraceError).message, message);
    };
    await fails(
      run(join(dir, 'empty'), () => verdict()),
      /holds no traces/,
    );
    await fails(
      run(join(dir, 'nowhere'), () => verdict()),
      /is no directory/,
    );
    writeFileSync(expectFile(dir), '{');
    assert.match((await run(dir, () => verdict()))[0]?.problem ?? '', /is no JSON/);
    writeFileSync(expectFile(dir), JSON.stringify({ waivers: [{ call: 'X', field: 'y' }] }));
    assert.match((await run(dir, () => verdict()))[0]?.problem ?? '', /gives no "reason"/);
    copyFileSync(join(dir, 'b.vrr'), join(dir, 'empty', 'd.vrr'));
    assert.is((await run(dir, () => verdict(), 'all')).length, 4, 'folders inside count');
  }));

test('TAP and annotations name what failed', () =>
  within(async (dir) => {
    await run(dir, () => verdict());
    const cases = await run(dir, (trace) => (trace.endsWith('b.vrr') ? verdict([7, 'flags', '0x3']) : verdict()));
    assert.match(
      tap(cases),
      /^TAP version 13\n1\.\.3\nok 1 .*\nnot ok 2 .*b\.vrr\n# unexpected: #7 VFIO_DEVICE_GET_INFO: flags is 0x3\nok 3/,
    );
    assert.match(annotations(cases), /^::error file=.*b\.vrr,title=replay::unexpected: #7 [^\n]*\n$/);
  }));

test.run();
