// After `npm install`: compiles the native parts, if there is a compiler. Never fails the install: what needs them says
// so at its first use, and traces can be read without them.

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const has = (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
const manual = `install gcc and make, then run: make -C ${here}`;

/** Where npm put the packages whose C sources the extension is compiled against, as make's variables. */
function sources() {
  const folder = (name) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  try {
    return [`SQLITE=${join(folder('better-sqlite3'), 'deps/sqlite3')}`, `LZ4=${join(folder('lz4'), 'deps/lz4/lib')}`];
  } catch {
    return undefined; // packages are not installed, only their versions fixed
  }
}

const found = sources();
if (process.platform !== 'linux' || !has('gcc') || !has('make')) {
  console.error(`vfio-rr: recording and replaying on a device need the native parts, which are not built; ${manual}`);
} else if (found) {
  const made = spawnSync('make', ['-s', '-C', here, ...found], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (made.status !== 0) console.error(`vfio-rr: the native parts did not compile; ${manual} ${found.join(' ')}`);
}
