// timeout: 240
// `record` as its user sees it: status, signals, streams, refusals, and a trace that says what happened.

import * as assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import { findProgram } from '../../recorder/program.ts';
import { cli, compile, counter, prepare, root, standin } from './build.ts';

const test = suite('record');
let folder = '';
const program = join(root, 'test/interposer/build/program');

test.before(prepare);
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-record-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

function vfioRr(
  args: readonly string[],
  options: { input?: string; env?: Record<string, string> } = {},
): SpawnSyncReturns<string> {
  return spawnSync('node', [cli, ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
    input: options.input ?? '',
    env: { ...process.env, LD_PRELOAD: standin, ...options.env },
  });
}
function meta(trace: string): Record<string, unknown> {
  const db = new Database(join(folder, trace), { readonly: true });
  try {
    assert.equal(db.pragma('integrity_check', { simple: true }), 'ok');
    assert.equal(db.prepare('SELECT count(*) FROM drained').pluck().get(), 0);
    return Object.fromEntries(db.prepare('SELECT key, value FROM meta').raw().all() as [string, unknown][]);
  } finally {
    db.close();
  }
}
const rings = (): string[] => readdirSync(folder).filter((f) => f.endsWith('.ring'));

test('a program’s calls, its output and its status', () => {
  const plain = spawnSync(program, ['basic'], { encoding: 'utf8', env: { ...process.env, LD_PRELOAD: standin } });
  const r = vfioRr(['record', '-o', 't.vrr', '--ring', folder, '--', program, 'basic']);
  assert.deepEqual([r.status, r.stdout], [plain.status, plain.stdout]);
  assert.match(r.stderr, /^vfio-rr: .*t\.vrr: \d+ calls recorded/);
  assert.match(r.stderr, /missed 0, lost 0\n$/);
  const m = meta('t.vrr');
  assert.deepEqual([m.state, m.exit, m.signal, m.ring], ['finished', 0, null, undefined]);
  assert.ok(Number(m.calls) > 10);
  assert.equal(Number(m.calls), Number(m.decoded) + Number(m.raw));
  assert.deepEqual(rings(), []);
});

