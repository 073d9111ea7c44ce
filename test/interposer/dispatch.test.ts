// System calls made by instructions of the program's own: recorded, and otherwise the same program. Judged by strace
// of the same scene, on a regular file that stands where a device would.

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { environment, losses, type RawMode } from '../../schema/event.ts';
import { type Call, type Ring, readRing } from './reader.ts';
import { build, inTemporary, interposer, makeRing, prepare } from './run.ts';

const test = suite('interposer: raw system calls');
const raw = join(build, 'raw');
/** Makes /dev/vfio/devices/vfio0 for what it runs alone. */
const apart = [
  'unshare',
  ...(process.getuid?.() === 0 ? ['-m'] : ['-Urm']),
  ...['sh', '-c'],
  'mount -t tmpfs none /dev && mkdir -p /dev/vfio/devices && truncate -s 65536 /dev/vfio/devices/vfio0 && exec "$@"',
  'sh',
];

function runApart(...command: readonly string[]): SpawnSyncReturns<string> {
  const [program, ...rest] = [...apart, ...command];
  return spawnSync(program as string, rest, { encoding: 'utf8', timeout: 30_000 });
}

function recorded(scene: string, mode: RawMode = 'dispatch', by = raw): SpawnSyncReturns<string> & { ring: Ring } {
  return inTemporary((folder) => {
    const path = makeRing(folder, { raw: mode });
    const result = runApart('env', `LD_PRELOAD=${interposer}`, `${environment.ring}=${path}`, by, scene);
    return { ...result, ring: readRing(path) };
  });
}

const errorName = (ret: number): string =>
  ret < 0 ? (Object.entries(constants.errno).find(([, n]) => n === -ret)?.[0] ?? String(ret)) : String(ret);

/** One line a call, of each thread in the order in which the threads show up. */
function told(call: Call): string[] {
  const at = `${call.b}@${call.a}`;
  switch (call.op) {
    case 'open':
      return [`open ${call.ret < 0 ? errorName(call.ret) : 'ok'}`];
    case 'pread':
    case 'pwrite':
      return [`${call.op} ${at} ${errorName(call.ret)}`];
    case 'mmap':
      return [`mmap ${at}`];
    case 'ioctl':
    case 'close':
      return [`${call.op} ${errorName(call.ret)}`];
    case 'dup':
      return ['dup'];
    default:
      return [];
  }
}

const strace = /^(\d+) +(\w+)\((.*)\) += (-?\d+|0x[\da-f]+)(?: (E[A-Z]+))?/;
function seen(text: string): string[] {
  const m = strace.exec(text);
  if (!m?.[2] || !text.includes('/dev/vfio/')) return [];
  const [, tid, name, args = '', value = '', error] = m;
  const ret = error ?? value;
  const numbers = args.split(', ').map(Number);
  const at = `${numbers.at(-2)}@${numbers.at(-1)}`;
  const lines: Readonly<Record<string, string>> = {
    openat: `open ${error ?? 'ok'}`,
    pread64: `pread ${at} ${ret}`,
    pwrite64: `pwrite ${at} ${ret}`,
    mmap: `mmap ${numbers[1]}@${numbers[5]}`,
    ioctl: `ioctl ${ret}`,
    close: `close ${ret}`,
    dup: 'dup',
  };
  return lines[name as string] === undefined ? [] : [`${tid} ${lines[name as string]}`];
}

/** A call that others came between stands in two lines. */
function whole(text: string): string[] {
  const open = new Map<string, string>();
  return text.split('\n').flatMap((one) => {
    const [, tid = ''] = /^(\d+)/.exec(one) ?? [];
    const begun = / <unfinished \.\.\.>$/.exec(one);
    if (begun) open.set(tid, one.slice(0, begun.index));
    const ended = / resumed>(.*)/.exec(one);
    return begun ? [] : [ended ? `${open.get(tid)}${ended[1]}` : one];
  });
}

