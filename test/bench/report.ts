// Measures vfio-rr beside the tools it is compared with, and how its cost grows, and writes both into
// docs/performance.md and docs/performance.svg.   npm run bench:report [-- PART …] [-- --most EVENTS]
// Parts: bars, dispatch, standin, lab (boots the lab kernel), qemu (in the lab too), scale. Without any: all. What was measured
// stays in test/bench/build/results, so that one part can be measured anew; the part `again` measures nothing.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from '../vm/bundle.ts';
import type { Bar } from './bars.ts';
import type { Profiled } from './bars-profiled.ts';
import { chart } from './chart.ts';
import { prepare } from './cost.ts';
import type { QemuTrace } from './qemu-trace.ts';
import type { Scale } from './scale.ts';
import type { Row, SideBySide } from './side-by-side.ts';

const root = join(import.meta.dirname, '../..');
const results = join(root, 'test/bench/build/results');
const EDU = '0000:00:04.0';

function run(command: string, args: readonly string[], minutes: number): void {
  const r = spawnSync(command, args, { cwd: root, stdio: 'inherit', timeout: minutes * 60_000 });
  if (r.status !== 0) throw new Error(`${command} ${args.slice(0, 4).join(' ')} … ended with ${r.status ?? r.signal}`);
}

const script = (name: string, ...args: string[]): void =>
  run(process.execPath, ['--import', 'tsx', `test/bench/${name}.ts`, ...args], 90);

/** One of the scripts on the edu device of the lab; its result comes out by the shared folder. */
function inLab(name: string, out: string, ...args: string[]): void {
  const command = `node ${bundle('cli.ts', 'vfio-rr')}`;
  const job = `test/vm/bind.sh ${EDU} >/dev/null && exec "$@"`;
  const work = ['node', bundle(`test/bench/${name}.ts`, name), `/mnt/out/${out}`, ...args, '--command', command];
  const boot = ['-o', results, '-t', '1500', 'sh', '-c', job, 'sh', ...work];
  run(join(root, 'test/vm/boot.sh'), boot, 30);
}

/** Ways to catch a system call that is not made in libc: what each takes, and what it costs libc's own. */
function dispatch(): void {
  const program = join(results, 'dispatch');
  run('gcc', ['-O2', '-Wall', '-o', program, join(root, 'test/bench/dispatch.c')], 1);
  const said = execFileSync(program, { encoding: 'utf8', timeout: 120_000 });
  const rows = [...said.matchAll(/^(.*?) {2,}(\d+) ns +([\d.]+) x$/gm)].map(([, ...cells]) => cells);
  writeFileSync(join(results, 'dispatch.json'), JSON.stringify(rows));
}

const parts: Readonly<Record<string, (most: string) => void>> = {
  bars: () => script('bars-profiled', join(results, 'bars.json')),
  dispatch,
  standin: () => script('side-by-side', join(results, 'standin.json')),
  lab: () => inLab('side-by-side', 'lab.json', '--device', EDU, '--rounds', '8000', '--turns', '3'),
  qemu: () => inLab('qemu-trace', 'qemu.json', EDU),
  again: () => {},
  scale: (most) => script('scale', join(results, 'scale.json'), '--most', most),
};

