// How many calls a second a played program makes, end to end, on the emulator.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from '../make.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

export interface PlayedSpeed {
  readonly pread: number;
  readonly pwrite: number;
  readonly ioctl: number;
}

/** Calls a second, each kind made `calls` times. Runs dist/, as users do. */
export function playedSpeed(calls = 40_000): PlayedSpeed {
  const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-speed-'));
  try {
    const client = join(dir, 'speed');
    compile(client, ['test/play/speed.c']);
    const play = ['play', '--emulate', 'edu:0000:00:04.0@1', '--', client, `${calls}`];
    const out = execFileSync(process.execPath, [join(root, 'dist/cli.js'), ...play], { encoding: 'utf8' });
    const [pread = 0, pwrite = 0, ioctl = 0] = out.trim().split(' ').map(Number);
    return { pread, pwrite, ioctl };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
