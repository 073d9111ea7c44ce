import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('..', import.meta.url));
const [packed] = JSON.parse(
  execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }),
) as [{ files: { path: string }[]; unpackedSize: number }];
const files = packed.files.map((f) => f.path);

test('the package has what the command, its native parts and the lab need', () => {
  for (const path of [
    'bin/vfio-rr',
    'native/install.js',
    'native/Makefile',
    'native/generated/schema.h',
    'README.md',
    'LICENSE',
  ])
    assert.ok(files.includes(path), path);
  for (const folder of ['agent', 'interposer', 'play', 'rings', 'tracer', 'uapi/linux', 'vendor'])
    for (const name of readdirSync(join(root, 'native', folder)))
      assert.ok(files.includes(`native/${folder}/${name}`), `native/${folder}/${name}`);
  for (const name of ['boot.sh', 'kernel.sh', 'init.sh']) assert.ok(files.includes(`test/vm/${name}`), name);
});

test('it has no recordings and nothing that was built here, but for dist/', () => {
  assert.equal(
    files.filter((f) => /(^|\/)build\/|\.vrr$|\.o$|\.so$/.test(f)),
    [],
  );
  assert.ok(packed.unpackedSize < 10e6, `${packed.unpackedSize} bytes`);
});

test.run();
