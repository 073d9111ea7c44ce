// The trace that a replay writes: the recorded calls with the replay's answers.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { samePlaces } from '../../replayer/places.ts';
import { replay } from '../../replayer/replay.ts';
import { createResult, refuseExisting } from '../../replayer/result.ts';
import { recordFlags } from '../../schema/event.ts';
import { diffTraces } from '../../traces/diff/diff.ts';
import { openTrace } from '../../traces/trace.ts';
import { inTemporary, TraceMaker } from '../traces/make.ts';
import { packed, u32, u64 } from './event.ts';
import { device, opened } from './run.ts';
import { Scripted } from './scripted.ts';

const irq = (count: number) => packed(u32(16), u32(9), u32(1), u32(count));
const report = packed(u32(40), u32(0x10008), u64(0), u64(0x1000), u64(0x1000), u64(0x7fff0000));

/** Replays a trace of two reads, two structures and a bitmap, of which some come back otherwise. */
async function replayed(dir: string): Promise<string> {
  const path = join(dir, 'run.vrr');
  const m = new TraceMaker(path);
  m.meta('state', 'finished').meta('command', 'client').meta('started', 1);
  opened(m);
  const read = { ...device, op: 'pread', region: 0, length: 4, ret: 4, flags: recordFlags.INLINE } as const;
  m.event({ ...read, a: 0, val: 5 });
  m.event({ ...read, a: 8, val: 5 });
  m.event({ ...device, name: 'VFIO_DEVICE_GET_IRQ_INFO', input: irq(0), output: irq(1) });
  m.event({
    ...{ ...device, name: 'VFIO_DEVICE_FEATURE', feature: 0x10008, input: report, output: report },
    memory: [
      { at: 32, phase: 0, bytes: Buffer.alloc(8) },
      { at: 32, phase: 1, bytes: Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]) },
    ],
  });
  m.event({ ...device, name: 'VFIO_DEVICE_RESET', dur: null, ret: null });
  m.finish();
  const trace = openTrace(path);
  const target = new Scripted((r) => {
    if (r.op === 'pread') return { ret: 4, arg: packed(u32(r.a === 8n ? 0xffffffff : 5)) };
    if (r.a === 0x3b6dn) return { arg: irq(4) };
    return r.a === 0x3b75n ? { buffers: new Map([[32, Buffer.from([3, 0, 0, 0, 0, 0, 0, 0])]]) } : undefined;
  });
  const out = join(dir, 'now.vrr');
  const result = createResult(trace, out);
  const verdict = await replay({
    ...{ trace, target, places: samePlaces(trace, new Map()), until: Number.MAX_SAFE_INTEGER, speed: 'fast' },
    ...{ masks: [], raw: false, patience: 100, settle: 0, stop: false },
    seen: (expected, actual, dur) => result.add(expected, actual, dur),
    notes: result.notes,
  });
  result.finish(verdict);
  trace.close();
  return out;
}

test('it holds what came back, under the recording’s numbers', () =>
  inTemporary(async (dir) => {
    const out = await replayed(dir);
    const t = openTrace(out);
    const events = [...t.events()];
    assert.equal(
      events.map((e) => e.id),
      [1, 2, 3, 4, 5, 6, 7],
      'not the call that never returned',
    );
    assert.equal(
      events.slice(3, 5).map((e) => e.val),
      [5n, 0xffffffffn],
    );
    assert.is(events[5]?.output?.readUInt32LE(12), 4);
    assert.is(events[5]?.input?.readUInt32LE(12), 0);
    assert.equal(events[6]?.memory.map((m) => [m.phase, m.bytes?.[0]]).sort(), [
      ['in', 0],
      ['out', 3],
    ]);
    assert.is(t.handles.get(3)?.name, '0000:00:04.0');
    assert.is(t.meta.get('state'), 'finished');
    assert.match(String(t.meta.get('replay_of')), /run\.vrr$/);
    assert.is((t.context('replay') as { divergent: number }).divergent, 3);
    t.close();
  }));

test('beside the recording only what the replay found differs', () =>
  inTemporary(async (dir) => {
    const report = diffTraces({
      ...{ a: join(dir, 'run.vrr'), b: await replayed(dir), masks: [], learn: [], timing: false },
    });
    assert.equal([...report.differences.counts], [['output', 3]]);
    assert.equal(
      [...report.differences.masked.keys()],
      ['not made again by the replay: never returned in the recording'],
    );
  }));

test('the sqlite3 shell finds it whole, and no journal is left', () =>
  inTemporary(async (dir) => {
    const out = await replayed(dir);
    const { stdout, error } = spawnSync('sqlite3', ['-readonly', out, 'pragma integrity_check'], { encoding: 'utf8' });
    if (!error) assert.is(stdout.trim(), 'ok');
    assert.not.ok(existsSync(`${out}-journal`));
  }));

test('a file that exists is refused, and the trace itself always', () =>
  inTemporary(async (dir) => {
    const out = await replayed(dir);
    assert.throws(() => refuseExisting(out, false), /exists; --force overwrites it/);
    refuseExisting(out, true);
    const trace = openTrace(out);
    assert.throws(() => createResult(trace, out), /is the trace that is replayed/);
    trace.close();
  }));

test('a replay that fails leaves no file', () =>
  inTemporary(async (dir) => {
    const trace = openTrace(await replayed(dir));
    const path = join(dir, 'third.vrr');
    createResult(trace, path).abandon();
    assert.not.ok(existsSync(path));
    trace.close();
  }));

test.run();
