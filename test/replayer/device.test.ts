// Agents that are none, or that end too early.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDevice } from '../../replayer/device.ts';
import { TraceError } from '../../schema/errors.ts';
import { agentPath, request } from '../agent/request.ts';

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, TraceError);
    assert.is((error as TraceError).code, 'TARGET');
    return (error as Error).message;
  }
  return assert.unreachable('it did not fail') as never;
}

test('a command that is not there', async () => {
  assert.match(
    await failure(openDevice({ agent: 'no-such-agent' })),
    /\(no-such-agent\) ended with status 127: .*not found/,
  );
});

test('a program that is no agent', async () => {
  assert.match(await failure(openDevice({ agent: 'echo hello, this is some other program' })), /no vfio-rr-agent/);
  assert.match(await failure(openDevice({ agent: 'true' })), /without saying what it is/);
});

test('an agent of another version', async () => {
  const hello = Buffer.alloc(32 + 16 + 24);
  hello.writeUInt32LE(hello.length, 0);
  hello.writeUInt32LE(0xffffffff, 4);
  hello.writeUInt32LE(1, 24);
  hello.writeUInt16LE(1, 32);
  hello.writeUInt32LE(22, 32 + 12);
  hello.write('vfio-rr-agent 99\nLinux', 48);
  const command = `printf '%b' '${[...hello].map((b) => `\\0${b.toString(8)}`).join('')}'; sleep 5`;
  assert.match(await failure(openDevice({ agent: command })), /"vfio-rr-agent 99".*vfio-rr-agent 1/);
});

test('an agent that ends in the middle', async () => {
  const target = await openDevice({ agent: `timeout -s KILL 0.3 ${agentPath}` });
  assert.match(await failure(target.run([request('sleep', 0, { a: 5_000_000_000n })])), /SIGKILL|status 137/);
  assert.match(await failure(target.run([request('sleep', 0)])), /SIGKILL|status 137/);
  await target.close();
});

test('a command may hold a shell and arguments', async () => {
  const target = await openDevice({ agent: `cd / && exec '${agentPath}'` });
  assert.match(target.hello, /^vfio-rr-agent 1, Linux/);
  await target.close();
});

test.run();
