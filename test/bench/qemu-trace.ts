// QEMU's own trace events against recording, over one run of a guest that reads a vfio-pci device's register: in the lab.
//   qemu-trace.ts OUT.json BDF [--turns N] [--command 'vfio-rr']

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Database from 'better-sqlite3';
import { median } from './cost.ts';
import { kernel, spend } from './tools.ts';

export interface QemuRow {
  readonly tool: string;
  readonly missing?: string;
  /** Seconds of starting the tool alone. */
  readonly start?: number;
  /** Seconds of the run, without that. */
  readonly wall?: number;
  readonly cpu?: number;
  readonly events?: number | null;
  readonly bytes?: number;
}
export interface QemuTrace {
  readonly kernel: string;
  readonly turns: number;
  readonly rows: readonly QemuRow[];
}

interface Way {
  readonly tool: string;
  readonly wrap: (argv: readonly string[], out: string) => readonly string[];
  readonly events: (out: string) => number | null;
}

/** guest.S reads a register of the device; resetting the machine is its end. */
const machine = (bdf: string): string[] => [
  ...['qemu-system-x86_64', '-M', 'q35,accel=tcg', '-m', '64', '-display', 'none', '-nic', 'none', '-monitor', 'none'],
  ...['-serial', 'null', '-device', `vfio-pci,host=${bdf},x-no-mmap=on`, '-no-reboot'],
  ...['-kernel', 'test/bench/build/guest.elf'],
];

const lines = (path: string): number => readFileSync(path, 'utf8').split('\n').length - 1;

function calls(path: string): number {
  const db = new Database(path, { readonly: true });
  try {
    return (db.prepare('SELECT count(*) AS n FROM call').get() as { n: number }).n;
  } finally {
    db.close();
  }
}

const ways = (command: readonly string[]): readonly Way[] => [
  { tool: 'nothing', wrap: (argv) => argv, events: () => null },
  {
    tool: 'vfio-rr',
    wrap: (argv, out) => [...command, 'record', '--force', '-o', out, '--', ...argv],
    events: calls,
  },
  {
    tool: "QEMU -trace 'vfio*', log",
    wrap: (argv, out) => [...argv, '-trace', 'vfio*', '-D', out],
    events: lines,
  },
];

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      turns: { type: 'string', default: '3' },
      command: { type: 'string', default: `${process.execPath} dist/cli.js` },
    },
  });
  const [out, bdf] = positionals;
  if (!out || !bdf) throw new Error('qemu-trace.ts OUT.json BDF [--turns N]');
  const folder = mkdtempSync(join(tmpdir(), 'qemu-trace-'));
  const kept = join(folder, 'out');
  const turns = Number(values.turns);
  try {
    const all = ways(values.command.split(' ')).map((way) => ({
      way,
      start: [] as number[],
      wall: [] as number[],
      cpu: [] as number[],
    }));
    const found = new Map<string, { events: number | null; bytes: number }>();
    for (let i = 0; i < turns; i++)
      for (const { way, start, wall, cpu } of all) {
        rmSync(kept, { force: true });
        const alone = spend(way.wrap(['true'], kept), {});
        rmSync(kept, { force: true });
        const spent = spend(way.wrap(machine(bdf), kept), {});
        start.push(alone.wall);
        wall.push(spent.wall - alone.wall);
        cpu.push(spent.cpu - alone.cpu);
        const bytes = existsSync(kept) ? statSync(kept).size : 0;
        found.set(way.tool, { events: way.events(kept), bytes });
      }
    const rows = all.map(({ way, start, wall, cpu }) => ({
      tool: way.tool,
      start: median(start),
      wall: median(wall),
      cpu: median(cpu),
      ...found.get(way.tool),
    }));
    const simple: QemuRow = { tool: "QEMU -trace 'vfio*', simple", missing: "Debian's QEMU is built without it" };
    const result: QemuTrace = { kernel: kernel(), turns, rows: [...rows, simple] };
    writeFileSync(out, `${JSON.stringify(result, null, 1)}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
