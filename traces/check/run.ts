// `vfio-rr check`: opens the traces, judges them, prints the report and gives the verdict.

import { exitCodes, TraceError } from '../../schema/errors.ts';
import { atLeast, type Level } from '../../schema/rule.ts';
import { rules } from '../../schema/rules.ts';
import { type Precedence, precedences } from '../../schema/states-v1.ts';
import type { Io } from '../io.ts';
import { openTrace, type Trace } from '../trace.ts';
import { type CheckReport, check } from './check.ts';
import { junitReport } from './report-junit.ts';
import { sarifReport } from './report-sarif.ts';
import { textReport } from './report-text.ts';
import { open, whoText } from './rule-words.ts';
import { subjectOf } from './subject.ts';
import { readWaivers } from './waivers.ts';

export interface CheckArguments {
  readonly traces: readonly string[];
  readonly format: 'text' | 'json' | 'sarif' | 'junit';
  /** Findings of this level and above fail. */
  readonly level: Level;
  readonly waivers: string | undefined;
  readonly precedence: string | undefined;
}

function precedenceOf(named: string | undefined, traces: readonly Trace[]): Precedence | null {
  const text =
    named ?? traces.map((t) => t.meta.get('precedence')).find((p) => typeof p === 'string' && p in precedences);
  if (text === undefined) return null;
  if (!(String(text) in precedences))
    throw new TraceError('USAGE', `--precedence ${text}: known orders are ${Object.keys(precedences).join(', ')}`);
  return text as Precedence;
}

export function render(report: CheckReport, format: CheckArguments['format'], level: Level): string {
  switch (format) {
    case 'text':
      return textReport(report);
    case 'json':
      return `${JSON.stringify(report, null, 2)}\n`;
    case 'sarif':
      return sarifReport(report);
    case 'junit':
      return junitReport(report, level);
    default:
      return format satisfies never;
  }
}

const PROGRESS_MS = 1000;

export function runCheck(args: CheckArguments, io: Io): void {
  const waivers = args.waivers === undefined ? [] : readWaivers(args.waivers);
  const traces: Trace[] = [];
  try {
    for (const path of args.traces) traces.push(openTrace(path));
    const total = traces.reduce((n, t) => n + t.count(), 0);
    let shown = Date.now();
    const progress = (events: number): void => {
      if (!io.terminal || Date.now() - shown < PROGRESS_MS) return;
      shown = Date.now();
      io.err(`\r${events} of ${total} events`);
    };
    const report = check(traces.map(subjectOf), {
      waivers,
      progress,
      precedence: precedenceOf(args.precedence, traces),
    });
    if (io.terminal && total > 0) io.err('\r\x1b[K');
    for (const t of report.traces) if (t.calls === 0) io.err(`vfio-rr: ${t.name} has no calls: nothing was judged\n`);
    io.out(render(report, args.format, args.level));
    const failed = open(report).some((f) => atLeast(f.level, args.level));
    io.exit(failed ? exitCodes.divergence : exitCodes.same);
  } finally {
    for (const t of traces) t.close();
  }
}

/** The rules themselves. */
export function listRules(json: boolean, io: Io): void {
  if (json) io.out(`${JSON.stringify(rules, null, 2)}\n`);
  else
    for (const r of rules)
      io.out(
        `${r.id.padEnd(4)}${r.level.padEnd(7)}${whoText[r.who].padEnd(8)} ${r.text}\n${' '.repeat(20)}${r.source}${r.limit ? `\n${' '.repeat(20)}limit: ${r.limit}` : ''}\n`,
      );
}
