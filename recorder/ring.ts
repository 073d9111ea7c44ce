// Makes the ring file (schema/event.ts) that a recorded program and its recorder share.

import { closeSync, ftruncateSync, openSync, readFileSync, readSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from '../schema/errors.ts';
import {
  type DmaMode,
  DOORBELLS_MAX,
  dmaModes,
  type MmioMode,
  mmioModes,
  type RawMode,
  RING_MAGIC,
  RING_VERSION,
  rawModes,
  SEGMENT_SIZE,
  vrr_ring,
} from '../schema/event.ts';
import { fieldOf } from '../schema/layout.ts';
import type { Clock } from './clock.ts';

export interface RingOptions {
  /** Folder; tmpfs by default, which outlives a SIGKILL of everybody but not a reboot. */
  readonly folder: string;
  /** Bytes that the ring may grow to. */
  readonly quota: number;
  readonly mmio: MmioMode;
  readonly dma?: DmaOptions;
  readonly raw?: RawMode;
  readonly clock: Clock;
  readonly segmentSize?: number;
  readonly recorderPid: number;
}

/** What is kept of the memory that devices reach, and when it is looked at. */
export interface DmaOptions {
  readonly mode: DmaMode;
  /** Bytes looked at in one point, at most. */
  readonly limit: number;
  /** Ranges of regions whose writes are such points; at most DOORBELLS_MAX. */
  readonly doorbells: readonly Doorbell[];
}
export interface Doorbell {
  readonly region: number;
  readonly offset: bigint;
  readonly size: number;
}

/** Segments that are kept allocated ahead of the program: 128 MiB, but never most of what the folder has left. */
const AHEAD = 128 << 20;

/** `index`: of a field that is an array. */
export function put(header: Buffer, name: string, value: number | bigint, index = 0): void {
  const field = fieldOf(vrr_ring, name);
  if (field.type === 'u32') header.writeUInt32LE(Number(value), field.at + 4 * index);
  else header.writeBigUInt64LE(BigInt(value), field.at + 8 * index);
}

export function ringNumber(header: Buffer, name: string, index = 0): bigint {
  const field = fieldOf(vrr_ring, name);
  return field.type === 'u32'
    ? BigInt(header.readUInt32LE(field.at + 4 * index))
    : header.readBigUInt64LE(field.at + 8 * index);
}

function putDma(header: Buffer, dma: DmaOptions): void {
  put(header, 'dma', dmaModes[dma.mode]);
  put(header, 'dma_limit', dma.limit);
  put(header, 'doorbells', Math.min(dma.doorbells.length, DOORBELLS_MAX));
  dma.doorbells.slice(0, DOORBELLS_MAX).forEach((d, i) => {
    header.writeUInt32LE(d.region, fieldOf(vrr_ring, 'doorbell_region').at + 4 * i);
    header.writeUInt32LE(d.size, fieldOf(vrr_ring, 'doorbell_size').at + 4 * i);
    header.writeBigUInt64LE(d.offset, fieldOf(vrr_ring, 'doorbell_offset').at + 8 * i);
  });
}

/** How many this process is under; a program with more has its own. Kernels before 5.9 do not say: none. */
function seccompFilters(): number {
  return Number(/^Seccomp_filters:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0);
}

/** Its path. Nothing is allocated yet: the drain gives segments to the program as it needs them. */
export function createRing(options: RingOptions): string {
  const segmentSize = options.segmentSize ?? SEGMENT_SIZE;
  const count = Math.max(4, Math.floor(options.quota / segmentSize));
  const queueEnd = vrr_ring.size + 4 * count;
  const headerSize = Math.ceil(queueEnd / segmentSize) * segmentSize;
  const header = Buffer.alloc(queueEnd);
  put(header, 'magic', RING_MAGIC);
  put(header, 'version', RING_VERSION);
  put(header, 'header_size', headerSize);
  put(header, 'segment_size', segmentSize);
  put(header, 'segment_count', count);
  put(header, 'mmio', mmioModes[options.mmio]);
  put(header, 'clock', options.clock.clock);
  put(header, 'clock_start', options.clock.start);
  put(header, 'clock_hz', options.clock.hz);
  put(header, 'mono_start', options.clock.monotonic);
  put(header, 'real_start', options.clock.realtime);
  put(header, 'recorder_pid', options.recorderPid);
  if (options.dma) putDma(header, options.dma);
  put(header, 'raw', rawModes[options.raw ?? 'off']);
  put(header, 'seccomp_filters', seccompFilters());
  put(header, 'recording', 1);
  put(header, 'next_handle', 1);
  put(header, 'next_stream', 1);
  const random = Math.floor(Math.random() * 2 ** 32).toString(36);
  const path = join(options.folder, `vfio-rr-${options.recorderPid}-${random}.ring`);
  try {
    const fd = openSync(path, 'wx', 0o600);
    try {
      writeSync(fd, header);
      ftruncateSync(fd, headerSize + count * segmentSize);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new TraceError('HOST', `cannot make the ring file ${path} (${(error as Error).message}); use --ring DIR`, {
      cause: error,
    });
  }
  return path;
}

/** The header of a ring in use, as the program has it mapped. */
export class RingHeaderFile {
  readonly #fd: number;
  readonly #bytes = Buffer.alloc(vrr_ring.size);

  constructor(path: string) {
    this.#fd = openSync(path, 'r+');
  }

  /** All of it as it is at this moment; read with ringNumber. */
  read(): Buffer {
    readSync(this.#fd, this.#bytes, 0, this.#bytes.length, 0);
    return this.#bytes;
  }

  put(name: string, value: number | bigint, index = 0): void {
    put(this.#bytes, name, value, index);
    const field = fieldOf(vrr_ring, name);
    const width = field.type === 'u32' ? 4 : 8;
    writeSync(this.#fd, this.#bytes, field.at + width * index, width, field.at + width * index);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Segments to keep ready for the program. */
export function segmentsAhead(folder: string, quota: number, segmentSize = SEGMENT_SIZE): number {
  const fs = statfsSync(folder);
  const bytes = Math.min(AHEAD, quota / 4, (fs.bavail * fs.bsize) / 4);
  return Math.max(4, Math.floor(bytes / segmentSize));
}

export interface RingHeader {
  readonly mmio: MmioMode;
  readonly clock: 'TSC' | 'MONOTONIC';
  readonly clockHz: bigint;
  readonly realStart: bigint;
  readonly recorderPid: number;
  readonly segmentSize: number;
  /** Segments given to writers since the start. */
  readonly taken: bigint;
}

export function readRingHeader(path: string): RingHeader {
  const header = Buffer.alloc(vrr_ring.size);
  let length = 0;
  try {
    const fd = openSync(path, 'r');
    try {
      length = readSync(fd, header, 0, header.length, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new TraceError('RING', `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  if (length < header.length || ringNumber(header, 'magic') !== RING_MAGIC)
    throw new TraceError(
      'RING',
      `${path} is not a ring file; name the ring or the unfinished trace of a killed recorder`,
    );
  const mmio = (Object.keys(mmioModes) as MmioMode[]).find((m) => BigInt(mmioModes[m]) === ringNumber(header, 'mmio'));
  return {
    mmio: mmio ?? 'pass',
    clock: ringNumber(header, 'clock') === 1n ? 'TSC' : 'MONOTONIC',
    clockHz: ringNumber(header, 'clock_hz'),
    realStart: ringNumber(header, 'real_start'),
    recorderPid: Number(ringNumber(header, 'recorder_pid')),
    segmentSize: Number(ringNumber(header, 'segment_size')),
    taken: ringNumber(header, 'taken'),
  };
}
