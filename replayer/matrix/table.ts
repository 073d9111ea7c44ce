// The matrix's answer: rows are the behaviours that differ from the recording or among kernels, columns the kernels.

import { type DiffReport, diffTraces } from '../../traces/diff/diff.ts';
import { type DifferenceKind, differenceKinds } from '../../traces/diff/differences.ts';
import type { Mask } from '../../traces/diff/masks.ts';
import type { CellResult } from './boot.ts';

export interface Row {
  readonly kind: DifferenceKind;
  readonly call: string;
  readonly on: string;
  readonly field: string | null;
  /** First event of the recording that shows it, and how many do. */
  readonly event: number | null;
  readonly times: number;
  readonly recorded: string | null;
  /** By kernel: what it did, null: as recorded. `event`: of that kernel's result trace. */
  readonly cells: Readonly<Record<string, { readonly value: string; readonly event: number | null } | null>>;
}

export interface Table {
  readonly trace: string;
  readonly kernels: readonly {
    readonly name: string;
    readonly release: string | null;
    readonly result: string | null;
    readonly problem: string | null;
  }[];
  readonly rows: readonly Row[];
}

type Building = { -readonly [K in keyof Row]: Row[K] } & { cells: Record<string, Row['cells'][string]> };

export function tableOf(trace: string, results: readonly CellResult[], masks: readonly Mask[]): Table {
  const rows = new Map<string, Building>();
  for (const r of results) {
    if (r.result) add(rows, r.cell.kernel, diffTraces({ a: trace, b: r.result, masks, learn: [], timing: false }));
  }
  const kernels = results.map((r) => ({
    name: r.cell.kernel,
    release: r.release,
    result: r.result,
    problem: r.problem,
  }));
  for (const row of rows.values()) for (const k of kernels) row.cells[k.name] ??= null;
  const order = [...rows.values()].sort(
    (x, y) => differenceKinds.indexOf(x.kind) - differenceKinds.indexOf(y.kind) || (x.event ?? 0) - (y.event ?? 0),
  );
  return { trace, kernels, rows: order };
}

function add(rows: Map<string, Building>, kernel: string, report: DiffReport): void {
  for (const list of report.differences.byKind.values()) {
    for (const d of list) {
      const key = [d.kind, d.call, d.handle, d.field, d.expected].join('\0');
      const row = rows.get(key) ?? {
        kind: d.kind,
        call: d.call,
        on: d.handle,
        field: d.field,
        event: d.a,
        times: 0,
        recorded: d.expected,
        cells: {},
      };
      rows.set(key, row);
      if (row.cells[kernel] === undefined) {
        row.cells[kernel] = { value: d.actual ?? (d.kind === 'missing' ? 'not made' : d.kind), event: d.b };
        row.times = Math.max(row.times, 1);
      } else row.times++;
    }
  }
}

export function tableText(t: Table): string {
  const out: string[] = [];
  for (const k of t.kernels) {
    out.push(`${k.name}${k.release ? ` (${k.release})` : ''}: ${k.problem ? `no result: ${k.problem}` : k.result}`);
  }
  const ran = t.kernels.filter((k) => k.result);
  if (t.rows.length === 0)
    return [...out, '', ran.length ? 'Every kernel that ran behaves as recorded.' : 'No kernel ran.', ''].join('\n');
  const head = ['behaviour', 'recorded', ...ran.map((k) => k.name)];
  const body = t.rows.map((r) => [
    `${r.call}${r.field ? ` ${r.field}` : ` (${r.kind})`}${r.event ? ` #${r.event}` : ''}`,
    r.recorded ?? '',
    ...ran.map((k) => {
      const cell = r.cells[k.name];
      return cell ? `${cell.value}${cell.event ? ` #${cell.event}` : ''}` : '=';
    }),
  ]);
  const widths = head.map((h, i) => Math.max(h.length, ...body.map((b) => (b[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((c, i) => c.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [
    ...out,
    '',
    line(head),
    line(widths.map((w) => '-'.repeat(w))),
    ...body.map(line),
    '',
    "#: the event, in the recording or in that kernel's result; =: as recorded",
    '',
  ].join('\n');
}
