// The same work under each tool, in turns, so that a busy neighbour falls on all.
//   side-by-side.ts OUT.json [--device BDF] [--rounds N] [--turns N]
// Without --device: on the stand-in. Writes what the report reads.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from './cost.ts';
import { bytesOf, clear, kernel, spend, type Tool, tools } from './tools.ts';

/** Medians over the turns. */
export interface Row {
  readonly tool: string;
  /** Why there are no figures. */
  readonly missing?: string;
  /** ns a call on the clock, inside the program. */
  readonly wall?: number;
  /** ns a call of processor time, of the program and the tool, without what starting both costs. */
  readonly cpu?: number;
  /** Bytes written an event that was kept; null: none was. */
  readonly bytes?: number | null;
  readonly calls?: number;
  /** Calls of those that the tool kept; null: it is none. */
  readonly kept?: number | null;
}

export interface SideBySide {
  readonly where: string;
  readonly kernel: string;
  readonly processors: number;
  readonly turns: number;
  readonly rows: readonly Row[];
}

interface Turn {
  wall: number;
  cpu: number;
  bytes: number | null;
  calls: number;
  kept: number | null;
}

interface Place {
  readonly work: string;
  readonly arguments: readonly string[];
  readonly env: Record<string, string>;
  readonly folder: string;
}

function turn(tool: Tool, place: Place, rounds: number): Turn {
  const run = (n: number): ReturnType<typeof spend> => {
    clear(tool, place.folder);
    return spend(tool.wrap([place.work, String(n), ...place.arguments], place.folder), place.env);
  };
  const start = run(1);
  const spent = run(rounds);
  const [, calls, wall] = /^work: (\d+) (\d+) (\d+)$/m.exec(spent.err) ?? [];
  if (!calls || !wall) throw new Error(`the work said nothing: ${spent.err.slice(-300)}`);
  const kept = tool.kept(place.folder);
  return {
    wall: Number(wall) / Number(calls),
    cpu: (Math.max(0, spent.cpu - start.cpu) * 1e9) / Number(calls),
    bytes: kept ? bytesOf(tool, place.folder) / kept : null,
    calls: Number(calls),
    kept: kept === null ? null : Math.min(kept, Number(calls)),
  };
}

export function compare(place: Place, command: readonly string[], rounds: number, turns: number): Row[] {
  const all = tools(command).map((tool) => ({
    tool,
    missing: tool.missing(place.arguments.length > 0),
    turns: [] as Turn[],
  }));
  for (let i = 0; i < turns; i++)
    for (const entry of all) {
      if (entry.missing !== null) continue;
      try {
        entry.turns.push(turn(entry.tool, place, Math.max(20, Math.round(rounds * entry.tool.share))));
      } catch (error) {
        entry.missing = (error as Error).message;
      }
    }
  return all.map(({ tool, missing, turns: done }) => {
    if (missing !== null) return { tool: tool.name, missing };
    const of = (pick: (t: Turn) => number): number => median(done.map(pick));
    const last = done[done.length - 1] as Turn;
    return {
      tool: tool.name,
      wall: of((t) => t.wall),
      cpu: of((t) => t.cpu),
      bytes: last.bytes,
      calls: last.calls,
      kept: last.kept,
    };
  });
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      device: { type: 'string' },
      rounds: { type: 'string', default: '20000' },
      turns: { type: 'string', default: '5' },
      command: { type: 'string', default: `${process.execPath} dist/cli.js` },
    },
  });
  const [out] = positionals;
  if (!out) throw new Error('side-by-side.ts OUT.json [--device BDF] [--rounds N] [--turns N]');
  const folder = mkdtempSync(join(tmpdir(), 'side-by-side-'));
  const standin: Record<string, string> = { LD_PRELOAD: `${process.cwd()}/test/interposer/build/standin.so` };
  const place: Place = {
    work: 'test/bench/build/work',
    arguments: values.device ? [values.device] : [],
    env: values.device ? {} : standin,
    folder,
  };
  try {
    const turns = Number(values.turns);
    const rows = compare(place, values.command.split(' '), Number(values.rounds), turns);
    const where = values.device ? 'a vfio-pci device in the lab' : 'a stand-in device';
    const result: SideBySide = { where, kernel: kernel(), processors: cpus().length, turns, rows };
    writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