test('the views answer in the plain sqlite3 shell', () => {
  if (spawnSync('sqlite3', ['--version']).status !== 0) return console.log('SKIP no sqlite3 shell');
  vfioRr(['record', '-o', 't.vrr', '--', program, 'basic']);
  const r = spawnSync(
    'sqlite3',
    [join(folder, 't.vrr'), "SELECT name, calls, failed FROM call_summary WHERE name = 'VFIO_GROUP_GET_DEVICE_FD'"],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(r.stdout, 'VFIO_GROUP_GET_DEVICE_FD|1|0\n');
});

test('descriptors that the parent passes on reach the program, and no others', () => {
  const look = 'cat <&7; cat <&9; ls -l /proc/self/fd | grep -vc null';
  const outer = (command: string): string =>
    spawnSync('bash', ['-c', `${command} 7<<<seven 9< <(echo nine)`], { cwd: folder, encoding: 'utf8' }).stdout;
  const plain = outer(`sh -c '${look}'`);
  assert.match(plain, /^seven\nnine\n\d+\n$/);
  assert.equal(outer(`node ${cli} record -o t.vrr -- sh -c '${look}'`), plain);
});

test('exit status', () => {
  assert.equal(vfioRr(['record', '--', 'sh', '-c', 'exit 7']).status, 7);
  assert.equal(meta('sh.vrr').exit, 7);
});

test('killed by a signal: so is the recorder', () => {
  const r = vfioRr(['record', '--', 'sh', '-c', 'kill -KILL $$']);
  assert.equal(r.signal, 'SIGKILL');
  assert.equal(meta('sh.vrr').signal, 'SIGKILL');
});

test('standard streams are the program’s own', () => {
  const through = spawnSync('sh', ['-c', `printf 'one\\ntwo\\n' | node ${cli} record -- cat | cat`], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.equal(through.stdout, 'one\ntwo\n');
  // O_NONBLOCK on a pipe that we share would make the program's own writes fail.
  const flags = spawnSync(
    'sh',
    [
      '-c',
      `node ${cli} record --force -- cat /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2 2>&1 </dev/null | cat`,
    ],
    {
      cwd: folder,
      encoding: 'utf8',
    },
  );
  const found = [...flags.stdout.matchAll(/^flags:\s+(\d+)$/gm)].map((m) => Number.parseInt(m[1] ?? '', 8) & 0o4000);
  assert.deepEqual(found, [0, 0, 0]);
});

test('a signal sent to the recorder reaches the program, and the trace is finished', async () => {
  for (const [signal, code] of [
    ['SIGTERM', 9],
    ['SIGINT', 8],
  ] as const) {
    const script = 'trap "exit 9" TERM; trap "exit 8" INT; echo ready; while :; do sleep 0.05; done';
    const child = spawn('node', [cli, 'record', '--force', '-o', 't.vrr', '--', 'sh', '-c', script], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    const ended = new Promise<number | null>((done) => child.once('exit', done));
    await new Promise((ready) => child.stdout.once('data', ready));
    // Ctrl-C: the terminal sends it to the whole group.
    process.kill(signal === 'SIGINT' ? -(child.pid ?? 0) : (child.pid ?? 0), signal);
    assert.equal(await ended, code);
    assert.equal(meta('t.vrr').state, 'finished');
  }
});

test('children that outlive the program are waited for', () => {
  const r = vfioRr([
    'record',
    '-o',
    't.vrr',
    '--',
    'sh',
    '-c',
    `(sleep 0.5; exec ${program} basic) >/dev/null & exit 3`,
  ]);
  assert.equal(r.status, 3);
  const db = new Database(join(folder, 't.vrr'), { readonly: true });
  assert.equal(db.prepare("SELECT count(*) FROM call WHERE name = 'VFIO_GROUP_GET_DEVICE_FD'").pluck().get(), 1);
  db.close();
});

test('more processes than the ring has segments', () => {
  const script = `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do ${program} basic >/dev/null; done`;
  const r = vfioRr(['record', '-o', 't.vrr', '--quota', '8M', '--', 'sh', '-c', script]);
  assert.equal(r.status, 0);
  const db = new Database(join(folder, 't.vrr'), { readonly: true });
  assert.equal(db.prepare("SELECT count(*) FROM call WHERE name = 'VFIO_GROUP_GET_DEVICE_FD'").pluck().get(), 20);
  db.close();
});

test('more threads than the ring has segments: all go on, and what is dropped is counted', () => {
  const many = join(folder, 'many');
  compile('many.c', many, ['-pthread']);
  const r = vfioRr(['record', '-o', 't.vrr', '--quota', '8M', '--', many, '30']);
  assert.deepEqual([r.status, r.stdout], [0, 'all done\n']);
  const m = meta('t.vrr');
  assert.ok(Number(m.lost) > 0);
  assert.equal(Number(m.calls) + Number(m.lost), 2 + 30 * 5);
});

test('no room for the ring', () => {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]).status !== 0)
    return console.log('SKIP mounting a small disk takes root');
  try {
    const r = vfioRr(['record', '-o', 't.vrr', '--ring', disk, '--', 'true']);
    assert.equal(r.status, 3);
    assert.match(r.stderr, /no room to grow in; name another folder with --ring\n$/);
    assert.ok(!existsSync(join(folder, 't.vrr')));
  } finally {
    spawnSync('umount', [disk]);
  }
});

test('an output that exists is kept without --force', () => {
  writeFileSync(join(folder, 't.vrr'), 'mine');
  const r = vfioRr(['record', '-o', 't.vrr', '--', 'true']);
  assert.equal([r.status, readFileSync(join(folder, 't.vrr'), 'utf8')].join(), '2,mine');
  assert.match(r.stderr, /^vfio-rr: .*t\.vrr exists; --force overwrites it.*\n$/);
  assert.equal(vfioRr(['record', '--force', '-o', 't.vrr', '--', 'true']).status, 0);
  assert.equal(meta('t.vrr').state, 'finished');
});

