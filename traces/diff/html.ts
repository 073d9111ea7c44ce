// The same report as one HTML file that needs nothing else.

import type { DiffReport } from './diff.ts';
import { differenceKinds } from './differences.ts';
import { describe } from './report.ts';
import type { Told } from './slice.ts';

const text = (s: string): string =>
  s.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);
const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
pre{background:#f4f4f4;padding:.6rem;overflow-x:auto}table{border-collapse:collapse;width:100%}td,th{border:1px solid #ccc;padding:.25rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
.a{color:#8a1c1c}.b{color:#1c5a1c}summary{font-weight:600;cursor:pointer}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#262626}td,th{border-color:#444}.a{color:#f99}.b{color:#9d9}}`;

export function htmlReport(r: DiffReport): string {
  const context = r.context
    .map((c) => `<tr><td>${text(c.what)}</td><td class="a">${text(c.a)}</td><td class="b">${text(c.b)}</td></tr>`)
    .join('');
  const side = (name: string, events: readonly Told[]): string =>
    events.length
      ? `<p>${name}</p><pre class="${name.toLowerCase()}">${events.map((e) => text(e.text)).join('\n')}</pre>`
      : '';
  const first = r.first
    ? `<h2>First difference: ${r.first.kind}</h2><p>${text(describe(r.first))}</p>${side('A', r.slice?.a ?? [])}${side('B', r.slice?.b ?? [])}`
    : '<h2>No differences</h2>';
  const groups = differenceKinds
    .map((kind) => {
      const list = r.differences.byKind.get(kind) ?? [];
      if (!list.length) return '';
      const rows = list
        .map(
          (d) =>
            `<tr><td>${d.a ?? ''}</td><td>${d.b ?? ''}</td><td>${text(d.call)}</td><td>${text(d.handle)}</td><td>${text(d.field ?? '')}</td><td class="a">${text(d.expected ?? '')}</td><td class="b">${text(d.actual ?? '')}</td></tr>`,
        )
        .join('');
      return `<details open><summary>${kind}: ${r.differences.counts.get(kind)}</summary><table><tr><th>A</th><th>B</th><th>call</th><th>on</th><th>field</th><th>A has</th><th>B has</th></tr>${rows}</table></details>`;
    })
    .join('');
  const masked = [...r.differences.masked].map(([m, n]) => `<li>${n} × ${text(m)}</li>`).join('');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>vfio-rr diff</title><style>${style}</style>
<h1>vfio-rr diff</h1><p>A <code>${text(r.a)}</code> (${r.events[0]} calls)<br>B <code>${text(r.b)}</code> (${r.events[1]} calls); ${r.paired} pairs compared${r.devices.map((d) => `<br>${text(d)}`).join('')}</p>
${first}${groups}${context ? `<h2>Around the recordings</h2><table>${context}</table>` : ''}${masked ? `<h2>Left out</h2><ul>${masked}</ul>` : ''}</html>
`;
}
