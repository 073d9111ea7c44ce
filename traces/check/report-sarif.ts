// A check's report as SARIF 2.1.0 (OASIS), which code hosts show. A trace has no lines: an event's number stands for one.

import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Level } from '../../schema/rule.ts';
import { rules } from '../../schema/rules.ts';
import type { CheckReport } from './check.ts';
import { eventsText, whoText } from './rule-words.ts';

const sarifLevel: Readonly<Record<Level, string>> = { MUST: 'error', SHOULD: 'warning', MAY: 'note', INFO: 'note' };

/** A relative reference may not begin with a slash (3.4.4), and a path may hold any character. */
const uri = (path: string): string =>
  isAbsolute(path) ? pathToFileURL(path).href : path.split('/').map(encodeURIComponent).join('/');

export function sarifReport(report: CheckReport): string {
  const used = new Set(report.findings.map((f) => f.rule));
  const listed = rules.filter((r) => used.has(r.id));
  const document = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'vfio-rr check',
            rules: listed.map((r) => ({
              id: r.id,
              shortDescription: { text: r.text },
              help: { text: `Source: ${r.source}` },
              defaultConfiguration: { level: sarifLevel[r.level] },
              properties: { level: r.level, who: whoText[r.who] },
            })),
          },
        },
        results: report.findings.map((f) => ({
          ruleId: f.rule,
          ruleIndex: listed.findIndex((r) => r.id === f.rule),
          level: sarifLevel[f.level],
          message: { text: `${f.subject}: ${f.text} (${f.place.call.trim()})` },
          locations: [
            {
              physicalLocation: {
                artifactLocation: { uri: uri(f.place.trace) },
                region: { startLine: f.place.event },
              },
              logicalLocations: [{ name: f.subject, kind: 'resource' }],
            },
          ],
          occurrenceCount: f.count,
          ...(f.waived === null ? {} : { suppressions: [{ kind: 'external', justification: f.waived }] }),
          properties: { who: whoText[f.who], before: f.shadow, events: eventsText(f), source: f.source },
        })),
        columnKind: 'utf16CodeUnits',
      },
    ],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
