// A diff as text for a terminal and as data for JSON. The first difference leads, with what led to it.

import type { DiffReport } from './diff.ts';
import { type Difference, differenceKinds } from './differences.ts';

const headings = {
  errno: 'Calls that failed differently',
  result: 'Calls with another result',
  state: 'Migration state',
  output: 'Answers that differ',
  input: 'Arguments that differ',
  missing: 'Calls that only A made',
  extra: 'Calls that only B made',
  order: 'Calls out of order',
  timing: 'Calls that take another time',
} as const;

const where = (d: Difference): string =>
  [d.a === null ? null : `A ${d.a}`, d.b === null ? null : `B ${d.b}`].filter(Boolean).join(', ');
const what = (d: Difference): string => (d.field === null ? '' : `  ${d.field}: ${d.expected} → ${d.actual}`);

export function describe(d: Difference): string {
  const on = d.handle && d.handle !== 'opens' ? ` on ${d.handle}` : '';
  return `${d.call}${on} (${where(d)})${what(d)}`;
}

export function textReport(r: DiffReport, limit = 20): string {
  const out: string[] = [
    `A ${r.a}: ${r.events[0]} calls`,
    `B ${r.b}: ${r.events[1]} calls; ${r.paired} pairs compared`,
  ];
  if (r.collapsed[0] || r.collapsed[1])
    out.push(`polling loops: ${r.collapsed[0]} repeated calls in A and ${r.collapsed[1]} in B counted once`);
  out.push(...r.devices);
  if (r.context.length) {
    out.push('', 'Around the recordings:');
    for (const c of r.context) out.push(`  ${c.what}: ${c.a} → ${c.b}`);
  }
  if (r.first) {
    out.push('', `First difference (${r.first.kind}): ${describe(r.first)}`);
    for (const [side, events] of [
      ['A', r.slice?.a ?? []],
      ['B', r.slice?.b ?? []],
    ] as const) {
      for (const e of events) out.push(`  ${side} ${e.text}`);
    }
  }
  for (const kind of differenceKinds) {
    const list = r.differences.byKind.get(kind) ?? [];
    const total = r.differences.counts.get(kind) ?? 0;
    if (total === 0) continue;
    out.push('', `${headings[kind]}: ${total}`);
    for (const d of list.slice(0, limit)) out.push(`  ${describe(d)}`);
    if (total > limit) out.push(`  … and ${total - limit} more (--json has up to 1000 of each)`);
  }
  if (r.differences.masked.size) {
    out.push('', 'Left out:');
    for (const [mask, n] of r.differences.masked) out.push(`  ${n} × ${mask}`);
  }
  const count = [...r.differences.counts].filter(([k]) => k !== 'timing').reduce((n, [, c]) => n + c, 0);
  out.push('', r.differences.same ? 'No differences.' : `${count} difference${count === 1 ? '' : 's'}.`, '');
  return out.join('\n');
}

export function jsonReport(r: DiffReport): unknown {
  return {
    a: r.a,
    b: r.b,
    events: r.events,
    paired: r.paired,
    collapsed: r.collapsed,
    same: r.differences.same,
    devices: r.devices,
    context: r.context,
    first: r.first ?? null,
    slice: { a: r.slice?.a.map((e) => e.id) ?? [], b: r.slice?.b.map((e) => e.id) ?? [] },
    counts: Object.fromEntries(r.differences.counts),
    differences: Object.fromEntries(r.differences.byKind),
    masked: Object.fromEntries(r.differences.masked),
    learned: r.learned,
  };
}
