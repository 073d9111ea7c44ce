// A verdict as text: the answer first, then the first divergence with all that is known of it, then what was left out.

import type { ExitCode } from '../schema/errors.ts';
import { exitCodes } from '../schema/errors.ts';
import { hint } from './hints.ts';
import type { Divergence, Explanation, Verdict } from './verdict.ts';

/** Divergences listed after the first. */
const LISTED = 20;

const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

export const exitOf = (v: Verdict): ExitCode => (v.divergent > 0 ? exitCodes.divergence : exitCodes.same);

function* first(d: Divergence, why: Explanation | null): Generator<string> {
  yield `First divergence, event ${d.event}:`;
  yield `  ${d.call}`;
  for (const { field, expected, actual } of d.differences) {
    yield `  ${field}: expected ${expected}, got ${actual}`;
    const mend = hint(d.name, actual);
    if (mend) yield `    ${mend}`;
  }
  for (const line of why?.state ?? []) yield `  ${line}`;
  for (const line of why?.inputs ?? []) yield `  ${line}`;
}

function* leftOut(v: Verdict): Generator<string> {
  for (const s of v.skipped) yield `  ${plural(s.count, 'call')} not made: ${s.why} (first: event ${s.first})`;
  if (v.consequences > 0)
    yield `  ${plural(v.consequences, 'call')} not made, because a divergence left out what they needed`;
  for (const m of v.masked)
    yield `  ${m.name} ${m.field}: ${plural(m.count, 'difference')} masked, ${m.why} (event ${m.first}: ${m.expected} then, ${m.actual} now)`;
}

export function* reportLines(v: Verdict): Generator<string> {
  const others = v.devices.filter((d) => d.recorded !== d.own).map((d) => `${d.recorded} as ${d.own}`);
  const head = v.divergent === 0 ? 'same' : plural(v.divergent, 'divergence');
  yield `${head}: ${plural(v.compared, 'call')} replayed on ${v.target}${others.length ? ` (${others.join(', ')})` : ''} in ${v.seconds.toFixed(2)} s`;
  if (v.followed > 0) yield `  ${plural(v.followed, 'call')} only renamed or passed on descriptors`;
  const [d, ...more] = v.divergences;
  if (d) {
    yield '';
    yield* first(d, v.explanation);
    if (more.length > 0) yield '';
    for (const o of more.slice(0, LISTED)) {
      const [f] = o.differences;
      yield `  event ${o.event} ${o.name}: ${f?.field}: expected ${f?.expected}, got ${f?.actual}`;
    }
    const rest = v.divergent - 1 - Math.min(LISTED, more.length);
    if (rest > 0) yield `  and ${plural(rest, 'more divergence', 'more divergences')}`;
  }
  const omitted = [...leftOut(v)];
  if (omitted.length > 0) {
    yield '';
    yield 'Left out:';
    yield* omitted;
  }
  if (v.stopped) yield `Ended ${v.stopped}.`;
}
