// `show`: one line a call.

import { setTimeout } from 'node:timers/promises';
import type { Mark } from './entities.ts';
import { eventObject, jsonValue } from './format/json.ts';
import { eventLine } from './format/line.ts';
import { printable, seconds } from './format/scalar.ts';
import type { Io } from './io.ts';
import { Names } from './names.ts';
import { Output } from './output.ts';
import { type EventRange, everything, parseRange } from './range.ts';
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
    const marks = new Marks(trace, range, options.json);
    let last = 0;
    for (;;) {
      const ended = !options.follow || trace.finished; // asked before reading: what comes before the end is printed
      const rest = last === 0 ? range : { ...range, first: Math.max(range.first, last + 1), tail: null };
      last = Math.max(last, await print(trace, rest, options.json, output, marks));
      if (ended) break;
      await setTimeout(POLL);
      trace.refresh();
      marks.refresh();
    }
    if (range.last === everything.last)
      for (const line of marks.until(Number.POSITIVE_INFINITY)) await output.line(line);
    await output.flush();
  } finally {
    trace.close();
  }
}

/** Marks among the events, each before the first that returned after it. */
class Marks {
  readonly #trace: Trace;
  #marks: readonly Mark[] = [];
  readonly #json: boolean;
  #shown: number;
  /** Begins in the middle: what lies before its first event is no part of it. */
  #cut: boolean;

  constructor(trace: Trace, range: EventRange, json: boolean) {
    this.#trace = trace;
    this.#json = json;
    this.#cut = range.first > 1 || range.tail !== null;
    this.#shown = 0;
    this.refresh();
  }

  refresh(): void {
    this.#marks = this.#trace.marks;
  }

  /** Lines of those before an event that began at `begun` and ended at `t`. */
  until(t: number, begun = t): string[] {
    const marks = this.#marks;
    if (this.#cut) this.#shown = marks.filter((m) => m.t < begun).length;
    this.#cut = false;
    const lines: string[] = [];
    for (; (marks[this.#shown]?.t ?? Number.POSITIVE_INFINITY) < t; this.#shown++) {
      const mark = marks[this.#shown];
      if (!mark) break;
      lines.push(
        this.#json
          ? JSON.stringify({ mark: mark.text, seconds: mark.t / 1e9 })
          : `${' '.repeat(6)} ${seconds(mark.t)} --- ${printable(mark.text)} ---`,
      );
    }
    return lines;
  }
}

/** Returns the last event's id, 0 when there was none. */
async function print(trace: Trace, range: EventRange, json: boolean, output: Output, marks: Marks): Promise<number> {
  let names: Names | undefined;
  let last = 0;
  for (const e of trace.events(range)) {
    names ??= new Names(trace);
    for (const line of marks.until(e.t + (e.dur ?? 0), e.t)) await output.line(line);
    await output.line(json ? JSON.stringify(eventObject(e, names), jsonValue) : eventLine(e, names));
    last = e.id;
  }
  await output.flush();
  return last;
}
