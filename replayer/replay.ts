// A trace run against a target: each recorded call is made again in its order and compared with what it answered then.

import { request } from '../schema/call.ts';
import { featureOf } from '../schema/decode.ts';
import { vfio_region_info } from '../schema/device.ts';
import { fieldOf } from '../schema/layout.ts';
import { calls } from '../schema/surface.ts';
import { callName, Masks } from '../traces/diff/masks.ts';
import type { TraceEvent } from '../traces/event.ts';
import { callText } from '../traces/format/line.ts';
import { Names as Words } from '../traces/names.ts';
import { type EventRange, everything } from '../traces/range.ts';
import type { ReplayNotes } from '../traces/replay-notes.ts';
import type { Trace } from '../traces/trace.ts';
import { placeOf } from './access.ts';
import { explain } from './explain.ts';
import { frameSize } from './frames.ts';
import { type Circumstances, Ids, type Matching, match } from './match.ts';
import { Pieces } from './memory.ts';
import { schedule } from './order.ts';
import { ConfigSpaces } from './placed.ts';
import type { Places } from './places.ts';
import { Planner } from './plan.ts';
import type { PlanOptions } from './planned.ts';
import type { Reply, Request, Target } from './target.ts';
import { Finding, type Verdict } from './verdict.ts';

export interface ReplayOptions {
  readonly trace: Trace;
  readonly target: Target;
  readonly places: Places;
  /** Last event that is made. */
  readonly until: number;
  readonly speed: 'fast' | 'recorded';
  /** CALL:FIELD that is not compared. */
  readonly masks: readonly string[];
  readonly raw: boolean;
  readonly patience: number;
  readonly settle: number;
  /** End at the first divergence. */
  readonly stop: boolean;
  /** Every call that was made: as the replay saw it, null where it was the same; `dur` in ns. */
  seen?(expected: TraceEvent, actual: TraceEvent | null, dur: number): void;
  /** Is told what was left out of the comparison. */
  readonly notes?: ReplayNotes;
  progress?(done: number): void;
}

/** Calls that give memory to an IOMMU. */
const mapping = calls.filter(
  (c) => c.arg.kind === 'struct' && c.arg.layout.fields.some((f) => f.means === 'address' && f.dir !== 'out'),
);
const mappings: EventRange = {
  ...everything,
  conditions: [
    { sql: `s.request IN (${mapping.map(() => '?').join(', ')})`, params: mapping.map((c) => request(c.nr)) },
  ],
};

const BATCH = 512;
const BATCH_BYTES = 4 << 20;
/** After so many waits in vain a register is taken for one that never rests. */
const RESTLESS = 2;

interface Asked {
  /** null: a request of the replay's own. */
  readonly event: TraceEvent | null;
  readonly request: Request;
  readonly circumstances: Circumstances;
}

const ordinary: Circumstances = { looping: false, heeded: false, placed: null };

export async function replay(o: ReplayOptions): Promise<Verdict> {
  const run = new Run(o);
  const started = performance.now();
  await run.all();
  run.finding.verdict.seconds = (performance.now() - started) / 1000;
  return run.finding.verdict;
}

class Run {
  readonly finding: Finding;
  readonly #o: ReplayOptions;
  readonly #planner: Planner;
  readonly #matching: Matching;
  readonly #config = new ConfigSpaces();
  readonly #words: Words;
  readonly #last: ReadonlyMap<number, number>;
  readonly #vain = new Map<string, number>();
  #queue: Asked[] = [];
  #bytes = 0;
  #clock: number | undefined;