/** The lines of each thread; threads in the order of what they did. */
function byThread(lines: readonly string[]): string[] {
  const threads = new Map<string, string[]>();
  for (const text of lines) {
    const [tid = '', ...rest] = text.split(' ');
    threads.set(tid, [...(threads.get(tid) ?? []), rest.join(' ')]);
  }
  return [...threads.values()].map((calls) => calls.join('; ')).sort();
}

function kernelSaw(scene: string): string[] {
  return inTemporary((folder) => {
    const file = join(folder, 'strace');
    runApart('strace', '-f', '-y', '-s', '0', '-o', file, raw, scene);
    return byThread(whole(readFileSync(file, 'utf8')).flatMap(seen));
  });
}

const lostOf = (ring: Ring): [number, number] => [ring.lost[losses.RAW_UNSEEN] ?? 0, ring.lost[losses.RAW_CLONED] ?? 0];

prepare();
const able = runApart('true').status === 0 && spawnSync('strace', ['-V']).status === 0;
if (!able) console.log('SKIP needs strace and a mount namespace');
else {
  for (const scene of [
    'basic',
    'threads',
    'forks',
    'exec',
    'blocked',
    'traditional',
    'handlers',
    'stacks',
    'registers',
    'messages',
  ])
    test(`${scene}: the program is the same, and the trace has what strace saw`, () => {
      const plain = runApart(raw, scene);
      assert.equal([plain.status, plain.stderr], [0, '']);
      const ran = recorded(scene);
      assert.equal([ran.stdout, ran.status, ran.signal], [plain.stdout, plain.status, plain.signal], ran.stderr);
      const calls = ran.ring.calls.flatMap((c) => told(c).map((text) => `${c.pid}.${c.tid} ${text}`));
      assert.ok(calls.length > 1);
      assert.equal(byThread(calls), kernelSaw(scene));
      assert.equal(lostOf(ran.ring), [0, 0]);
    });

  test('threads of clone() outside libc run as they would, and are counted', () => {
    const ran = recorded('clones');
    assert.equal([ran.stdout, ran.status], [runApart(raw, 'clones').stdout, 0]);
    assert.equal(lostOf(ran.ring), [0, 2]);
    assert.is(ran.ring.calls.filter((c) => c.op === 'pread').length, 1);
  });

  test('signals at any point, with calls out of their handlers: none lost, none doubled', () => {
    const ran = recorded('storm');
    assert.equal([ran.stdout, ran.status], ['0 0 0 0 \n', 0], ran.stderr);
    const at = (offset: bigint): number => ran.ring.calls.filter((c) => c.op === 'pread' && c.a === offset).length;
    assert.equal(`${at(0x84n)} ${at(0x80n)}`, ran.stderr);
    assert.equal(ran.ring.lost.filter(Boolean), []);
  });

  for (const scene of ['filter', 'own'])
    test(`${scene}: what does not go together with it ends it, and is counted`, () => {
      const ran = recorded(scene);
      assert.equal([ran.stdout, ran.status, ran.signal], [runApart(raw, scene).stdout, 0, null]);
      assert.equal(lostOf(ran.ring), [1, 0]);
      assert.is(ran.ring.calls.filter((c) => c.op === 'pread').length, 1);
    });

  test('a program in Go, whose stacks have no room for a signal, is left alone and counted', () => {
    const ran = recorded('basic', 'dispatch', join(build, 'raw-go'));
    assert.equal([ran.stdout, ran.status], [runApart(raw, 'basic').stdout, 0]);
    assert.equal(lostOf(ran.ring), [1, 0]);
    assert.not.ok(ran.ring.calls.some((c) => c.op === 'pread'));
  });

  test('not asked for: no handler, no dispatch, no call is seen', () => {
    const ran = recorded('basic', 'off');
    assert.is(ran.stdout, runApart(raw, 'basic').stdout);
    assert.equal(
      ran.ring.calls.map((c) => c.op),
      ['process'],
    );
    assert.equal(lostOf(ran.ring), [0, 0]);
  });
}

test.run();
