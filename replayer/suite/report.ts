// A suite's outcome for people (lines), for test harnesses (TAP) and for GitHub (annotations).

import type { Expected } from './expectations.ts';
import type { Case } from './suite.ts';

const failed = (c: Case): boolean => c.outcome === 'failed' || c.outcome === 'broken';
const said = (e: Expected): string =>
  `${e.event === undefined ? '' : `#${e.event} `}${e.call}: ${e.field}${e.actual === undefined ? '' : ` is ${e.actual}`}`;

export function* reasons(c: Case): Generator<string> {
  if (c.problem) yield c.problem;
  for (const e of c.unexpected) yield `unexpected: ${said(e)}`;
  for (const e of c.absent) yield `expected, but not seen: ${said(e)}`;
}

const marks = { passed: 'ok', written: 'ok (expectations written)', failed: 'FAILED', broken: 'FAILED' } as const;

export function caseText(c: Case): string {
  const v = c.verdict;
  const counts = v ? `${v.compared} calls compared, ${v.divergent} divergences` : '';
  return [
    `${marks[c.outcome].padEnd(7)} ${c.trace}${counts ? `: ${counts}` : ''} (${c.seconds.toFixed(1)} s)`,
    ...[...reasons(c)].map((r) => `        ${r}`),
    '',
  ].join('\n');
}

export function summaryText(cases: readonly Case[]): string {
  const bad = cases.filter(failed).length;
  return `${cases.length - bad} passed, ${bad} failed, 0 skipped\n`;
}

/** A `#` would begin a directive (SKIP, TODO). */
const description = (s: string): string => s.replace(/[\\#]/g, '\\$&').replaceAll('\n', ' ');

/** Version 13: harnesses of today's distributions refuse what says 14. */
export function tap(cases: readonly Case[]): string {
  const lines = ['TAP version 13', `1..${cases.length}`];
  cases.forEach((c, i) => {
    lines.push(`${failed(c) ? 'not ok' : 'ok'} ${i + 1} - ${description(c.trace)}`);
    for (const r of reasons(c)) lines.push(`# ${r.replaceAll('\n', ' ')}`);
  });
  return `${lines.join('\n')}\n`;
}

const property = (s: string): string =>
  s.replace(/[%\r\n:,]/g, (ch) => `%${ch.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
const data = (s: string): string =>
  s.replace(/[%\r\n]/g, (ch) => `%${ch.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);

/** GitHub's workflow commands. */
export function annotations(cases: readonly Case[]): string {
  return cases
    .filter(failed)
    .map((c) => `::error file=${property(c.trace)},title=replay::${data([...reasons(c)].join('\n'))}\n`)
    .join('');
}
