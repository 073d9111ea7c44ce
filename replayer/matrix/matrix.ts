// One trace on several kernels.

import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TraceError } from '../../schema/errors.ts';
import type { Mask } from '../../traces/diff/masks.ts';
import { openTrace } from '../../traces/trace.ts';
import { type CellResult, RESULT, runCell } from './boot.ts';
import { type Cell, cellsOf } from './cells.ts';
import { type Table, tableOf } from './table.ts';

export interface MatrixOptions {
  readonly trace: string;
  readonly kernels: readonly string[];
  /** QEMU -device arguments, instead of those found by the trace's PCI ids. */
  readonly devices: readonly string[];
  readonly masks: readonly Mask[];
  /** Only this cell. */
  readonly cell: number | null;
  /** Where the result traces go; a new directory when null. */
  readonly out: string | null;
  /** Cells that run at once. */
  readonly jobs: number;
  /** Seconds for each. */
  readonly limit: number;
  /** Overwrite results that are there. */
  readonly force: boolean;
  readonly onCell: (result: CellResult) => void;
}

export function listCells(options: Pick<MatrixOptions, 'trace' | 'kernels' | 'devices'>): Cell[] {
  const trace = openTrace(options.trace);
  try {
    return cellsOf(trace, options.kernels, options.devices);
  } finally {
    trace.close();
  }
}

export async function runMatrix(options: MatrixOptions): Promise<Table> {
  const all = listCells(options);
  const cells = options.cell === null ? all : all.filter((c) => c.index === options.cell);
  if (cells.length === 0) throw new TraceError('USAGE', `there is no cell ${options.cell}; --list shows them`);
  const out = options.out ?? mkdtempSync(join(tmpdir(), 'vfio-rr-matrix-'));
  const folder = (cell: Cell): string => join(out, String(cell.index));
  for (const result of cells.map((c) => join(folder(c), RESULT)))
    if (!options.force && existsSync(result)) throw new TraceError('USAGE', `${result} exists; --force overwrites it`);
  const results: CellResult[] = [];
  const queue = [...cells];
  const worker = async (): Promise<void> => {
    for (let cell = queue.shift(); cell; cell = queue.shift()) {
      const result = await runCell(cell, options.trace, folder(cell), options.limit);
      results.push(result);
      options.onCell(result);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, options.jobs) }, worker));
  results.sort((x, y) => x.cell.index - y.cell.index);
  return tableOf(options.trace, results, options.masks);
}
