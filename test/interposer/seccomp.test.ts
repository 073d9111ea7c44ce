import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { recordFlags } from '../../schema/event.ts';
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
        openat: 3,
        close: 3,
        mmap: 8,
        read: 2,
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
