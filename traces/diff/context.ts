// What was different around the two recordings: kernel, driver, device, program.

import { REPLAY_NOTES } from '../replay-notes.ts';
import type { Trace } from '../trace.ts';

export interface ContextDifference {
  readonly what: string;
  readonly a: string;
  readonly b: string;
}

/** Of the moment or of the file, not of the host or the program. */
const incidental =
  /^(created|started|ended|finished|ring|state|unfinished|waits|wait_ns|late|duration|events|start|end|output|pid|exit|decoded|raw|missed|lost|calls|clock.*|time.*)$/i;

function flatten(value: unknown, path: string, out: Map<string, string>, depth = 0): void {
  if (depth > 6) return;
  if (value !== null && typeof value === 'object' && !Buffer.isBuffer(value)) {
    for (const [k, v] of Object.entries(value)) flatten(v, path ? `${path}.${k}` : k, out, depth + 1);
  } else out.set(path, Buffer.isBuffer(value) ? value.toString('hex') : String(value));
}

/** A replay's own, not what was around it. */
const verdicts: ReadonlySet<string> = new Set(['replay', REPLAY_NOTES]);

export function contextDifferences(a: Trace, b: Trace): ContextDifference[] {
  const read = (t: Trace): Map<string, string> => {
    const out = new Map<string, string>();
    for (const [k, v] of t.meta) if (!incidental.test(k)) out.set(k, String(v));
    for (const key of t.contextKeys()) if (!verdicts.has(key)) flatten(t.context(key), key, out);
    return out;
  };
  const [left, right] = [read(a), read(b)];
  return [...new Set([...left.keys(), ...right.keys()])].sort().flatMap((what) => {
    const [x, y] = [left.get(what) ?? '(none)', right.get(what) ?? '(none)'];
    return x === y ? [] : [{ what, a: x, b: y }];
  });
}
