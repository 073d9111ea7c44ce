// Judges traces by the rules. One pass over each; then what is compared across them.

import { type MmioMode, noteOps } from '../../schema/event.ts';
import { levels } from '../../schema/rule.ts';
import { type RuleId, rules } from '../../schema/rules.ts';
import type { Precedence } from '../../schema/states-v1.ts';
import type { TraceEvent } from '../event.ts';
import { type Side, segments, streams } from './across.ts';
import { shadowText } from './describe.ts';
import type { Handlers } from './evaluator.ts';
import { evaluators } from './evaluators.ts';
import { fold } from './fold.ts';
import { type Finding, Judge } from './judge.ts';
import { World } from './shadow.ts';
import type { Step, StepKind } from './step.ts';
import { type Waiver, Waivers } from './waivers.ts';

/** A trace, or anything else that has events. */
export interface Subject {
  readonly name: string;
  readonly events: Iterable<TraceEvent>;
  /** The call on one line. */
  line(event: TraceEvent): string;
  /** A device's own name, where it was not opened by it; '' unknown. */
  deviceName?(handle: number): string;
  /** How mapped regions were recorded; null: not known. */
  readonly mmio: MmioMode | null;
  /** Calls that the recording lost. */
  readonly lost: number;
}

export interface CheckOptions {
  readonly waivers?: readonly Waiver[];
  /** Order in which the v1 driver takes bits; null: not known. */
  readonly precedence?: Precedence | null;
  /** Called now and then with the number of events read. */
  progress?(events: number): void;
}

export interface RuleResult {
  readonly rule: RuleId;
  /** `held`: what came under the rule kept it. `not exercised`: nothing came under it. */
  readonly outcome: 'broken' | 'waived' | 'held' | 'undecidable' | 'not exercised';
  readonly held: number;
  readonly broken: number;
  /** Why some of it could not be decided. */
  readonly undecidable: readonly string[];
}

export interface CheckReport {
  readonly traces: readonly {
    readonly name: string;
    readonly calls: number;
    readonly lost: number;
    readonly devices: readonly string[];
  }[];
  /** Strongest first, then in order of events. */
  readonly findings: readonly Finding[];
  readonly rules: readonly RuleResult[];
  readonly unusedWaivers: readonly Waiver[];
  /** Findings beyond the number that is kept of one rule. */
  readonly dropped: number;
}

interface Judged {
  readonly world: World;
  readonly judges: ReadonlyMap<RuleId, Judge>;
  readonly calls: number;
  readonly devices: ReadonlySet<string>;
}

const PROGRESS = 10_000;

function judge(subject: Subject, waivers: Waivers, options: CheckOptions): Judged {
  const world = new World(subject.name, (handle) => subject.deviceName?.(handle) ?? '');
  const describe = { line: subject.line, shadow: (name: string) => shadowText(world, name) };
  const judges = new Map<RuleId, Judge>();
  const byKind = new Map<StepKind, ((step: Step) => void)[]>();
  const ends: (() => void)[] = [];
  for (const { id } of rules) {
    const j = new Judge(id, subject.name, describe, waivers.waive);
    judges.set(id, j);
    const context = { world, precedence: options.precedence ?? null, trapped: subject.mmio === 'trap' };
    const { end, ...handlers } = evaluators[id](j, context) as Handlers & Record<string, (step: Step) => void>;
    if (end) ends.push(end);
    for (const [kind, handler] of Object.entries(handlers) as [StepKind, (step: Step) => void][])
      byKind.set(kind, [...(byKind.get(kind) ?? []), handler]);
  }
  const devices = new Set<string>();
  const emit = (step: Step): void => {
    const handlers = byKind.get(step.kind);
    if (handlers) for (const handler of handlers) handler(step);
    if (step.kind === 'open') devices.add(step.device.name);
  };
  let events = 0;
  let calls = 0;
  for (const event of subject.events) {
    fold(event, world, emit);
    events++;
    if (!noteOps.has(event.op)) calls++;
    if (events % PROGRESS === 0) options.progress?.(events);
  }
  for (const end of ends) end();
  return { world, judges, calls, devices };
}

export function check(subjects: readonly Subject[], options: CheckOptions = {}): CheckReport {
  const waivers = new Waivers(options.waivers ?? []);
  const judged = subjects.map((s) => judge(s, waivers, options));
  const sides = (id: RuleId): Side[] => judged.map((j) => ({ world: j.world, judge: j.judges.get(id) as Judge }));
  segments(sides('R19'));
  streams(sides('R37'));
  const all = judged.flatMap((j) => [...j.judges.values()]);
  const findings = all.flatMap((j) => [...j.findings.values()]);
  findings.sort((a, b) => levels.indexOf(a.level) - levels.indexOf(b.level) || a.place.event - b.place.event);
  return {
    traces: subjects.map((s, i) => ({
      name: s.name,
      calls: judged[i]?.calls ?? 0,
      lost: s.lost,
      devices: [...(judged[i]?.devices ?? [])],
    })),
    findings,
    rules: rules.map(({ id }) =>
      resultOf(
        id,
        sides(id).map((s) => s.judge),
      ),
    ),
    unusedWaivers: (options.waivers ?? []).filter((w) => !waivers.used.has(w)),
    dropped: all.reduce((n, j) => n + j.dropped, 0),
  };
}

function resultOf(rule: RuleId, judges: readonly Judge[]): RuleResult {
  const held = judges.reduce((n, j) => n + j.outcome.held, 0);
  const broken = judges.reduce((n, j) => n + j.outcome.broken, 0);
  const undecidable = [...new Set(judges.flatMap((j) => [...j.outcome.undecidable]))];
  const open = judges.some((j) => [...j.findings.values()].some((f) => f.waived === null));
  const outcome = open
    ? 'broken'
    : broken > 0
      ? 'waived'
      : undecidable.length > 0
        ? 'undecidable'
        : held > 0
          ? 'held'
          : 'not exercised';
  return { rule, outcome, held, broken, undecidable };
}
