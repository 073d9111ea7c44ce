// `vfio-rr check` as a command: exit codes and what it says of bad input.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type CheckArguments, listRules, runCheck } from '../../traces/check/run.ts';
import { listen, type Said } from '../traces/io.ts';
import { TraceMaker } from '../traces/make.ts';

const dir = mkdtempSync(join(tmpdir(), 'check-'));
test.after(() => rmSync(dir, { recursive: true, force: true }));

function argsz(n: number): Buffer {
  const b = Buffer.alloc(24);
  b.writeUInt32LE(n);
  return b;
}
/** A trace with one GET_INFO of this argsz. */
function made(name: string, n: number | null): string {
  const path = join(dir, name);
  const maker = new TraceMaker(path).meta('state', 'finished').handle(1, 'device', { fd: 3, name: '0000:00:04.0' });
  if (n !== null)
    maker.event({ name: 'VFIO_DEVICE_GET_INFO', handle: 1, input: argsz(n), output: argsz(n), ret: n < 16 ? -22 : 0 });
  maker.finish();
  return path;
}
function run(traces: readonly string[], more: Partial<CheckArguments> = {}): Said {
  const io = listen();
  runCheck({ traces, format: 'text', level: 'MUST', waivers: undefined, precedence: undefined, ...more }, io);
  return io;
}
function usage(work: () => void, says: RegExp): void {
  assert.throws(work, (e: Error & { code?: string }) => e.code === 'USAGE' && says.test(e.message));
}

test('0 when no rule is broken, 1 when one is', () => {
  assert.is(run([made('good.vrr', 24)]).code(), 0);
  const bad = run([made('bad.vrr', 4)]);
  assert.is(bad.code(), 1);
  assert.match(bad.stdout(), /MUST {3}R58 program 0000:00:04\.0: VFIO_DEVICE_GET_INFO: argsz is 4/);
});

test('a waiver makes it 0; a file of them that is wrong is a matter of usage', () => {
  const waivers = join(dir, 'waivers.json');
  writeFileSync(waivers, '[{"rule": "R58", "reason": "probes sizes", "device": "0000:00:04.0"}]');
  assert.is(run([made('waived.vrr', 4)], { waivers }).code(), 0);
  usage(() => run([made('w2.vrr', 4)], { waivers: join(dir, 'none.json') }), /cannot read the waivers/);
  writeFileSync(waivers, '[{"rule": "R0", "reason": "x"}]');
  usage(() => run([made('w3.vrr', 4)], { waivers }), /R0.*does not exist/);
});

test('an empty trace is said', () => {
  const io = run([made('empty.vrr', null)]);
  assert.is(io.code(), 0);
  assert.match(io.stderr(), /has no calls/);
});

test('an order of bits that does not exist', () => {
  usage(() => run([made('p.vrr', 24)], { precedence: 'v9' }), /known orders are v2, v3, reply, derived/);
});

test('what is no trace', () => {
  const path = join(dir, 'text.vrr');
  writeFileSync(path, 'hello');
  assert.throws(() => run([path]), /is not a trace/);
});

test('the rules are listed', () => {
  const io = listen();
  listRules(true, io);
  assert.is(JSON.parse(io.stdout()).length, 75);
});

test.run();
