// What runs outside the recorded program, built under ASan and UBSan: the SQLite extension, the agent, the tracer.
// The recorder's library: test/vm/jobs-sanitizers.ts. Races in the ring: test/rings/race.test.ts.
// timeout: 900

import { execFileSync, spawnSync } from 'node:child_process';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { environment } from '../schema/event.ts';
import { readRing } from './interposer/reader.ts';
import { inTemporary, makeRing } from './interposer/run.ts';
import { compile } from './recorder/build.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const build = join(root, 'native/build/address-undefined');
/** What a sanitizer found ends the process with this. */
const FOUND = 99;
const options = {
  ASAN_OPTIONS: `detect_leaks=0:exitcode=${FOUND}`,
  UBSAN_OPTIONS: `halt_on_error=1:print_stacktrace=1:exitcode=${FOUND}`,
};

const library = (name: string): string =>
  execFileSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8', timeout: 10_000 }).trim();
const libraries = ['libasan.so', 'libubsan.so'].map(library);
if (!libraries.every(isAbsolute)) {
  console.log('SKIP this compiler has no sanitizers; on Debian: apt-get install libgcc-12-dev');
  process.exit(77);
}
const made = spawnSync(
  'make',
  ['-s', '-C', join(root, 'native'), 'SAN=address,undefined', 'rings', 'agent', 'tracer'],
  {
    encoding: 'utf8',
    timeout: 400_000,
  },
);
if (made.status !== 0) throw new Error(made.stderr);

function runTests(file: string, env: NodeJS.ProcessEnv, ...imports: string[]): void {
  const loaders = ['tsx', ...imports].flatMap((i) => ['--import', i]);
  const run = spawnSync(process.execPath, [...loaders, file], {
    cwd: root,
    encoding: 'utf8',
    timeout: 400_000,
    env: { ...process.env, ...options, ...env },
  });
  const output = run.stdout + run.stderr;
  assert.is(run.status, 0, output);
  assert.is(/Sanitizer|runtime error/.test(output), false, output);
}

for (const name of ['decode', 'order', 'hostile'])
  test(`rings.so: test/rings/${name}`, () => {
    runTests(`test/rings/${name}.test.ts`, { LD_PRELOAD: libraries.join(':') }, './test/sanitized.mjs');
  });

for (const name of ['perform', 'stream'])
  test(`agent: test/agent/${name}`, () => {
    runTests(`test/agent/${name}.test.ts`, { VFIO_RR_TEST_AGENT: join(build, 'vfio-rr-agent') });
  });

/** In a mount namespace that has files where VFIO's would be. */
const withFiles =
  'mount -t tmpfs none /dev && mkdir -p /dev/vfio/devices && : >/dev/vfio/devices/vfio0 && : >/dev/vfio/12 && exec "$@"';

test('tracer: threads that open, copy, pass and close; its ring has what they counted', () => {
  if (spawnSync('unshare', ['-rm', 'true']).status !== 0) return console.log('SKIP no user namespaces here');
  const program = join(root, 'test/recorder/build/crowd');
  compile('crowd.c', program, ['-pthread']);
  inTemporary((folder) => {
    const ring = makeRing(folder, { quota: 256 << 20 });
    const crowd = [program, '4', '3', '/dev/vfio/devices/vfio0', '/dev/vfio/12'];
    const argv = ['-rm', 'sh', '-c', withFiles, 'sh', join(build, 'vfio-rr-trace'), ...crowd];
    const run = spawnSync('unshare', argv, {
      encoding: 'utf8',
      timeout: 100_000,
      env: { ...process.env, ...options, [environment.ring]: ring },
    });
    assert.is(run.status, 0, run.stderr);
    assert.is(/ERROR: |runtime error/.test(run.stderr), false, run.stderr);
    const recorded: Record<string, number> = {};
    const { calls, lost } = readRing(ring);
    for (const c of calls) {
      const key = `${c.op === 'attach' ? 'received' : c.op} ${Math.max(0, -c.ret)}`;
      recorded[key] = (recorded[key] ?? 0) + 1;
    }
    const said = run.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/ (?=\d+$)/));
    const counted = Object.fromEntries(said.map(([key, n]) => [key, Number(n)]));
    const { 'replaced 0': _, ...expected } = counted;
    const { 'process 0': begun, ...got } = recorded;
    assert.is(begun, 1);
    assert.equal(got, expected);
    assert.ok((expected['received 0'] ?? 0) > 0);
    assert.ok(lost.every((n) => n === 0));
  });
});

test.run();
