// A check's report for people.

import { levels } from '../../schema/rule.ts';
import type { CheckReport } from './check.ts';
import type { Finding } from './judge.ts';
import { eventsText, ofOutcome, open, waived, whoText } from './rule-words.ts';

const plural = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function findingText(f: Finding, several: boolean): string {
  const where = several ? ` of ${f.place.trace}` : '';
  const lines = [
    `${f.level.padEnd(6)} ${f.rule.padEnd(3)} ${whoText[f.who].padEnd(7)} ${f.subject}: ${f.text}`,
    `       rule:   ${f.source}`,
    `       event${where}: ${f.place.call.trim()}`,
  ];
  if (f.shadow) lines.push(`       before: ${f.shadow}`);
  if (f.count > 1) lines.push(`       ${f.count} times: events ${eventsText(f)}`);
  if (f.waived !== null) lines.push(`       waived: ${f.waived}`);
  return lines.join('\n');
}

export function textReport(report: CheckReport): string {
  const several = report.traces.length > 1;
  const parts: string[] = [];
  for (const t of report.traces) {
    const devices = t.devices.length > 0 ? `: ${t.devices.join(', ')}` : ', no device opened';
    parts.push(`${t.name}: ${plural(t.calls, 'call')}${devices}`);
    if (t.lost > 0)
      parts.push(`  incomplete: ${plural(t.lost, 'call')} lost in recording; findings may be missing or mistaken`);
  }
  for (const f of open(report)) parts.push('', findingText(f, several));
  for (const f of waived(report)) parts.push('', findingText(f, several));
  parts.push('');
  const held = ofOutcome(report, 'held');
  if (held.length > 0) parts.push(`Held: ${held.map((r) => `${r.rule} (${r.held})`).join(', ')}`);
  const undecided = report.rules.filter((r) => r.undecidable.length > 0);
  for (const r of undecided) parts.push(`Not decidable here: ${r.rule}: ${r.undecidable.join('; ')}`);
  const idle = ofOutcome(report, 'not exercised');
  if (idle.length > 0) parts.push(`Not exercised: ${idle.map((r) => r.rule).join(', ')}`);
  for (const w of report.unusedWaivers) parts.push(`Waiver of ${w.rule} (${w.reason}) covers nothing`);
  if (report.dropped > 0)
    parts.push(`${plural(report.dropped, 'further finding')} of rules with over 50 of them left out`);
  const counts = levels.map((l) => `${open(report).filter((f) => f.level === l).length} ${l}`).join(', ');
  parts.push(`${counts}; ${waived(report).length} waived`);
  return `${parts.join('\n')}\n`;
}