  constructor(o: ReplayOptions) {
    const { trace } = o;
    this.#o = o;
    this.finding = new Finding(trace.path, o.target.hello, o.places.devices);
    this.#planner = new Planner({
      pieces: new Pieces(trace.events(mappings)),
      path: (recorded) => o.places.path(recorded),
      device: (recorded) => o.places.device(recorded),
      ...family(trace),
      regions: trace.regions,
      resolve: (h) => trace.resolve(h),
      raw: o.raw,
      patience: o.patience,
      settle: o.settle,
    });
    const masks = new Masks(o.masks.map((text) => ({ text, from: 'user' })));
    this.#matching = { names: this.#planner.names, ids: new Ids(), masks, moved: o.places.moved };
    this.#words = new Words(trace);
    this.#last = lastCalls(trace);
  }

  async all(): Promise<void> {
    const { verdict } = this.finding;
    const { trace, until } = this.#o;
    for (const { event, looping, heeded } of schedule(trace.events({ ...everything, last: until }))) {
      if (verdict.stopped) break;
      verdict.calls++;
      this.#plan(event, looping, heeded);
      if (this.#last.get(event.process) === event.id) this.#planner.ended(event.process);
      if (this.#queue.length >= BATCH || this.#bytes >= BATCH_BYTES || teaches(event)) await this.#flush();
    }
    if (!verdict.stopped) await this.#flush();
    const first = verdict.divergences[0];
    if (first) verdict.explanation = explain(trace, first.event, this.#words);
  }

  #plan(event: TraceEvent, looping: boolean, heeded: boolean): void {
    const { verdict } = this.finding;
    const placed = this.#config.feed(event);
    // A value that is the host's is not waited for.
    const planned = this.#planner.plan(event, looping || placed !== null);
    const own = (requests: readonly Request[]): void => {
      for (const request of requests) this.#ask({ event: null, request, circumstances: ordinary });
    };
    switch (planned.kind) {
      case 'run':
        this.#pace(event);
        own(planned.before);
        this.#ask({ event, request: planned.main, circumstances: { looping, heeded, placed } });
        own(planned.after);
        return;
      case 'noted':
        verdict.followed++;
        own(planned.before);
        this.#o.seen?.(event, null, 0);
        return;
      case 'skipped':
        this.finding.skip(event.id, planned.why);
        this.#o.notes?.add('skipped', event.id, planned.why);
        return;
      case 'consequence':
        verdict.consequences++;
        return;
      default:
        planned satisfies never;
    }
  }

  /** At the recorded speed the target sleeps as long as the program was busy with other things. */
  #pace(e: TraceEvent): void {
    if (this.#o.speed !== 'recorded') return;
    const gap = e.t - (this.#clock ?? e.t);
    if (gap > 0)
      this.#ask({ event: null, request: this.#planner.own('sleep', 0, { a: BigInt(gap) }), circumstances: ordinary });
    this.#clock = Math.max(this.#clock ?? 0, e.t + (e.dur ?? 0));
  }

  #ask(asked: Asked): void {
    this.#queue.push(asked);
    this.#bytes += frameSize(asked.request) + Number(asked.request.op === 'memory' ? 0 : asked.request.b);
  }

  async #flush(): Promise<void> {
    const batch = this.#queue;
    this.#queue = [];
    this.#bytes = 0;
    const replies = await this.#o.target.run(batch.map((a) => a.request));
    for (let i = 0; i < batch.length; i++) this.#took(batch[i] as Asked, replies[i] as Reply);
    this.#o.progress?.(this.finding.verdict.calls);
  }

  #took({ event, request, circumstances }: Asked, reply: Reply): void {
    const { verdict } = this.finding;
    if (!event || verdict.stopped) return;
    if (this.#planner.dead.has(event.handle)) {
      verdict.consequences++;
      return;
    }
    const outcome = match(event, reply, request, circumstances, this.#matching);
    verdict.compared++;
    this.#o.seen?.(event, outcome.actual, reply.duration);
    const name = (): string => callName(event, (flags) => featureOf(flags)?.name);
    for (const d of outcome.masked) this.finding.mask(event.id, name(), d);
    const [masked] = outcome.masked;
    if (masked && outcome.differences.length === 0) this.#o.notes?.add('excused', event.id, masked.mask);
    if (outcome.differences.length > 0) {
      this.finding.diverge(() => ({
        event: event.id,
        call: callText(event, this.#words),
        name: name(),
        differences: outcome.differences,
      }));
      this.#consequences(event, reply, request);
      if (this.#o.stop) verdict.stopped = `at event ${event.id}, the first divergence`;
    }
    if (teaches(event)) this.#learn(event, reply);
  }

  #consequences(event: TraceEvent, reply: Reply, request: Request): void {
    if (reply.ret < 0 && event.made !== 0) this.#planner.dead.set(event.made, event.id);
    if (request.flags === 0 && request.timeout > 0) this.#planner.vain++;
    if (request.flags === 0) return;
    const place = placeOf(event);
    const vain = (this.#vain.get(place) ?? 0) + 1;
    this.#vain.set(place, vain);
    if (vain >= RESTLESS) this.#planner.restless.add(place);
  }

  /** The replay device's own region offset. */
  #learn(event: TraceEvent, reply: Reply): void {
    const [recorded, own] = [event.output, reply.arg];
    if (reply.ret < 0 || !recorded || !own || own.length < vfio_region_info.size || recorded.length < own.length)
      return;
    const index = own.readUInt32LE(INDEX);
    this.#planner.names.region(event.handle, index, recorded.readBigUInt64LE(OFFSET), own.readBigUInt64LE(OFFSET));
  }
}

const INDEX = fieldOf(vfio_region_info, 'index').at;
const OFFSET = fieldOf(vfio_region_info, 'offset').at;

/** Whether later calls depend on the answer in a way that the target cannot know. */
const teaches = (e: TraceEvent): boolean =>
  e.op === 'ioctl' && e.ret === 0 && e.call?.arg.kind === 'struct' && e.call.arg.layout === vfio_region_info;

/** The last call of each process that returned. */
function lastCalls(trace: Trace): ReadonlyMap<number, number> {
  const rows = trace.select(
    'SELECT t.process AS process, max(e.id) AS last FROM event e JOIN site s ON s.id = e.site JOIN thread t ON t.id = s.thread WHERE e.dur IS NOT NULL GROUP BY t.process',
  );
  return new Map(rows.map((r) => [Number(r.process), Number(r.last)]));
}

/** Whom a process comes from, by the trace's numbers. */
function family(trace: Trace): Pick<PlanOptions, 'parent' | 'image'> {
  const processes = trace.processes;
  const images = new Map<number, number>();
  const parents = new Map<number, number>();
  const byPid = new Map<number, number>();
  for (const p of [...processes.values()].sort((a, b) => a.id - b.id)) {
    const before = byPid.get(p.pid);
    const parent = p.parent === null ? undefined : byPid.get(p.parent);
    if (before !== undefined) images.set(p.id, before);
    else if (parent !== undefined) parents.set(p.id, parent);
    byPid.set(p.pid, p.id);
  }
  return { parent: (process) => parents.get(process), image: (process) => images.get(process) };
}
