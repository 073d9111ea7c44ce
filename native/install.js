// After `npm install`: compiles the native parts, if there is a compiler. Never fails the install: what needs them says
// so at its first use, and traces can be read without them.

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const has = (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
const manual = `install gcc and make, then run: make -C ${here}`;

/** Where npm put better-sqlite3, whose SQLite headers the extension is compiled against. */
function headers() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('better-sqlite3/package.json')), 'deps', 'sqlite3');
  } catch {
    return undefined; // packages are not installed, only their versions fixed
  }
}

const sqlite = headers();
if (process.platform !== 'linux' || !has('gcc') || !has('make')) {
  console.error(`vfio-rr: recording and replaying on a device need the native parts, which are not built; ${manual}`);
} else if (sqlite) {
  const made = spawnSync('make', ['-s', '-C', here, `SQLITE=${sqlite}`], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (made.status !== 0) console.error(`vfio-rr: the native parts did not compile; ${manual} SQLITE=${sqlite}`);
}
