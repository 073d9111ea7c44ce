// Design's bar for the agent: its CPU time over that of a C loop that makes the same calls.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentPath } from './request.ts';

const native = new URL('../../native', import.meta.url).pathname;
const source = new URL('bench.c', import.meta.url).pathname;
const REACH = 1.5;

export interface Bar {
  readonly bar: string;
  readonly ratio: number;
  readonly reach: number;
  readonly holds: boolean;
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return stdout;
}

export function agentBar(): Bar {
  const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-bench-'));
  try {
    const program = join(dir, 'bench');
    run(process.env.CC ?? 'gcc', ['-std=gnu11', '-O2', `-I${native}`, '-o', program, source]);
    const [loop = 0, agent = 0] = run(program, [agentPath]).trim().split(' ').map(Number);
    const ratio = agent / loop;
    return { bar: 'agent / the same calls from a C loop', ratio, reach: REACH, holds: ratio <= REACH };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[1]?.endsWith('agent/bench.ts')) process.stdout.write(`${JSON.stringify(agentBar())}\n`);
