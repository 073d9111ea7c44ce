import { test } from 'uvu';
import * as assert from 'uvu/assert';
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

test.run();
