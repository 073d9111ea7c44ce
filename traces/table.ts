// Rows as a table for people and as CSV (RFC 4180) for programs.

import { printable } from './format/scalar.ts';

export type Cell = string | number | bigint | Uint8Array | null;
const WIDEST = 60;

function cellText(cell: Cell): string {
  if (cell === null) return '';
  if (typeof cell === 'string') return printable(cell);
  if (cell instanceof Uint8Array) {
    const hex = Buffer.from(cell.subarray(0, 24)).toString('hex');
    return `x'${hex}${cell.length > 24 ? `…' (${cell.length} bytes)` : "'"}`;
  }
  return typeof cell === 'number' && !Number.isInteger(cell) ? String(Number(cell.toPrecision(12))) : String(cell);
}

/** Widths from the first rows; what is wider later pushes its own row only. */
export class Table {
  readonly #columns: readonly string[];
  readonly #widths: number[];
  readonly #right: boolean[];

  constructor(columns: readonly string[], sample: readonly (readonly Cell[])[]) {
    this.#columns = columns;
    this.#widths = columns.map((name, i) =>
      Math.min(WIDEST, Math.max(name.length, ...sample.map((row) => cellText(row[i] ?? null).length))),
    );
    this.#right = columns.map(
      (_, i) =>
        sample.length > 0 &&
        sample.every((row) => typeof row[i] === 'number' || typeof row[i] === 'bigint' || row[i] === null),
    );
  }

  head(): string {
    return this.#line(this.#columns);
  }

  row(cells: readonly Cell[]): string {
    return this.#line(cells.map(cellText));
  }

  #line(texts: readonly string[]): string {
    const padded = texts.map((t, i) =>
      this.#right[i] ? t.padStart(this.#widths[i] ?? 0) : t.padEnd(this.#widths[i] ?? 0),
    );
    return padded.join('  ').trimEnd();
  }
}

/** A whole table at once. */
export function tableText(columns: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const table = new Table(columns, rows);
  return [table.head(), ...rows.map((r) => table.row(r))].map((l) => `${l}\n`).join('');
}

export function csvLine(cells: readonly Cell[]): string {
  return cells
    .map((c) => {
      const text = c === null ? '' : c instanceof Uint8Array ? Buffer.from(c).toString('hex') : String(c);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    })
    .join(',');
}
