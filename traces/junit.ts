// JUnit's XML, as CI systems read it. Shared by every command that reports to them.

export interface Case {
  readonly name: string;
  /** Groups cases: a rule's protocol, a trace's folder. */
  readonly group: string;
  readonly seconds?: number;
  readonly result:
    | { readonly kind: 'passed' }
    | { readonly kind: 'skipped'; readonly why: string }
    | { readonly kind: 'failed'; readonly message: string; readonly detail: string };
}
export interface Suite {
  readonly name: string;
  readonly cases: readonly Case[];
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};
/** Control characters that XML 1.0 cannot hold become U+FFFD. */
export const escaped = (s: string): string =>
  s.replace(/[^\P{Cc}\t\n\r]/gu, '\ufffd').replace(/[&<>"']/g, (c) => entities[c] as string);
const time = (s: number | undefined): string => (s === undefined ? '' : ` time="${s.toFixed(3)}"`);

function caseXml(c: Case): string {
  const head = `    <testcase classname="${escaped(c.group)}" name="${escaped(c.name)}"${time(c.seconds)}`;
  switch (c.result.kind) {
    case 'passed':
      return `${head}/>`;
    case 'skipped':
      return `${head}>\n      <skipped message="${escaped(c.result.why)}"/>\n    </testcase>`;
    case 'failed':
      return `${head}>\n      <failure message="${escaped(c.result.message)}">${escaped(c.result.detail)}</failure>\n    </testcase>`;
    default:
      return c.result satisfies never;
  }
}

export function junit(suites: readonly Suite[]): string {
  const count = (s: Suite, kind: Case['result']['kind']): number =>
    s.cases.filter((c) => c.result.kind === kind).length;
  const body = suites.map((s) => {
    const total = s.cases.reduce((n, c) => n + (c.seconds ?? 0), 0);
    const head = `  <testsuite name="${escaped(s.name)}" tests="${s.cases.length}" failures="${count(s, 'failed')}" errors="0" skipped="${count(s, 'skipped')}" time="${total.toFixed(3)}">`;
    return [head, ...s.cases.map(caseXml), '  </testsuite>'].join('\n');
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${body.join('\n')}\n</testsuites>\n`;
}