test('programs that cannot be started are named before anything is made', () => {
  writeFileSync(join(folder, 'text'), 'no program');
  mkdirSync(join(folder, 'directory'));
  for (const [name, said] of [
    ['no-such-program', /there is no program no-such-program in PATH/],
    ['./no-such', /there is no program \.\/no-such/],
    ['./text', /text is not an executable file/],
    ['./directory', /directory is not an executable file/],
  ] as const) {
    const r = vfioRr(['record', '-o', 't.vrr', '--', name]);
    assert.equal(r.status, 2);
    assert.match(r.stderr, said);
    assert.equal(r.stderr.trim().split('\n').length, 1);
    assert.ok(!existsSync(join(folder, 't.vrr')));
  }
});

test('a static program: refused, or run unrecorded with its own status', () => {
  const source = join(folder, 'seven.c');
  writeFileSync(source, 'int main(void) { return 7; }\n');
  const seven = join(folder, 'seven');
  assert.equal(spawnSync('gcc', ['-static', '-o', seven, source]).status, 0);
  const refused = vfioRr(['record', '--backend', 'preload', '-o', 't.vrr', '--', seven]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /statically linked.*--force/);
  const forced = vfioRr(['record', '--backend', 'preload', '--force', '-o', 't.vrr', '--', seven]);
  assert.equal(forced.status, 7);
  assert.match(forced.stderr, /unrecorded/);
  assert.ok(!existsSync(join(folder, 't.vrr')));
});

test('a setuid program is refused to another user', () => {
  const copy = join(folder, 'setuid');
  compile('counter.c', copy, ['-pthread']);
  spawnSync('chmod', ['4755', copy]);
  const owner = process.getuid?.() ?? 0;
  assert.match(findProgram(copy, '', { uid: owner + 1, gid: 0 }).obstacle ?? '', /setuid/);
  assert.equal(findProgram(copy, '', { uid: owner, gid: 0 }).obstacle, null);
});

test('the limit of open files is the caller’s, which Node raises for itself', () => {
  const command = [cli, 'record', '-o', 't.vrr', '--ring', folder, '--', 'sh', '-c', 'ulimit -Sn; ulimit -Hn'];
  const r = spawnSync('sh', ['-c', 'ulimit -Sn 1000; node "$@"; ulimit -Hn', 'sh', ...command], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
  });
  const [soft, hard, callers] = r.stdout.trim().split('\n');
  assert.deepEqual([soft, hard], ['1000', callers], r.stderr);
});

test('what is preloaded already stays', () => {
  const r = vfioRr(['record', '--', 'sh', '-c', 'echo $LD_PRELOAD']);
  assert.match(r.stdout, /libvfio-rr\.so:.*standin\.so\n$/);
});

test('disk full: the program goes on, the trace keeps what it has and says what is missing', () => {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk]).status !== 0)
    return console.log('SKIP mounting a small disk takes root');
  try {
    const state = join(folder, 'state');
    const r = vfioRr(['record', '-o', 'disk/t.vrr', '--', counter, state, '2', '100000']);
    assert.equal(r.status, 0);
    const returned = [0, 1].map((i) => Number(readFileSync(state).readBigUInt64LE(16 + 16 * i)));
    assert.deepEqual(returned, [100000, 100000]);
    assert.match(r.stderr, /lost: \d+ calls: the trace could not grow/);
    const m = meta('disk/t.vrr');
    assert.equal(m.state, 'finished');
    assert.ok(Number(m.calls) > 10_000);
    // group, device, and the pwrites: every call is either there or counted.
    assert.equal(Number(m.calls) + Number(m.lost), 200_000 + 2);
  } finally {
    spawnSync('umount', [disk]);
  }
});

test('installed where LD_PRELOAD cannot name it', () => {
  const home = join(folder, 'a place: here');
  for (const part of ['dist', 'native/build', 'package.json'])
    cpSync(join(root, part), join(home, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
  const run = (...args: string[]) =>
    spawnSync('node', [join(home, 'dist/cli.js'), ...args], { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  const r = run('record', '-o', 't.vrr', '--', 'true');
  assert.equal(r.status, 0, r.stderr);
  assert.match(r.stderr, /^vfio-rr: recorded by ptrace.*has a space or a colon in its path/);
  const played = run('play', '--emulate', 'edu', '--', 'sh', '-c', 'test -e /dev/vfio/vfio && echo "$LD_PRELOAD"');
  assert.match(played.stdout, /library\.so$/m, played.stderr);
});

test.run();
