// Runs the command as it is installed: from dist/, which starts several times faster than the sources.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const client = (name: string): string => `test/clients/build/${name}`;

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** `vfio-rr …`. `seconds`: killed after that. */
export function vfioRr(args: readonly string[], seconds = 60): Promise<Ran> {
  return run('bin/vfio-rr', args, seconds);
}

function run(command: string, args: readonly string[], seconds: number): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
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

export async function makeClients(): Promise<void> {
  const made = await run('make', ['-s', '-C', 'test/clients', 'all', 'raw'], 240);
  if (made.code !== 0) throw new Error(`test/clients: ${made.err}`);
}
