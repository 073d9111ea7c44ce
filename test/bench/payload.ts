// What storing payloads costs against lz4 alone, and where that time goes.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { wheres } from '../../schema/event.ts';
import { pack } from '../../traces/pack.ts';
import { made, type Record } from '../rings/ring-file.ts';
import { cpu, drainInto, generator, opened, ringOf } from './store.ts';

/** A page of structures: a pointer, a counter, flags, a time stamp. lz4 packs it to a fifth or so. */
function structured(page: Buffer, random: () => number): void {
  const base = random();
  for (let at = 0; at < page.length; at += 32) {
    page.writeUInt32LE((base + at * 2) >>> 0, at);
    page.writeUInt32LE(0xffff8880, at + 4);
    page.writeUInt32LE((base >>> 8) + at, at + 8);
    page.writeUInt32LE(1 << (random() >>> 30), at + 12);
    page.writeUInt32LE(at % 96 ? 0x17 : random(), at + 16);
  }
}

/** Pages as a guest's memory has them: 30 % zero, 40 % structured, 30 % random. */
function mixed(bytes: number, random: () => number): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let page = 0; page < bytes; page += 4096) {
    const sort = (random() >>> 8) % 10;
    if (sort < 3) continue;
    if (sort < 7) structured(buffer.subarray(page, page + 4096), random);
    else for (let at = page; at < page + 4096; at += 4) buffer.writeUInt32LE(random(), at);
  }
  return buffer;
}

const LARGE_SEGMENT = 4 << 20;

/** Reads of a data descriptor that gave these bytes. */
const reads = (blocks: readonly Buffer[]): Record[] => [
  { ...opened, value: made(1, 'data') },
  ...blocks.map(
    (bytes, i): Record => ({
      op: 'read',
      enter: 1000 * (i + 1),
      ret: bytes.length,
      b: bytes.length,
      fd: 5,
      handle: 1,
      chunks: [{ where: wheres.ARG, phase: 'OUT', bytes }],
    }),
  ),
];

function blocksOf(total: number, length: number): Buffer[] {
  const random = generator(2);
  return Array.from({ length: total / length }, () => mixed(length, random));
}

/** Bytes per ns of processor time: payloads through the drain, and lz4 alone on the same bytes. */
export function payloadCosts(total: number, length: number, rounds: number): { stored: number; lz4: number }[] {
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-bench-'));
  try {
    const blocks = blocksOf(total, length);
    const records = reads(blocks);
    return Array.from({ length: rounds }, () => {
      const lz4 = cpu(() => {
        for (const block of blocks) pack(block);
      });
      return { lz4: total / lz4, stored: total / drainInto(folder, ringOf(records, LARGE_SEGMENT)).ns };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Percent of that time by where it goes; null: there is no perf. */
export async function payloadProfile(total: number, length: number): Promise<Map<string, number> | null> {
  if (spawnSync('perf', ['--version']).status !== 0) return null;
  const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-bench-'));
  const data = join(folder, 'perf.data');
  try {
    const records = reads(blocksOf(total, length));
    const rings = Array.from({ length: 4 }, () => ringOf(records, LARGE_SEGMENT));
    const attach = ['-q', '-e', 'cpu-clock', '-t', String(process.pid), '-o', data];
    const perf = spawn('perf', ['record', ...attach], { stdio: 'ignore' });
    const ended = once(perf, 'exit');
    await new Promise((begun) => setTimeout(begun, 1000));
    for (const ring of rings) drainInto(folder, ring);
    perf.kill('SIGINT');
    await ended;
    const report = ['report', '-i', data, '--stdio', '--sort', 'dso,symbol', '-t', ';', '--percent-limit', '0'];
    const text = execFileSync('perf', report, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 120_000,
    });
    return byPlace(text);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function byPlace(report: string): Map<string, number> {
  const places: readonly [string, RegExp, RegExp][] = [
    ['lz4', /rings\.so/, /LZ4_/],
    ['hash (XXH3)', /rings\.so/, /XXH/],
    ['taking records out of the ring', /rings\.so/, /./],
    ['copying and clearing memory, allocation', /libc/, /./],
    ['SQLite', /better_sqlite3/, /./],
    ['kernel: the trace file, page faults', /kernel/, /./],
    ['the rest', /./, /./],
  ];
  const sums = new Map(places.map(([name]) => [name, 0]));
  for (const line of report.split('\n').filter((l) => /^ *\d/.test(l))) {
    const [percent = '0', object = '', symbol = ''] = line.split(';');
    const name = places.find(([, inObject, inSymbol]) => inObject.test(object) && inSymbol.test(symbol))?.[0];
    if (name) sums.set(name, (sums.get(name) ?? 0) + Number(percent.trim().replace('%', '')));
  }
  return sums;
}
