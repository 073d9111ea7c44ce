// `show`: one line a call.

import { setTimeout } from 'node:timers/promises';
import { eventObject, jsonValue } from './format/json.ts';
import { eventLine } from './format/line.ts';
import type { Io } from './io.ts';
import { Names } from './names.ts';
import { Output } from './output.ts';
import { type EventRange, parseRange } from './range.ts';
import { openTrace, type Trace } from './trace.ts';

/** Between two looks at a trace that is being recorded, ms. */
const POLL = 200;

export interface ShowOptions {
  readonly path: string;
  readonly range: readonly (string | number)[];
  readonly json: boolean;
  readonly follow: boolean;
}

export async function show(options: ShowOptions, io: Io): Promise<void> {
  const range = parseRange(options.range);
  const trace = openTrace(options.path, { unfinished: options.follow });
  try {
    const output = new Output(io);
    if (!options.follow)
      for (const loss of trace.losses)
        io.err(`vfio-rr: not in this trace: ${loss.count} ${loss.what}${loss.detail ? ` (${loss.detail})` : ''}\n`);
    let last = 0;
    for (;;) {
      const ended = !options.follow || trace.finished; // asked before reading: what comes before the end is printed
      const rest = last === 0 ? range : { ...range, first: Math.max(range.first, last + 1), tail: null };
      last = Math.max(last, await print(trace, rest, options.json, output));
      if (ended) break;
      await setTimeout(POLL);
      trace.refresh();
    }
  } finally {
    trace.close();
  }
}

/** Returns the last event's id, 0 when there was none. */
async function print(trace: Trace, range: EventRange, json: boolean, output: Output): Promise<number> {
  let names: Names | undefined;
  let last = 0;
  for (const e of trace.events(range)) {
    names ??= new Names(trace);
    await output.line(json ? JSON.stringify(eventObject(e, names), jsonValue) : eventLine(e, names));
    last = e.id;
  }
  await output.flush();
  return last;
}
