// How many instructions of the interposer's own one recorded call takes, counted by valgrind: the same on a busy machine
// as on an idle one, and on this processor as on another. What libc, the stand-in and the kernel do is not in it.

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environment } from '../../schema/event.ts';
import { inTemporary, interposer, makeRing, prepare, standin } from '../interposer/run.ts';
import { compile } from '../make.ts';

export interface Instructions {
  /** Another compiler makes other instructions. */
  readonly compiler: string;
  /** A call of each sort. */
  readonly calls: Readonly<Record<string, number>>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const kept = join(root, 'test/bench/instructions.json');
const CALLS = 1000;

export const keptInstructions = (): Instructions => JSON.parse(readFileSync(kept, 'utf8')) as Instructions;

/** The counts are of x86-64; null: they can be taken here. */
export function whyNotCounted(): string | null {
  if (process.arch !== 'x64') return `the counts are of x86-64, this is ${process.arch}`;
  if (spawnSync('valgrind', ['--version']).status !== 0) return 'valgrind is not installed';
  return null;
}

export function compiler(): string {
  const version = execFileSync(process.env.CC ?? 'gcc', ['-dumpversion'], { encoding: 'utf8' }).trim();
  return `gcc ${version.split('.')[0]}`;
}

/** Instructions by function of one object, of one of callgrind's files (its manual's "Callgrind Format"). */
export function ofObject(profile: string, object: string): Map<string, number> {
  const names = new Map<string, string>();
  const named = (kind: string, text: string): string => {
    const [, id = '', name = ''] = /^(\(\d+\))? ?(.*)$/.exec(text) ?? [];
    if (name) names.set(kind + id, name);
    return names.get(kind + id) ?? name;
  };
  const sums = new Map<string, number>();
  let inside = false;
  let fn = '';
  let called = false;
  for (const line of profile.split('\n')) {
    const [, key = '', text = ''] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key === 'ob') inside = named('object', text).endsWith(object);
    else if (key === 'cob') named('object', text);
    else if (key === 'fn') fn = named('function', text);
    else if (key === 'cfn') named('function', text);
    else if (key === 'calls') called = true;
    else if (/^[\d+*-]/.test(line)) {
      if (inside && !called) sums.set(fn, (sums.get(fn) ?? 0) + Number(line.split(' ').at(-1)));
      called = false;
    }
  }
  return sums;
}

/** By sort of call, instructions a call by function. */
export function countInstructions(): ReadonlyMap<string, ReadonlyMap<string, number>> {
  prepare();
  const program = join(root, 'test/bench/build/calls');
  compile(program, ['test/bench/calls.c']);
  return inTemporary((folder) => {
    const ring = makeRing(folder, { segmentSize: 1 << 20, quota: 16 << 20 });
    const out = join(folder, 'profile');
    const { stdout, stderr, status } = spawnSync(
      'valgrind',
      ['--tool=callgrind', '--dump-before=mark', `--callgrind-out-file=${out}`, program, String(CALLS)],
      {
        env: { ...process.env, LD_PRELOAD: `${interposer}:${standin}`, [environment.ring]: ring },
        encoding: 'utf8',
        timeout: 100_000,
      },
    );
    if (status !== 0) throw new Error(`valgrind: ${stderr}`);
    // A part ends at each mark: what lies before a sort's first, then the sort.
    return new Map(
      stdout
        .trim()
        .split('\n')
        .map((sort, i) => {
          const profile = readFileSync(`${out}.${2 * i + 2}`, 'utf8');
          const sums = ofObject(profile, 'libvfio-rr.so');
          return [sort, new Map([...sums].map(([fn, n]) => [fn, n / CALLS]))];
        }),
    );
  });
}

export const totals = (counted: ReadonlyMap<string, ReadonlyMap<string, number>>): Record<string, number> =>
  Object.fromEntries([...counted].map(([sort, by]) => [sort, Math.round([...by.values()].reduce((a, b) => a + b, 0))]));

export function updateInstructions(): Instructions {
  const now = { compiler: compiler(), calls: totals(countInstructions()) };
  writeFileSync(kept, `${JSON.stringify(now, null, 2)}\n`);
  return now;
}
