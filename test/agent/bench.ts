// What the agent costs: its CPU time over that of a C loop that makes the same calls.
//   npx tsx test/agent/bench.ts

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentPath } from './request.ts';

const native = new URL('../../native', import.meta.url).pathname;
const source = new URL('bench.c', import.meta.url).pathname;
function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000 });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return stdout;
}

/** CPU time of the agent over the loop's; design's bar is at most 1.5. */
export function agentRatio(): number {
  const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-bench-'));
  try {
    const program = join(dir, 'bench');
    run(process.env.CC ?? 'gcc', ['-std=gnu11', '-O2', `-I${native}`, '-o', program, source]);
    const [loop = 0, agent = 0] = run(program, [agentPath]).trim().split(' ').map(Number);
    return agent / loop;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[1]?.endsWith('agent/bench.ts')) process.stdout.write(`${agentRatio().toFixed(2)}\n`);
