// What recording costs the program: processor time of a call recorded and unrecorded, and against strace. Runs take turns,
// so that a busy neighbour falls on all; each ratio is the median of its rounds.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRing, put } from '../../recorder/ring.ts';
import { clocks, environment, SEGMENT_SIZE, vrr_ring } from '../../schema/event.ts';
import { compile, make } from '../make.ts';
import { buildGuest } from '../play/qemu.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const build = join(root, 'test/bench/build');
const client = join(build, 'client');
const standin = join(root, 'test/interposer/build/standin.so');
const interposer = join(root, 'native/build/libvfio-rr.so');
export const cli = join(root, 'dist/cli.js');

export interface Cost {
  /** ns a call. */
  readonly cpu: number;
  readonly wall: number;
}
/** As test/bench/client.c names them. */
export type Call = 'pread' | 'ioctl' | 'info' | 'load';

export function prepare(): void {
  make('native', 'interposer', 'rings');
  make('test/interposer');
  const flags = ['-D_GNU_SOURCE', '-pthread'];
  compile(client, ['test/bench/client.c'], flags);
  buildGuest(build, 'test/bench/guest.S');
  const clients = ['client', 'device', 'edu'].map((name) => `test/clients/${name}.c`);
  compile(join(build, 'work'), ['test/bench/work.c', ...clients], flags);
}

function parse(output: string, error: string): Cost {
  const [cpu, wall] = output.trim().split(' ').map(Number);
  if (!cpu || !wall) throw new Error(`the client said "${output}": ${error}`);
  return { cpu, wall };
}

function run(command: string, args: readonly string[], env: Record<string, string>): Cost {
  const r = spawnSync(command, args, { env: { ...process.env, ...env }, encoding: 'utf8', timeout: 120_000 });
  return parse(r.stdout, r.stderr);
}

export const unrecorded = (call: Call, calls: number): Cost =>
  run(client, [call, String(calls)], { LD_PRELOAD: standin });

/** Into a ring whose segments are all there, with nobody draining. */
export function recorded(call: Call, calls: number): Cost {
  const segments = 2 + Math.ceil((calls * 256) / SEGMENT_SIZE);
  const ring = createRing({
    folder: '/dev/shm',
    quota: segments * SEGMENT_SIZE,
    mmio: call === 'load' ? 'trap' : 'hide',
    clock: { clock: clocks.TSC, name: 'TSC', hz: 2_000_000_000n, start: 0n, monotonic: 0n, realtime: 0n },
    recorderPid: process.pid,
  });
  const fd = openSync(ring, 'r+');
  const queue = Buffer.alloc(4 * segments);
  for (let i = 0; i < segments; i++) queue.writeUInt32LE(i, 4 * i);
  writeSync(fd, queue, 0, queue.length, vrr_ring.size);
  const header = Buffer.alloc(vrr_ring.size);
  const given = vrr_ring.fields.find((f) => f.name === 'given');
  put(header, 'given', segments);
  if (given) writeSync(fd, header, given.at, 8, given.at);
  const zeroes = Buffer.alloc(SEGMENT_SIZE);
  for (let i = 0; i < segments; i++) writeSync(fd, zeroes, 0, zeroes.length, SEGMENT_SIZE * (i + 1));
  closeSync(fd);
  try {
    return run(client, [call, String(calls)], { LD_PRELOAD: `${interposer}:${standin}`, [environment.ring]: ring });
  } finally {
    rmSync(ring);
  }
}

/** By the whole command, draining on whatever processor is free. */
export function drained(call: Call, calls: number): Cost {
  const trace = join(build, 'bench.vrr');
  return run('node', [cli, 'record', '--force', '-o', trace, '--', client, call, String(calls)], {
    LD_PRELOAD: standin,
  });
}

export const straced = (call: Call, calls: number): Cost =>
  run('strace', ['-f', '--seccomp-bpf', '-e', 'trace=pread64,ioctl', '-o', '/dev/null', client, call, String(calls)], {
    LD_PRELOAD: standin,
  });

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
