import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { losses } from '../../schema/event.ts';
import { fdKinds } from '../../schema/kinds.ts';
import { bytesOf } from './reader.ts';
import { build, prepare, runPlain, runRecorded } from './run.ts';

prepare();

test('eventfds are recorded when made, and read, written and waited for once a device has them', () => {
  const { stdout, ring } = runRecorded(['interrupts']);
  assert.is(stdout, runPlain(['interrupts']).stdout);
  const after = ring.calls.slice(ring.calls.findIndex((c) => c.op === 'dup'));
  assert.equal(
    after.map((c) => [c.op, c.ret]),
    [
      ['dup', 7],
      ['ioctl', 0],
      ['write', 8],
      ['poll', 1],
      ['poll', 1],
      ['poll', 1],
      ['read', 8],
      ['read', -11],
      ['poll', 0],
    ],
  );
  const made = ring.calls.filter((c) => c.op === 'eventfd');
  assert.equal(
    made.map((c) => [Number(c.a), c.ret, Number(c.value >> 32n)]),
    [
      [3, 5, fdKinds.eventfd],
      [0, 6, fdKinds.eventfd],
    ],
  );
  assert.is(after.at(-1)?.handle, Number((made[1]?.value ?? 0n) & 0xffffffffn));
  const ready = bytesOf(after[4] as never, 'ARRAY', 1);
  assert.equal([ready?.readInt32LE(0), ready?.readInt16LE(6)], [7, 1], 'epoll: which descriptor, which event');
});

test('descriptors passed over a socket: what went, and what came', () => {
  const { stdout, ring } = runRecorded(['passing']);
  assert.is(stdout, runPlain(['passing']).stdout);
  const sent = ring.calls.find((c) => c.op === 'sendmsg');
  const device = Number((ring.calls.find((c) => c.op === 'ioctl')?.value ?? 0n) & 0xffffffffn);
  const passed = bytesOf(sent as never, 'ARRAY', 0);
  assert.equal([passed?.readUInt32LE(4), passed?.readUInt32LE(12)], [device, 0]);
  // The stand-in's device is a memory file, so what came is known by the request alone.
  const attach = ring.calls.find((c) => c.op === 'attach');
  assert.is(Number((attach?.value ?? 0n) >> 32n), fdKinds.device);
  assert.is(ring.calls.at(-1)?.handle, attach?.handle);
});

test('waits by system calls of the program itself are recorded as those of libc are', () => {
  const program = join(build, 'waits');
  const plain = runPlain([], { program });
  assert.match(plain.stdout, /^ppoll 1 left 99\nselect 1 left 99\npselect6 1 left 99\n/);
  const { stdout, ring } = runRecorded([], { program, raw: 'dispatch' });
  assert.is(stdout, plain.stdout);
  assert.equal(
    ring.calls.filter((c) => c.op === 'poll').map((c) => c.ret),
    Array(5).fill(1),
  );
});

test('what the tables of epoll, select and mappings have no room for is counted', () => {
  const { stdout, ring } = runRecorded(['crowds'], { mmio: 'pass', quota: 16 << 20 });
  assert.is(stdout, runPlain(['crowds']).stdout);
  // Registrations, events of epoll_wait, descriptors of select, memory of devices, regions.
  assert.is(ring.lost[losses.TABLE_FULL], 6 + 1 + 1 + 2 + 2);
  const mapped = ring.calls.filter((c) => c.op === 'mmap').map((c) => c.ret);
  assert.is(mapped.length, 514);
  assert.equal(
    ring.calls.filter((c) => c.op === 'munmap').map((c) => mapped.indexOf(Number(c.a))),
    [0],
  );
});

test.run();
