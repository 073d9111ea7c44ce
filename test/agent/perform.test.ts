// Each op of the agent, on files, eventfds and pipes of this machine.

import { constants as files, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDevice } from '../../replayer/device.ts';
import type { Reply, Request, Target } from '../../replayer/target.ts';
import { agentFlags } from '../../schema/agent.ts';
import { agentPath, arg, request, text } from './request.ts';

const { EBADF, EFAULT, ENOENT, ETIMEDOUT, EAGAIN, ENOTTY } = constants.errno;
const EFD_NONBLOCK = 0o4000n;
const FIONREAD = 0x541bn;
const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-agent-'));
let agent: Target;
test.before(async () => {
  agent = await openDevice({ agent: agentPath });
});
test.after(async () => {
  await agent.close();
  rmSync(dir, { recursive: true });
});
const rets = (replies: readonly Reply[]): number[] => replies.map((r) => r.ret);
const run = (...batch: Request[]): Promise<Reply[]> => agent.run(batch);
const count = (n: bigint): Buffer => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(n);
  return b;
};

test('says what it is', () => {
  assert.match(agent.hello, /^vfio-rr-agent 1, Linux \d+\./);
});

test('replies bear the tags and come in order', async () => {
  const batch = Array.from({ length: 1000 }, () => request('sleep', 0, { a: 0n }));
  const replies = await agent.run(batch);
  assert.equal(
    replies.map((r) => r.tag),
    batch.map((r) => r.tag),
  );
});

test('a file is written and read at offsets, and is the file the path names', async () => {
  const path = join(dir, 'file');
  writeFileSync(path, '0123456789');
  const replies = await run(
    request('open', 5, { a: BigInt(files.O_RDWR), parts: [text(path)] }),
    request('pwrite', 5, { a: 3n, b: 2n, parts: [arg(Buffer.from('ab'))] }),
    request('pread', 5, { a: 2n, b: 4n }),
    request('pread', 5, { a: 8n, b: 100n }),
    request('close', 5),
    request('pread', 5, { a: 0n, b: 1n }),
  );
  assert.equal(rets(replies).slice(1), [2, 4, 2, 0, -EBADF]);
  assert.is(replies[2]?.arg?.toString(), '2ab5');
  assert.is(replies[3]?.arg?.toString(), '89');
  assert.is(readFileSync(path, 'utf8'), '012ab56789');
});

test('a failing open gives the errno and leaves the slot empty', async () => {
  assert.equal(rets(await run(request('open', 6, { parts: [text('/nonexistent')] }), request('close', 6))), [
    -ENOENT,
    -EBADF,
  ]);
});

test('eventfd: count, nonblocking read, and a read that waits no longer than it may', async () => {
  const started = performance.now();
  const replies = await run(
    request('eventfd', 7, { a: 3n, b: EFD_NONBLOCK }),
    request('read', 7, { b: 8n }),
    request('read', 7, { b: 8n }),
    request('write', 7, { parts: [arg(count(41n))] }),
    request('read', 7, { b: 8n, timeout: 1000 }),
    request('read', 7, { b: 8n, timeout: 50 }),
  );
  assert.equal(rets(replies).slice(1), [8, -EAGAIN, 8, 8, -ETIMEDOUT]);
  assert.equal(replies[1]?.arg, count(3n));
  assert.equal(replies[4]?.arg, count(41n));
  const took = performance.now() - started;
  assert.ok(took > 45 && took < 900, `${took} ms`);
});

test('dup shares the open file', async () => {
  const replies = await run(
    request('eventfd', 8, { a: 0n }),
    request('dup', 9, { a: 8n }),
    request('write', 8, { parts: [arg(count(5n))] }),
    request('close', 8),
    request('read', 9, { b: 8n, timeout: 100 }),
    request('close', 9),
  );
  assert.equal(replies[4]?.arg, count(5n));
  assert.is(replies[5]?.ret, 0);
});

test('poll waits for the readiness that is awaited', async () => {
  const fds = Buffer.alloc(16);
  fds.writeInt16LE(1, 4); // POLLIN
  fds.writeInt16LE(1, 6);
  fds.writeInt16LE(1, 12);
  const parts = [arg(fds), { kind: 'fd', at: 0, slot: 10 } as const, { kind: 'fd', at: 8, slot: 11 } as const];
  const replies = await run(
    request('eventfd', 10, { a: 1n }),
    request('eventfd', 11, { a: 0n }),
    request('poll', 0, { timeout: 1000, parts }),
    request('read', 10, { b: 8n }),
    request('poll', 0, { timeout: 30, parts }),
  );
  assert.is(replies[2]?.ret, 1);
  assert.is(replies[2]?.arg?.readInt16LE(6), 1);
  assert.is(replies[2]?.arg?.readInt16LE(14), 0);
  assert.is(replies[4]?.ret, 0);
});

test('ioctl: the argument comes back as the kernel left it; a number is passed as it is', async () => {
  const path = join(dir, 'ten');
  writeFileSync(path, '0123456789');
  const replies = await run(
    request('open', 12, { parts: [text(path)] }),
    request('ioctl', 12, { a: FIONREAD, parts: [arg(Buffer.alloc(4))] }),
    request('ioctl', 12, { a: FIONREAD, b: 16n }),
    request('ioctl', 12, { a: 0x3b64n }),
  );
  assert.is(replies[1]?.arg?.readUInt32LE(), 10);
  assert.equal(rets(replies).slice(2), [-EFAULT, -ENOTTY]);
});

