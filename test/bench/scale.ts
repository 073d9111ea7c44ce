// How the cost grows: with events (recorded, opened, counted, shown at a range), with threads, with processes.
//   scale.ts OUT.json [--most 100000000]

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cli, median, prepare } from './cost.ts';
import { kernel, spend } from './tools.ts';

const root = join(import.meta.dirname, '../..');
const client = join(root, 'test/bench/build/client');
const standin = { LD_PRELOAD: join(root, 'test/interposer/build/standin.so') };

/** Of one command on a trace. */
export interface Step {
  readonly wall: number;
  readonly cpu: number;
  /** MiB, largest resident set. */
  readonly memory: number;
}
export interface Size {
  readonly events: number;
  readonly bytes: number;
  readonly steps: Readonly<Record<'record' | 'info' | 'summary' | 'query' | 'show', Step>>;
}
/** ns of processor time a call, in the program. */
export interface Parallel {
  readonly threads: number;
  readonly processes: number;
  readonly plain: number;
  readonly recorded: number;
}
export interface Scale {
  readonly kernel: string;
  readonly sizes: readonly Size[];
  readonly parallel: readonly Parallel[];
}

/** The command's cost, and the largest resident set of its processes by GNU-free means: its own status at its end. */
function step(argv: readonly string[], env: Record<string, string> = {}, seconds = 1800): Step {
  const script =
    'import resource,subprocess,sys;c=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL).returncode;r=resource.getrusage(resource.RUSAGE_CHILDREN);sys.stderr.write("rss: %d\\n"%r.ru_maxrss);sys.exit(c)';
  const spent = spend(['python3', '-c', script, ...argv], env, seconds);
  const [, kib] = /^rss: (\d+)$/m.exec(spent.err) ?? [];
  return { wall: spent.wall, cpu: spent.cpu, memory: Number(kib) / 1024 };
}

function size(folder: string, events: number): Size {
  const trace = join(folder, `${events}.vrr`);
  const command = (...args: string[]): string[] => [process.execPath, cli, ...args];
  try {
    const record = step(command('record', '-o', trace, '--', client, 'pread', String(events)), standin);
    const middle = Math.floor(events / 2);
    const perRegister = 'SELECT offset, count(*) FROM call WHERE id BETWEEN ? AND ? + 99999 GROUP BY offset';
    return {
      events,
      bytes: statSync(trace).size,
      steps: {
        record,
        info: step(command('info', trace)),
        summary: step(command('query', trace, 'SELECT count(*), sum(dur) FROM event')),
        query: step(command('query', trace, perRegister.replaceAll('?', String(middle)))),
        show: step(command('show', trace, `${middle}-${middle + 1000}`)),
      },
    };
  } finally {
    rmSync(trace, { force: true });
  }
}

function cost(argv: readonly string[], env: Record<string, string>): number {
  const { err } = spend(['sh', '-c', '"$@" 1>&2', 'sh', ...argv], env);
  const costs = [...err.matchAll(/^([\d.]+) [\d.]+$/gm)].map((m) => Number(m[1]));
  if (costs.length === 0) throw new Error(`the client said nothing: ${err.slice(-300)}`);
  return costs.reduce((a, b) => a + b, 0) / costs.length;
}

function parallel(folder: string, threads: number, processes: number, calls: number): Parallel {
  const trace = join(folder, 'parallel.vrr');
  const work = [client, 'pread', String(calls), String(threads), String(processes)];
  const record = [process.execPath, cli, 'record', '--force', '-o', trace, '--', ...work];
  const rounds = Array.from({ length: 3 }, () => ({ plain: cost(work, standin), recorded: cost(record, standin) }));
  return {
    threads,
    processes,
    plain: median(rounds.map((r) => r.plain)),
    recorded: median(rounds.map((r) => r.recorded)),
  };
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { most: { type: 'string', default: '10000000' } },
  });
  const [out] = positionals;
  if (!out) throw new Error('scale.ts OUT.json [--most EVENTS]');
  prepare();
  const folder = mkdtempSync(join(tmpdir(), 'scale-'));
  try {
    const sizes: Size[] = [];
    for (let events = 100_000; events <= Number(values.most); events *= 10) sizes.push(size(folder, events));
    const ways = [
      ...[1, 2, 4, 8].map((threads) => ({ threads, processes: 1 })),
      ...[2, 4].map((processes) => ({ threads: 1, processes })),
    ];
    const result: Scale = {
      kernel: kernel(),
      sizes,
      parallel: ways.map((w) => parallel(folder, w.threads, w.processes, 400_000)),
    };
    writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
