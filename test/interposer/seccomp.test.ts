import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { losses, recordFlags } from '../../schema/event.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

test('a filter that kills on every call of ours: the program lives, and its calls are recorded', () => {
  const plain = runPlain(['confined']);
  assert.is(plain.stdout, 'confined\n');
  const { stdout, status, signal, ring } = runRecorded(['confined'], { segmentSize: 1 << 14 });
  assert.equal([stdout, status, signal], [plain.stdout, plain.status, plain.signal]);
  assert.is(ring.calls.filter((c) => c.op === 'pread').length, 60_000);
  const inferred = ring.calls.filter((c) => c.flags & recordFlags.INFERRED);
  assert.ok(
    inferred.some((c) => c.op === 'attach'),
    'a descriptor of unknown origin is judged by the request',
  );
});

test('bad pointers under such a filter: EFAULT, and no rt_sigreturn', () => {
  const plain = runPlain(['confined-faults']);
  assert.match(plain.stdout, /^(-1 14 -1 14 \d+\n){20}$/);
  const { stdout, status, signal, ring } = runRecorded(['confined-faults']);
  assert.equal([stdout, status, signal], [plain.stdout, 0, null]);
  assert.is(ring.calls.filter((c) => c.ret === -14).length, 40);
});

test('exec under a filter: the new image starts with the calls of a dynamic loader alone, and is recorded', () => {
  const plain = runPlain(['confined-exec']);
  assert.match(plain.stdout, /^0 0 0 0 -1 14 0\n-1 14\n$/);
  const { stdout, status, signal, ring } = runRecorded(['confined-exec'], { allocated: true });
  assert.equal([stdout, status, signal], [plain.stdout, 0, null]);
  assert.ok(ring.calls.some((c) => c.op === 'exec'));
  assert.is(ring.calls.filter((c) => c.op === 'process').length, 2);
  const after = ring.calls.slice(ring.calls.findLastIndex((c) => c.op === 'process') + 1);
  const infos = after.filter((c) => c.op === 'ioctl' && c.b !== 16n).slice(1);
  // in data, on the stack and in the heap; what the program mapped itself cannot be known to be there
  assert.equal(
    infos.map((c) => c.chunks.some((chunk) => chunk.bytes.length >= 32)),
    [true, true, true, false],
  );
  assert.is(after.filter((c) => c.ret === -14).length, 2);
  assert.ok((ring.lost[losses.UNREADABLE] ?? 0) > 0);
});

/** System calls by name, of all threads. */
function counted(run: (under: string[]) => { stderr: string }): Map<string, number> {
  const { stderr } = run(['strace', '-f', '-c', '-U', 'calls,name']);
  const rows = stderr.split('\n').flatMap((line) => {
    const m = /^\s*(\d+)\s+(\w+)$/.exec(line);
    return m && m[2] !== 'total' ? [[m[2], Number(m[1])] as [string, number]] : [];
  });
  return new Map(rows);
}

const haveStrace = spawnSync('strace', ['-V']).status === 0;
if (!haveStrace) console.log('SKIP no strace');
else
  for (const scene of ['basic', 'threads', 'migration', 'interrupts'])
    test(`${scene}: no system call more than without, but at the start`, () => {
      const without = counted((under) => runPlain([scene], { under }));
      const withIt = counted((under) => runRecorded([scene], { under, quota: 256 << 20 }));
      // What the constructor may do: look at itself, map the ring, install two handlers.
      const start: Record<string, number> = {
        openat: 4,
        close: 4,
        mmap: 8,
        read: 4,
        fstat: 2,
        newfstatat: 2,
        mprotect: 3,
        getdents64: 2,
        munmap: 1,
        readlink: 9,
        rt_sigaction: 4,
        getpid: 1,
        gettid: 1,
        getppid: 1,
        prctl: 1,
        madvise: 20,
        pread64: 1,
        brk: 0,
        futex: 8, // biome-ignore format: a table
      };
      for (const [name, calls] of withIt) {
        const more = calls - (without.get(name) ?? 0);
        assert.ok(more <= (start[name] ?? 0), `${name}: ${calls} instead of ${without.get(name) ?? 0}`);
      }
      assert.ok(withIt.size > 5);
    });

test.run();
