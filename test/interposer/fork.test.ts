import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isDone } from './reader.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

test('forked children, by fork, vfork and clone, write streams of their own', () => {
  const { stdout, ring } = runRecorded(['forks']);
  assert.is(stdout, runPlain(['forks']).stdout);
  const parent = ring.calls[0]?.pid;
  const children = ring.calls.filter((c) => c.op === 'process' && c.pid !== parent);
  assert.is(children.length, 4);
  assert.ok(children.every((c) => Number(c.b) === parent));
  assert.equal(
    ring.calls.filter((c) => c.op === 'fork').map((c) => c.ret),
    children.slice(0, 3).map((c) => c.pid),
  );
  assert.equal(
    children.map((child) => ring.calls.filter((c) => c.op === 'pread' && c.pid === child.pid).map((c) => Number(c.a))),
    [[4], [8], [12], [100]],
  );
  const handles = new Set(ring.calls.filter((c) => c.op === 'pread').map((c) => c.handle));
  assert.is(handles.size, 1, 'the open file is the same one');
});

test('a child of vfork() shares memory with its parent, and not its descriptors, handlers and numbers', () => {
  const { stdout, ring } = runRecorded(['vforks']);
  assert.match(stdout, '3 2 1 7\n-11 1 1\n6 6 version 0');
  assert.is(stdout, runPlain(['vforks']).stdout);
  const parent = ring.calls[0]?.pid;
  const forks = ring.calls.filter((c) => c.op === 'fork' && c.pid === parent);
  const [failing, closing, ...others] = forks.map((c) => ring.calls.filter((other) => other.pid === c.ret));
  assert.is(forks.length, 5);
  assert.ok(
    forks.every((c) => ring.calls.some((p) => p.op === 'process' && p.pid === c.ret && Number(p.b) === parent)),
  );
  const reads = (calls: typeof ring.calls) => calls.filter((c) => c.op === 'pread').map((c) => Number(c.a));
  assert.equal(
    failing?.map((c) => [c.op, c.ret]),
    [
      ['process', 0],
      ['exec', -2],
    ],
  );
  const device = ring.calls.find((c) => c.op === 'pread')?.handle;
  assert.equal(
    closing?.slice(1).map((c) => [c.op, c.handle, Number(c.a)]),
    [
      ['pread', device, 4],
      ['dup', 0, ring.calls.find((c) => c.op === 'pread')?.fd],
    ],
  );
  const grandchildren = others.slice(0, 2).map((child) => child.find((c) => c.op === 'fork')?.ret);
  assert.equal(
    grandchildren.map((pid) => reads(ring.calls.filter((c) => c.pid === pid))),
    [[20], [24]],
  );
  assert.ok(others[2]?.some((c) => c.op === 'exec' && c.leave === 0n && isDone(c)));
  assert.ok(others[2]?.some((c) => c.op === 'ioctl'));
  assert.equal(reads(ring.calls.filter((c) => c.pid === parent)), [0, 16, 28]);
  assert.ok(ring.calls.every(isDone));
});

test.run();
