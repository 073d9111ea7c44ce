// Builds the stand-in and the test program once, makes ring files, and runs a scene with or without the interposer.

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRing, put } from '../../recorder/ring.ts';
import { clocks, environment, type MmioMode, type RawMode, vrr_ring } from '../../schema/event.ts';
import { make } from '../make.ts';
import { type Ring, readRing } from './reader.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const build = join(root, 'test/interposer/build');
export const interposer = join(root, 'native/build/libvfio-rr.so');
export const standin = join(build, 'standin.so');
export const program = join(build, 'program');

export function prepare(): void {
  make('native', 'interposer');
  make('test/interposer');
}

export interface Options {
  readonly mmio?: MmioMode;
  readonly raw?: RawMode;
  readonly segmentSize?: number;
  readonly quota?: number;
  /** Segments given to the program; all unless said otherwise. */
  readonly given?: number;
  /** Says that the given segments have their pages, as the recorder does. */
  readonly allocated?: boolean;
  readonly library?: string;
  readonly environment?: Record<string, string>;
  readonly program?: string;
  /** In front of the program, for example strace. */
  readonly under?: readonly string[];
}

/** A ring as the recorder makes it, with segments given. */
export function makeRing(folder: string, options: Options = {}): string {
  const segmentSize = options.segmentSize ?? 1 << 16;
  const quota = options.quota ?? 64 << 20;
  const path = createRing({
    folder,
    quota,
    mmio: options.mmio ?? 'hide',
    raw: options.raw ?? 'off',
    clock: { clock: clocks.TSC, name: 'TSC', hz: 2_000_000_000n, start: 0n, monotonic: 0n, realtime: 0n },
    segmentSize,
    recorderPid: process.pid,
  });
  const count = Math.max(4, Math.floor(quota / segmentSize));
  const given = options.given ?? count;
  const header = Buffer.alloc(vrr_ring.size + 4 * count);
  for (let i = 0; i < count; i++) header.writeUInt32LE(i, vrr_ring.size + 4 * i);
  const fd = openSync(path, 'r+');
  writeSync(fd, header, vrr_ring.size, 4 * count, vrr_ring.size);
  put(header, 'given', given);
  const at = vrr_ring.fields.find((f) => f.name === 'given')?.at ?? 0;
  writeSync(fd, header, at, 8, at);
  if (options.allocated) {
    put(header, 'populated', given);
    const populated = vrr_ring.fields.find((f) => f.name === 'populated')?.at ?? 0;
    writeSync(fd, header, populated, 8, populated);
  }
  closeSync(fd);
  return path;
}

export function inTemporary<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-interposer-'));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function runPlain(args: readonly string[], options: Options = {}): SpawnSyncReturns<string> {
  const [command, ...rest] = [...(options.under ?? []), options.program ?? program, ...args];
  return spawnSync(command as string, rest, {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, LD_PRELOAD: standin, ...options.environment },
  });
}

export function runRecorded(args: readonly string[], options: Options = {}): SpawnSyncReturns<string> & { ring: Ring } {
  return inTemporary((folder) => {
    const path = makeRing(folder, options);
    const result = runPlain(args, {
      ...options,
      environment: {
        LD_PRELOAD: `${options.library ?? interposer}:${standin}`,
        [environment.ring]: path,
        ...options.environment,
      },
    });
    return { ...result, ring: readRing(path) };
  });
}
