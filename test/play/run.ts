// Runs the command as it is installed: from dist/, which starts several times faster than the sources.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { make } from '../make.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const client = (name: string): string => `test/clients/build/${name}`;

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** `vfio-rr …`. `seconds`: killed after that. */
export function vfioRr(args: readonly string[], seconds = 60): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn('bin/vfio-rr', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGTERM'), seconds * 1000);
    let out = '';
    let err = '';
    child.stdout.on('data', (d) => {
      out += d;
    });
    child.stderr.on('data', (d) => {
      err += d;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, out, err });
    });
  });
}

export function makeClients(): void {
  make('test/clients', 'all', 'raw');
}
