// The agent's pipe: batches larger than any buffer, and frames that are none.

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encode, ReplyReader } from '../../replayer/frames.ts';
import type { Request } from '../../replayer/target.ts';
import { arg, agentPath as path, request, text } from './request.ts';

const timeout = 20_000;
const feed = (input: Buffer) => spawnSync(path, [], { input, timeout, maxBuffer: 1 << 28 });
const repliesOf = (out: Buffer) => [...new ReplyReader().push(out)];
const zero = request('open', 1, { parts: [text('/dev/zero')] });

test('ends with its input', () => {
  const { status, stdout, stderr } = feed(encode([zero]));
  assert.is(status, 0);
  assert.is(stderr.toString(), '');
  assert.is(repliesOf(stdout).length, 2); // hello and one answer
});

test('a batch of any size is taken before a reply is read', async () => {
  const child: ChildProcessWithoutNullStreams = spawn(path, [], { stdio: 'pipe' });
  // 40 MB of requests against 40 MB of replies: far over what the pipes hold in either direction.
  const batch: Request[] = [zero];
  for (let i = 0; i < 2000; i++) {
    batch.push(request('pread', 1, { b: 20_000n }));
    batch.push(request('pwrite', 1, { parts: [arg(Buffer.alloc(20_000))] }));
  }
  const bytes = encode(batch);
  child.stdout.pause();
  const taken = new Promise<void>((done, fail) => child.stdin.write(bytes, (error) => (error ? fail(error) : done())));
  const clock = new Promise<never>((_, fail) =>
    setTimeout(() => fail(new Error('the agent stopped reading')), timeout).unref(),
  );
  await Promise.race([taken, clock]);
  const reader = new ReplyReader();
  let count = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    for (const _ of reader.push(chunk)) count++;
  });
  child.stdout.resume();
  child.stdin.end();
  const [status] = await once(child, 'close');
  assert.is(status, 0);
  assert.is(count, batch.length + 1);
});

test('large reads come back whole', () => {
  const { stdout } = feed(encode([zero, request('pread', 1, { b: BigInt(60 << 20) })]));
  const replies = repliesOf(stdout);
  assert.is(replies[2]?.ret, 60 << 20);
  assert.is(replies[2]?.arg?.length, 60 << 20);
});

const broken = (name: string, damage: (frame: Buffer) => Buffer, message: RegExp): void => {
  test(`${name} ends it with status 3, one line, and the answers so far`, () => {
    const frame = encode([request('ioctl', 1, { a: 1n, parts: [arg(Buffer.alloc(16))] })]);
    const { status, stdout, stderr } = feed(Buffer.concat([encode([zero]), damage(frame)]));
    assert.is(status, 3);
    assert.match(stderr.toString(), message);
    assert.is(stderr.toString().trim().split('\n').length, 1);
    assert.is(repliesOf(stdout).length, 2);
  });
};
const put = (at: number, value: number) => (f: Buffer) => {
  f.writeUInt32LE(value >>> 0, at);
  return f;
};
broken('a frame shorter than its head', put(0, 8), /input byte \d+: a frame of 8 bytes/);
broken('a frame longer than any', put(0, 0x7ffffff8), /a frame of 2147483640 bytes/);
broken('a crooked size', put(0, 73), /a frame of 73 bytes/);
broken('a part beyond the frame', put(40 + 12, 4096), /part 0 goes beyond the frame/);
broken('a part of 4 GiB', put(40 + 12, 0xfffffffd), /part 0 goes beyond the frame/);
broken('too many parts', put(36, 0xffffffff), /4294967295 parts/);
broken('more parts than there are', put(36, 2), /part 1 goes beyond the frame/);
broken('fewer parts than there are', put(36, 0), /whose parts take 40/);
broken('a part of no type', put(40, 77), /part of unknown type 77/);
broken('an end in the middle', (f) => f.subarray(0, 50), /the input ends after 50 of a frame's 72 bytes/);
broken(
  'a field outside the argument',
  () => encode([request('ioctl', 1, { parts: [arg(Buffer.alloc(4)), { kind: 'fd', at: 2, slot: 1 }] })]),
  /a part at 2 of an argument of 4 bytes/,
);
broken('a read larger than a frame', () => encode([request('pread', 1, { b: 1n << 40n })]), /the reply would have/);
broken('a slot beyond all', () => encode([request('eventfd', 0xffffffff)]), /slot 4294967295/);

test('random bytes never crash it', () => {
  let seed = 12345;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  for (let round = 0; round < 60; round++) {
    const bytes = encode([
      zero,
      request('pread', 1, { b: 100n }),
      request('ioctl', 1, {
        a: 1n,
        parts: [arg(Buffer.alloc(24)), { kind: 'buffer', at: 8, bytes: Buffer.alloc(40) }],
      }),
      request('eventfd', 2),
      request('poll', 0, { parts: [arg(Buffer.alloc(8)), { kind: 'fd', at: 0, slot: 2 }] }),
    ]);
    // Sizes, parts and slots; not the ops, of which some would act on this machine.
    for (let i = 0; i < 3; i++) bytes[random(bytes.length / 4) * 4 + 3] = random(256);
    const { status, signal } = feed(bytes);
    assert.is(signal, null, `round ${round}`);
    assert.ok(status === 0 || status === 3, `round ${round}: ${status}`);
  }
});

test.run();
