// stress-ng's stressors of files, mappings, signals and processes behave under the recorder as without it: the same
// status, the same number of operations, the same words. Nothing of theirs is VFIO's, so nothing is recorded.
// timeout: 300

import * as assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { ops } from '../../schema/event.ts';
import { cli, prepare } from './build.ts';

const test = suite('stress-ng');

/** Stressors and their operations. */
const groups: Record<string, Record<string, number>> = {
  files: {
    dup: 50,
    open: 100,
    close: 50,
    fcntl: 50,
    seek: 50,
    'file-ioctl': 20,
    sockfd: 50,
    eventfd: 200,
    epoll: 50,
    poll: 50,
  },
  mappings: {
    mmap: 8,
    mremap: 4,
    mprotect: 20,
    madvise: 4,
    munmap: 20,
    mmapaddr: 50,
    mmapfixed: 4,
    mmapmany: 2,
    msync: 10,
    mincore: 20,
  },
  signals: {
    sigsegv: 200,
    sigfpe: 100,
    sigtrap: 50,
    sigq: 50,
    sigchld: 50,
    signal: 200,
    sigabrt: 10,
    sigpending: 50,
    sigsuspend: 50,
    kill: 50,
    fault: 50,
    'vm-segv': 10,
  },
  processes: { fork: 30, vfork: 30, clone: 20, pthread: 50, daemon: 10, spawn: 10, wait: 10, zombie: 20 },
};
const small = ['--mmap-bytes', '2m', '--mremap-bytes', '2m'];

/** exec and spawn are refused to root. */
const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
let folder = '';
const installed = spawnSync('stress-ng', ['--version']).status === 0;

test.before(() => {
  prepare();
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-stress-'));
  chmodSync(folder, 0o777);
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

function run(argv: readonly string[]): SpawnSyncReturns<string> {
  const [command, ...rest] = [...asNobody, ...argv] as [string, ...string[]];
  return spawnSync(command, rest, { cwd: folder, encoding: 'utf8', timeout: 120_000 });
}

type Operations = Record<string, number>;

/** Operations of each stressor, from stress-ng's own report. */
function operations(yaml: string): Operations {
  const found = readFileSync(yaml, 'utf8').matchAll(/stressor: (\S+)\n\s+bogo-ops: (\d+)/g);
  return Object.fromEntries([...found].map(([, name, n]) => [name as string, Number(n)]));
}

/** What it says, without numbers that differ from run to run. */
const words = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => /stress-ng: (error|fail|warn)/.test(line))
    .map((line) => line.replace(/\[\d+\]/, ''));

function same(name: string, options: readonly string[]): { did: Operations; plain: Operations; trace: string } {
  const argv = (yaml: string): string[] => [
    ...['stress-ng', '--metrics-brief', '--temp-path', folder, '--yaml', join(folder, yaml)],
    ...options,
  ];
  const plain = run(argv(`${name}.plain`));
  assert.equal(plain.status, 0, plain.stdout + plain.stderr);
  const trace = join(folder, `${name}.vrr`);
  const recorded = run([process.execPath, cli, 'record', '-o', trace, '--', ...argv(`${name}.recorded`)]);
  assert.equal(recorded.status, 0, recorded.stdout + recorded.stderr);
  assert.deepEqual(words(recorded.stdout + recorded.stderr), words(plain.stdout + plain.stderr));
  const did = operations(join(folder, `${name}.recorded`));
  return { did, plain: operations(join(folder, `${name}.plain`)), trace };
}

const missing = (): boolean => {
  if (!installed) console.log('SKIP no stress-ng; on Debian: apt-get install stress-ng');
  return !installed;
};

for (const [name, stressors] of Object.entries(groups))
  test(`${name}: ${Object.keys(stressors).join(', ')}`, () => {
    if (missing()) return;
    const each = Object.entries(stressors).flatMap(([s, n]) => [`--${s}`, '1', `--${s}-ops`, String(n)]);
    const { did, plain, trace } = same(name, ['--timeout', '60', ...small, ...each]);
    // Two of its processes count at the same time: sometimes a few more, by itself too.
    for (const counts of [did, plain].filter((c) => c.wait !== undefined)) {
      assert.ok((counts.wait ?? 0) >= (stressors.wait ?? 0));
      counts.wait = stressors.wait ?? 0;
    }
    assert.deepEqual(did, plain);
    assert.deepEqual(Object.keys(did).sort(), Object.keys(stressors).sort());
    const db = new Database(trace, { readonly: true });
    try {
      assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
      assert.equal(db.prepare('SELECT count(*) FROM loss').pluck().get(), 0);
      const op = db.prepare('SELECT count(*) FROM event e JOIN site s ON s.id = e.site WHERE s.op = ?').pluck();
      assert.ok((op.get(ops.process) as number) > Object.keys(stressors).length, 'each stressor is a process');
    } finally {
      db.close();
    }
  });

// It does not stop at a number of operations (0.15.06).
test('processes: exec', () => {
  if (missing()) return;
  const { did, plain } = same('exec', ['--exec', '1', '--timeout', '3']);
  assert.ok((did.exec ?? 0) > 0 && (plain.exec ?? 0) > 0);
});

test.run();
