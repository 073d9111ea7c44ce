// The block that ends every recording: what was seen, what of it is understood, what is missing.

import { statSync } from 'node:fs';
import type { Outcome } from './session.ts';

const plural = (n: number, what: string): string => `${n} ${n === 1 ? what.replace(/s$/, '') : what}`;

export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let n = bytes;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${unit === 0 ? n : n.toFixed(1)} ${units[unit]}`;
}

export function summary(path: string, outcome: Outcome): string {
  const { calls, decoded, raw, unfinished, missed, lost } = outcome;
  const waited = outcome.waits > 0 ? `, ${(outcome.waitNs / 1e6).toFixed(1)} ms waited for the recorder` : '';
  const lines = [
    `${path}: ${plural(calls, 'calls')} recorded, ${size(statSync(path).size)}`,
    `  ${decoded} decoded, ${raw} raw, ${unfinished} never returned; missed ${missed}, lost ${lost}${waited}`,
    ...outcome.losses.map((l) => `  ${l.kind}: ${plural(l.count, l.what)}: ${l.detail}`),
  ];
  return lines.map((line) => `vfio-rr: ${line}\n`).join('');
}
