// One cell: a kernel boots in the lab with the trace's devices and replays inside; the result is a trace.

import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TraceError } from '../../schema/errors.ts';
import { type Cell, isStock } from './cells.ts';

/** The result trace in a cell's folder. */
export const RESULT = 'result.vrr';

export interface CellResult {
  readonly cell: Cell;
  /** The result trace; null when there is none, and why. */
  readonly result: string | null;
  readonly problem: string | null;
  /** What uname said in the guest. */
  readonly release: string | null;
}

/** The folder of package.json: this file is in replayer/matrix or dist/replayer/matrix. */
function home(): string {
  let dir = fileURLToPath(new URL('.', import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) {
    const up = resolve(dir, '..');
    if (up === dir) throw new TraceError('HOST', 'cannot find the folder that vfio-rr is installed in');
    dir = up;
  }
  return dir;
}

const quoted = (s: string): string => `'${s.replaceAll("'", "'\\''")}'`;

export function runCell(cell: Cell, trace: string, folder: string, seconds: number): Promise<CellResult> {
  const root = home();
  const out = resolve(folder); // boot.sh runs elsewhere
  const boot = join(root, 'test/vm/boot.sh');
  if (!existsSync(boot)) throw new TraceError('HOST', `the lab is missing: ${boot}; use a checkout of vfio-rr`);
  mkdirSync(out, { recursive: true });
  for (const old of [RESULT, 'release', 'report.json', 'console', 'rc']) rmSync(join(out, old), { force: true });
  copyFileSync(trace, join(out, 'trace.vrr')); // the guest's /tmp is its own
  const maps = cell.map.map((m) => `--map ${quoted(m)}`).join(' ');
  // --raw: nothing that a call does can outlive the guest.
  const script = [
    'uname -r >/mnt/out/release',
    ...cell.prepare.map((p) => `${p} >/dev/null || exit 90`),
    `bin/vfio-rr replay /mnt/out/trace.vrr --on device --raw ${maps} -o /mnt/out/${RESULT} --force --json >/mnt/out/report.json`,
  ].join('\n');
  const args = [
    '-k',
    isStock(cell.kernel) ? cell.kernel : resolve(cell.kernel),
    '-o',
    out,
    '-t',
    String(seconds),
    ...(cell.devices.length ? ['-q', cell.devices.join(' ')] : []),
    'sh',
    '-c',
    script,
  ];
  return new Promise((done, fail) => {
    const child = spawn(boot, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    const keep = (text: Buffer): void => {
      said = (said + text.toString()).slice(-4000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', fail);
    child.on('close', (code) => {
      const read = (name: string): string | null =>
        existsSync(join(out, name)) ? readFileSync(join(out, name), 'utf8').trim() : null;
      const result = join(out, RESULT);
      const finished = (code === 0 || code === 1) && existsSync(result);
      done({
        cell,
        result: finished ? result : null,
        problem: finished ? null : problemOf(code, said, seconds, read('console')),
        release: read('release'),
      });
    });
  });
}

/** Codes of boot.sh, and 90 of the script that runs in the guest. */
function problemOf(code: number | null, said: string, seconds: number, log: string | null): string {
  const lines = (text: string): string => text.trim().split('\n').slice(-8).join('\n');
  const last = log ? `the console's last lines:\n${lines(log)}` : `its console said nothing\n${lines(said)}`;
  if (code === 124) return `did not finish within its limit of ${seconds} s; ${last}`;
  if (code === 125) return `the guest died; ${last}`;
  if (code === 90) return `the device could not be given to vfio-pci:\n${lines(said)}`;
  return lines(said) || `exit status ${code}`;
}