function read<T>(name: string): T | null {
  const path = join(results, `${name}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : null;
}

// ---- as Markdown ----

const number = (n: number): string => n.toLocaleString('en', { maximumSignificantDigits: 3, useGrouping: true });
const times = (n: number | undefined, of: number | undefined): string =>
  n === undefined || !of ? '–' : `${number(n / of)} ×`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((r) => `| ${r.join(' | ')} |`).join('\n');

function keptOf(r: Row): string {
  if (r.kept === null || r.kept === undefined) return '–';
  return r.kept === r.calls ? 'all' : `${number(r.kept)} of ${number(r.calls ?? 0)}`;
}

const fixed = (n: number | null): string => (n === null ? 'not measured' : n.toFixed(2));
const verdict = (b: Bar): string => (b.holds === null ? '–' : b.holds ? 'yes' : 'no');

function barred(result: Profiled): string {
  const reached = table(
    ['bar', 'measured', 'to reach', 'reached'],
    result.bars.map((b) => [b.bar, fixed(b.ratio), b.reach, verdict(b)]),
  );
  const functions = result.instructions.map(([sort, by]) => [
    sort,
    String(Math.round(by.reduce((sum, [, n]) => sum + n, 0))),
    by.map(([name, n]) => `${name} ${Math.round(n)}`).join(', '),
  ]);
  const instructions = table(['call', 'instructions', 'in'], functions);
  const payload = result.payload
    ? table(
        ['payloads of 64 KiB stored', '% of the time'],
        result.payload.map(([place, percent]) => [place, percent.toFixed(0)]),
      )
    : 'There is no perf here to tell where storing payloads spends its time.';
  const { kernel, processor, syscall } = result;
  return [
    `${processor}, kernel ${kernel}; a bare system call (FIONREAD) takes ${Math.round(syscall)} ns.`,
    reached,
    "The interposer's own instructions for one recorded call, by valgrind:",
    instructions,
    payload,
  ].join('\n\n');
}

function dispatched(rows: readonly (readonly string[])[]): string {
  return table(
    ['getppid()', 'ns', ''],
    rows.map(([way = '', ns = '', ratio = '']) => [way, ns, `${ratio} ×`]),
  );
}

function besides(result: SideBySide): string {
  const plain = result.rows.find((r) => r.tool === 'nothing');
  const rows = result.rows.map((r) =>
    r.missing !== undefined
      ? [r.tool, r.missing.split('\n')[0]?.slice(0, 80) ?? '', '', '', '', '']
      : [
          ...[r.tool, number(r.wall ?? 0), times(r.wall, plain?.wall), times(r.cpu, plain?.cpu)],
          ...[r.bytes ? number(r.bytes) : '–', keptOf(r)],
        ],
  );
  const head = ['tool', 'ns a call', 'clock', 'CPU, tool included', 'bytes an event', 'calls kept'];
  return `On ${result.where}, kernel ${result.kernel}, ${result.processors} processor(s); medians of ${result.turns} turns.\n\n${table(head, rows)}`;
}

function qemu(result: QemuTrace): string {
  const plain = result.rows[0];
  const rows = result.rows.map((r) =>
    r.missing !== undefined
      ? [r.tool, r.missing, '', '', '', '', '']
      : [
          ...[
            r.tool,
            `${number(r.start ?? 0)} s`,
            `${number(r.wall ?? 0)} s`,
            times(r.wall, plain?.wall),
            times(r.cpu, plain?.cpu),
          ],
          ...[r.events ? number(r.events) : '–', r.events ? number((r.bytes ?? 0) / r.events) : '–'],
        ],
  );
  const head = ['tool', 'its start', 'the run without', 'clock', 'CPU, tool included', 'events', 'bytes an event'];
  return `A QEMU guest that reads a register of a vfio-pci device 20 000 times, in the lab; medians of ${result.turns} turns.\n\n${table(head, rows)}`;
}

function scale(result: Scale): string {
  const cell = (s: { wall: number; memory: number }): string => `${number(s.wall)} s, ${number(s.memory)} MiB`;
  const sizes = result.sizes.map((s) => [
    ...[number(s.events), number(s.bytes / s.events)],
    ...[s.steps.record, s.steps.info, s.steps.summary, s.steps.query, s.steps.show].map(cell),
  ]);
  const parallel = result.parallel.map((p) => [
    ...[String(p.threads), String(p.processes), number(p.plain), number(p.recorded)],
    times(p.recorded, p.plain),
  ]);
  const head = [
    ...['events', 'bytes an event', 'record', '`info`', 'count and sum of all'],
    ...['100 000 events by register', '`show` of 1 000'],
  ];
  return `Clock and largest resident set of each command; the program makes its calls as fast as it can.\n\n${table(head, sizes)}\n\nProcessor time of a recorded call in the program while the recorder drains, by how many call at once:\n\n${table(['threads', 'processes', 'ns unrecorded', 'ns recorded', ''], parallel)}`;
}

/** Puts text between `<!-- NAME -->` and `<!-- end of NAME -->`. */
function place(page: string, name: string, text: string): string {
  const [from, to] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const start = page.indexOf(from);
  const end = page.indexOf(to);
  if (start < 0 || end < start) throw new Error(`docs/performance.md has no ${from} … ${to}`);
  return `${page.slice(0, start + from.length)}\n${text}\n${page.slice(end)}`;
}

function write(): void {
  const path = join(root, 'docs/performance.md');
  let page = readFileSync(path, 'utf8');
  const [standin, lab] = [read<SideBySide>('standin'), read<SideBySide>('lab')];
  const [traced, grown] = [read<QemuTrace>('qemu'), read<Scale>('scale')];
  const bars = read<Profiled>('bars');
  if (bars) page = place(page, 'bars', barred(bars));
  const caught = read<string[][]>('dispatch');
  if (caught) page = place(page, 'dispatch', dispatched(caught));
  if (standin) page = place(page, 'standin', besides(standin));
  if (lab) page = place(page, 'lab', besides(lab));
  if (traced) page = place(page, 'qemu', qemu(traced));
  if (grown) page = place(page, 'scale', scale(grown));
  writeFileSync(path, page);
  const shown = standin?.rows.filter((r) => r.wall !== undefined) ?? [];
  if (shown.length > 0)
    writeFileSync(
      join(root, 'docs/performance.svg'),
      chart(
        'ns a call on a stand-in device',
        shown.map((r) => ({ name: r.tool, value: r.wall ?? 0 })),
      ),
    );
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { most: { type: 'string', default: '10000000' } },
});
mkdirSync(results, { recursive: true });
prepare();
for (const part of positionals.length > 0 ? positionals : Object.keys(parts)) {
  const measure = parts[part];
  if (!measure) throw new Error(`no part ${part}; there are ${Object.keys(parts).join(', ')}`);
  measure(values.most);
}
write();
