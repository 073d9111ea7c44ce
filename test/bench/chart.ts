// Horizontal bars on a logarithmic scale, as SVG that reads on light and dark pages.

import { escaped } from '../../traces/junit.ts';

interface Bar {
  readonly name: string;
  readonly value: number;
}

const WIDTH = 760;
const LEFT = 210;
const RIGHT = 90;
const ROW = 26;
const TOP = 44;

const short = (n: number): string => n.toLocaleString('en', { maximumSignificantDigits: 3 });

export function chart(title: string, bars: readonly Bar[]): string {
  const least = Math.floor(Math.log10(Math.min(...bars.map((b) => b.value))));
  const most = Math.ceil(Math.log10(Math.max(...bars.map((b) => b.value))));
  const x = (value: number): number => LEFT + ((Math.log10(value) - least) / (most - least)) * (WIDTH - LEFT - RIGHT);
  const height = TOP + bars.length * ROW + 12;
  const grid = Array.from({ length: most - least + 1 }, (_, i) => 10 ** (least + i)).map(
    (v) =>
      `<line x1="${x(v)}" y1="${TOP - 8}" x2="${x(v)}" y2="${height - 8}" stroke="#8886" /><text x="${x(v)}" y="${TOP - 12}" text-anchor="middle" font-size="11">${short(v)}</text>`,
  );
  const rows = bars.map((b, i) => {
    const y = TOP + i * ROW;
    const fill = b.name.startsWith('vfio-rr') ? '#2a7de1' : '#8a8f98';
    return `<text x="${LEFT - 8}" y="${y + 15}" text-anchor="end">${escaped(b.name)}</text><rect x="${LEFT}" y="${y + 3}" width="${(x(b.value) - LEFT).toFixed(1)}" height="${ROW - 9}" fill="${fill}" /><text x="${(x(b.value) + 6).toFixed(1)}" y="${y + 15}">${short(b.value)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13" fill="#808890">
<title>${escaped(title)}</title>
<text x="8" y="18" font-weight="bold">${escaped(title)} (logarithmic)</text>
${[...grid, ...rows].join('\n')}
</svg>
`;
}
