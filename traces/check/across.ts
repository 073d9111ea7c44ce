// R19 and R37: what a destination was given against what a source gave, within a trace and over several.

import { ruleOf } from '../../schema/rules.ts';
import type { Judge } from './judge.ts';
import type { Segment, Session, Transfer, World } from './shadow.ts';
import { parting } from './stream.ts';

/** Of very many sources, the last so many are looked at for the one that was meant. */
const COMPARED = 100;

/** One trace with its judge of the rule. */
export interface Side {
  readonly world: World;
  readonly judge: Judge;
}

const of = (x: { device: string }, event: number, world: World): string =>
  `${x.device} (event ${event} of ${world.trace})`;

export function streams(sides: readonly Side[]): void {
  const all = sides.flatMap(({ world, judge }) => world.streams.map((session) => ({ world, judge, session })));
  const saved = all.filter(({ session: s }) => s.kind === 'save' && s.stream.length > 0n);
  const resumed = all.filter(({ session: s }) => s.kind === 'resume' && s.stream.length > 0n);
  if (resumed.length === 0) for (const { judge } of saved) judge.undecidable(ruleOf('R37').limit ?? '');
  const known = new Set(saved.filter((s) => !s.session.stream.partial).map((s) => s.session.stream.fingerprint));
  for (const { judge, session } of resumed) {
    if (!session.stream.partial && known.has(session.stream.fingerprint)) judge.held();
    else if (!session.finished) judge.undecidable('a resuming session did not come to its end');
    else if (saved.length === 0) judge.undecidable(ruleOf('R37').limit ?? '');
    else if (session.stream.partial || saved.some((s) => s.session.stream.partial))
      judge.undecidable('bytes of a data_fd were not kept (--payload)');
    else compareStreams(judge, session, saved.slice(-COMPARED));
  }
}

function compareStreams(judge: Judge, session: Session, saved: readonly { world: World; session: Session }[]): void {
  let best: { at: bigint; how: string; source: (typeof saved)[number] } | undefined;
  for (const source of saved) {
    const part = parting(source.session.stream, session.stream);
    if (part && (!best || part.at > best.at)) best = { ...part, source };
  }
  if (!best) return;
  const name = of({ device: best.source.session.device.name }, best.source.session.event, best.source.world);
  judge.broken({
    event: session.begun,
    subject: session.device.name,
    text: `the resuming data_fd was not fed the stream of ${name}: ${best.how}`,
  });
}

export function segments(sides: readonly Side[]): void {
  const all = sides.flatMap(({ world, judge }) => world.transfers.map((transfer) => ({ world, judge, transfer })));
  const saved = all.filter(({ transfer: t }) => t.kind === 'save' && t.segments.length > 0);
  const resumed = all.filter(({ transfer: t }) => t.kind === 'resume' && t.segments.length > 0);
  if (resumed.length === 0) for (const { judge } of saved) judge.undecidable(ruleOf('R19').limit ?? '');
  const known = new Set(saved.map((s) => fingerprint(s.transfer)));
  for (const { judge, transfer } of resumed) {
    if (transfer.segments.every((s) => s.hash !== null) && known.has(fingerprint(transfer))) judge.held();
    else if (saved.length === 0) judge.undecidable(ruleOf('R19').limit ?? '');
    else if (!transfer.finished) judge.undecidable('a resuming transfer did not come to its end');
    else compareSegments(judge, transfer, saved.slice(-COMPARED));
  }
}

const same = (a: Segment, b: Segment | undefined): boolean => b !== undefined && a.size === b.size && a.hash === b.hash;
const fingerprint = (t: Transfer): string => t.segments.map((s) => `${s.size}:${s.hash}`).join(' ');
const bytes = (t: Transfer): bigint => t.segments.reduce((n, s) => n + s.size, 0n);

function compareSegments(judge: Judge, to: Transfer, saved: readonly { world: World; transfer: Transfer }[]): void {
  if (to.segments.some((s) => s.hash === null) || saved.some((s) => s.transfer.segments.some((x) => x.hash === null))) {
    judge.undecidable('bytes of a segment are not in the trace: the data section is mapped, or they were not kept');
    return;
  }
  let best: { at: number; source: (typeof saved)[number] } | undefined;
  for (const source of saved) {
    const from = source.transfer.segments;
    let at = 0;
    while (at < from.length && same(from[at] as Segment, to.segments[at])) at++;
    if (!best || at > best.at) best = { at, source };
  }
  if (!best) return;
  const { transfer: from } = best.source;
  const [want, got] = [from.segments[best.at], to.segments[best.at]];
  const how =
    bytes(from) === bytes(to) && from.segments.length !== to.segments.length
      ? `its ${from.segments.length} segments were written as ${to.segments.length}`
      : !got
        ? `${to.segments.length} of ${from.segments.length} segments were written`
        : !want
          ? `${to.segments.length} segments were written, more than its ${from.segments.length}`
          : want.size !== got.size
            ? `segment ${best.at + 1} has ${want.size} bytes and ${got.size} were written`
            : `the bytes of segment ${best.at + 1} differ`;
  judge.broken({
    event: to.event,
    subject: to.device,
    text: `the destination did not get the segments of ${of(from, from.event.id, best.source.world)}: ${how}`,
  });
}