test('buffers, descriptors, ids and addresses are put into an argument', async () => {
  const replies = await run(
    request('memory', 20, { a: 8192n }),
    request('eventfd', 21),
    // FIONREAD writes its answer over the first four bytes and so shows that the argument was taken from the copy.
    request('ioctl', 12, {
      a: FIONREAD,
      parts: [
        arg(Buffer.alloc(40, 0xff)),
        { kind: 'fd', at: 4, slot: 21 },
        { kind: 'address', at: 8, slot: 20, delta: 4096n },
        { kind: 'buffer', at: 16, bytes: Buffer.from('hello') },
        { kind: 'zeroes', at: 24, length: 12 },
        { kind: 'keepId', at: 0, slot: 22 },
      ],
    }),
    request('ioctl', 12, { a: FIONREAD, parts: [arg(Buffer.alloc(8)), { kind: 'id', at: 4, slot: 22 }] }),
  );
  const { arg: out, buffers } = replies[2] as Reply;
  assert.is(out?.readUInt32LE(0), 10);
  assert.is(out?.readInt32LE(4), replies[1]?.ret);
  assert.is((out as Buffer).readBigUInt64LE(8) % 4096n, 0n);
  assert.is(buffers.get(16)?.toString(), 'hello');
  assert.equal(buffers.get(24), Buffer.alloc(12));
  assert.is(out?.readUInt32LE(36), 0xffffffff);
  assert.is(replies[3]?.arg?.readUInt32LE(4), 10);
});

test('an argument that names an empty slot is not performed', async () => {
  const call = (part: object): Request =>
    request('ioctl', 12, { a: FIONREAD, parts: [arg(Buffer.alloc(16)), part as never] });
  assert.equal(
    rets(
      await run(
        call({ kind: 'fd', at: 0, slot: 99 }),
        call({ kind: 'id', at: 0, slot: 99 }),
        call({ kind: 'address', at: 0, slot: 99, delta: 0n }),
        call({ kind: 'fd', at: 0, slot: 20 }),
      ),
    ),
    [-EBADF, -ENOENT, -EFAULT, -EBADF],
  );
});

test('memory is kept, read and written by slot', async () => {
  const replies = await run(
    request('memory', 30, { a: 4096n }),
    request('poke', 30, { a: 10n, parts: [arg(Buffer.from('xyz'))] }),
    request('peek', 30, { a: 9n, b: 5n }),
    request('peek', 30, { a: 4090n, b: 7n }),
    request('free', 30),
    request('peek', 30, { a: 0n, b: 1n }),
  );
  assert.equal(replies[2]?.arg, Buffer.from('\0xyz\0'));
  assert.equal(rets(replies).slice(3), [-EFAULT, 0, -EFAULT]);
});

test('a mapping is kept in a slot and taken away', async () => {
  const path = join(dir, 'mapped');
  writeFileSync(path, Buffer.alloc(8192, 'm'));
  const map = Buffer.alloc(40);
  map.writeBigUInt64LE(0x10000n, 0); // the recorded address is nobody's here
  map.writeBigUInt64LE(4096n, 8);
  map.writeBigUInt64LE(3n, 16);
  map.writeBigUInt64LE(1n, 24);
  map.writeBigUInt64LE(4096n, 32);
  const replies = await run(
    request('open', 31, { a: BigInt(files.O_RDWR), parts: [text(path)] }),
    request('mmap', 31, { a: 4096n, b: 4096n, parts: [arg(map), { kind: 'keepMemory', at: 'ret', slot: 32 }] }),
    request('poke', 32, { parts: [arg(Buffer.from('new'))] }),
    request('munmap', 32, { a: 0n, b: 4096n }),
    request('peek', 32, { b: 1n }),
  );
  assert.equal(rets(replies).slice(1), [0, 3, 0, -EFAULT]);
  assert.is(readFileSync(path, 'utf8').slice(4095, 4100), 'mnewm');
});

test('a read goes on until the awaited bytes come', async () => {
  const path = join(dir, 'late');
  writeFileSync(path, 'busy');
  const until = { a: 0n, b: 4n, flags: agentFlags.UNTIL, timeout: 2000, parts: [arg(Buffer.from('done'))] };
  setTimeout(() => writeFileSync(path, 'done'), 60);
  const replies = await run(request('open', 33, { parts: [text(path)] }), request('pread', 33, until));
  assert.is(replies[1]?.arg?.toString(), 'done');
  const [never] = await run(request('pread', 33, { ...until, timeout: 20, parts: [arg(Buffer.from('gone'))] }));
  assert.is(never?.arg?.toString(), 'done');
});

test('a buffer that is nowhere is EFAULT', async () => {
  const path = join(dir, 'nowhere');
  writeFileSync(path, 'abcd');
  const nowhere = { b: 4n, flags: agentFlags.FAULT };
  const replies = await run(
    request('open', 34, { a: BigInt(files.O_RDWR), parts: [text(path)] }),
    request('pread', 34, nowhere),
    request('read', 34, nowhere),
    request('pwrite', 34, nowhere),
    request('write', 34, nowhere),
  );
  assert.equal(rets(replies).slice(1), [-EFAULT, -EFAULT, -EFAULT, -EFAULT]);
  assert.is(readFileSync(path, 'utf8'), 'abcd');
});

test('links and directories of the host are told', async () => {
  const replies = await run(
    request('link', 0, { parts: [text('/proc/self')] }),
    request('list', 0, { parts: [text(dir)] }),
  );
  assert.match(replies[0]?.arg?.toString() ?? '', /^\d+$/);
  assert.ok(replies[1]?.arg?.toString().split('\0').includes('late'));
  assert.equal(rets(await run(request('list', 0, { parts: [text('/nonexistent')] }))), [-ENOENT]);
});

test.run();
