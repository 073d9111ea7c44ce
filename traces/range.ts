// Which events a command is about: one grammar for every command. A range is a list of terms: an event is taken if it is
// in one of the spans (or there is none) and, of each sort of filter that is given, one holds.
//
//   120          one event            120-400   from, to (both taken)     120-   from on     -50   the last 50
//   @device:N    on the device named N, its data descriptors too          @kind:container   on descriptors of a kind
//   @name:NAME   calls of that name (or that begin with NAME, with NAME*) @feature:NAME     VFIO_DEVICE_FEATURE of that name
//   @pid:N @tid:N @fd:N @handle:N @region:N                               @failed @unfinished
//   sql:EXPR     EXPR over the columns of the view `call`

import { request } from '../schema/call.ts';
import { FEATURE_MASK } from '../schema/device.ts';
import { TraceError } from '../schema/errors.ts';
import { type Op, ops } from '../schema/event.ts';
import { features } from '../schema/features.ts';
import { type FdKind, fdKinds } from '../schema/kinds.ts';
import { callOf, calls } from '../schema/surface.ts';

/** A condition in SQL on `e` (event) and `s` (its site). */
export interface Condition {
  readonly sql: string;
  readonly params: readonly (string | number)[];
  /** The user's own text, for the message when SQLite does not take it. */
  readonly written?: string;
}
export interface EventRange {
  readonly first: number;
  readonly last: number;
  /** Only the last so many of what matches. */
  readonly tail: number | null;
  readonly conditions: readonly Condition[];
}

export const everything: EventRange = { first: 1, last: Number.MAX_SAFE_INTEGER, tail: null, conditions: [] };
export const rangeHelp =
  'Events: 120-400, 120-, -50 (the last 50), @device:NAME, @kind:KIND, @name:CALL, @feature:NAME, @pid:N, @tid:N, @fd:N, ' +
  "@handle:N, @region:N, @failed, @unfinished, 'sql:EXPR'; spans add up and so do filters of one sort, different sorts narrow";

const condition = (sql: string, ...params: (string | number)[]): Condition => ({ sql, params });

function integer(term: string, text: string): number {
  const n = Number(text);
  if (!/^-?(0x[0-9a-f]+|\d+)$/i.test(text) || !Number.isSafeInteger(n))
    throw new TraceError('USAGE', `${term}: "${text}" is no number`);
  return n;
}

/** A handle and everything that aliases it. */
const family = (where: string): string => `s.handle IN (WITH RECURSIVE same(id) AS (${where}
  UNION SELECT h.id FROM handle h JOIN same ON h.alias = same.id OR h.parent = same.id AND h.kind IN (${fdKinds.data}, ${fdKinds.dmabuf}))
  SELECT id FROM same)`;

function named(term: string, name: string): Condition {
  const prefix = name.endsWith('*') ? name.slice(0, -1).toUpperCase() : null;
  const matches = (n: string): boolean =>
    prefix === null ? n.toUpperCase() === name.toUpperCase() : n.toUpperCase().startsWith(prefix);
  const parts = calls.flatMap((c) => {
    if (c.kind === 'spapr' || !matches(c.name)) return [];
    const kinds = [
      c.kind,
      ...(c.kind === 'container' && callOf('iommufd', request(c.nr)) === c ? ['iommufd' as const] : []),
    ];
    return kinds.map((k) => `(s.op = ${ops.ioctl} AND s.kind = ${fdKinds[k]} AND s.request = ${request(c.nr)})`);
  });
  const other = (Object.keys(ops) as Op[]).filter(matches).map((op) => `s.op = ${ops[op]}`);
  if (parts.length + other.length === 0)
    throw new TraceError(
      'USAGE',
      `${term}: no call has that name; \`vfio-rr query TRACE "SELECT * FROM call_summary"\` lists those of a trace`,
    );
  return condition(`(${[...parts, ...other].join(' OR ')})`);
}

function feature(term: string, name: string): Condition {
  const found = features.find((f) => f.name === name.toUpperCase());
  const id = found?.id ?? (/^\d+$/.test(name) ? Number(name) : null);
  if (id === null)
    throw new TraceError('USAGE', `${term}: no such feature; known are ${features.map((f) => f.name).join(', ')}`);
  return condition(`s.feature & ${FEATURE_MASK} = ?`, id);
}

function kind(term: string, name: string): Condition {
  if (!(name in fdKinds))
    throw new TraceError('USAGE', `${term}: no such kind; known are ${Object.keys(fdKinds).join(', ')}`);
  return condition('s.kind = ?', fdKinds[name as FdKind]);
}

function filter(term: string): Condition {
  const colon = term.indexOf(':');
  const key = colon < 0 ? term.slice(1) : term.slice(1, colon);
  const value = colon < 0 ? '' : term.slice(colon + 1);
  if (key === 'failed') return condition('e.ret < 0');
  if (key === 'unfinished') return condition('e.dur IS NULL');
  if (!value) throw new TraceError('USAGE', `${term}: not a filter, or one that lacks its value. ${rangeHelp}`);
  switch (key) {
    case 'device':
      return condition(
        family('SELECT id FROM handle WHERE name = ? OR path = ? OR path = ?'),
        value,
        value,
        `/dev/vfio/devices/${value}`,
      );
    case 'kind':
      return kind(term, value);
    case 'name':
      return named(term, value);
    case 'feature':
      return feature(term, value);
    case 'pid':
      return condition(
        's.thread IN (SELECT t.id FROM thread t JOIN process p ON p.id = t.process WHERE p.pid = ?)',
        integer(term, value),
      );
    case 'tid':
      return condition('s.thread IN (SELECT id FROM thread WHERE tid = ?)', integer(term, value));
    case 'fd':
      return condition('s.fd = ?', integer(term, value));
    case 'handle':
      return condition(family('SELECT ?'), integer(term, value));
    case 'region':
      return condition('s.region = ?', integer(term, value));
    default:
      throw new TraceError('USAGE', `${term}: no such filter. ${rangeHelp}`);
  }
}

interface Span {
  readonly first: number;
  readonly last: number;
}

function spanOf(term: string, from: string, dash: boolean, to: string | undefined): Span {
  const first = Number(from);
  const last = dash ? Number(to ?? Number.MAX_SAFE_INTEGER) : first;
  if (last < first) throw new TraceError('USAGE', `${term}: ends before it begins; write ${to}-${from}`);
  return { first, last };
}

/** One span, or the least that holds several and the condition that picks them. */
function unite(spans: readonly Span[]): Span & { conditions: Condition[] } {
  const [only] = spans;
  if (spans.length <= 1 || !only) return { ...(only ?? everything), conditions: [] };
  const sql = spans.map(() => 'e.id BETWEEN ? AND ?').join(' OR ');
  return {
    first: Math.min(...spans.map((s) => s.first)),
    last: Math.max(...spans.map((s) => s.last)),
    conditions: [condition(`(${sql})`, ...spans.flatMap((s) => [s.first, s.last]))],
  };
}

const anyOf = (conditions: readonly Condition[]): Condition =>
  condition(conditions.map((c) => `(${c.sql})`).join(' OR '), ...conditions.flatMap((c) => c.params));

/** The terms of a command line as one range. */
export function parseRange(terms: readonly (string | number)[]): EventRange {
  const spans: Span[] = [];
  const conditions: Condition[] = [];
  const filters = new Map<string, Condition[]>();
  let tail: number | null = null;
  for (const raw of terms) {
    const term = String(raw).trim();
    const span = /^(\d+)?(-)?(\d+)?$/.exec(term);
    if (term === '') continue;
    if (term.startsWith('sql:')) {
      const written = term.slice(4);
      conditions.push({
        sql: `EXISTS (SELECT 1 FROM call WHERE call.id = e.id AND (${written}\n))`,
        params: [],
        written,
      });
    } else if (term.startsWith('@')) {
      const key = term.split(':', 1)[0] ?? '';
      filters.set(key, [...(filters.get(key) ?? []), filter(term)]);
    } else if (span?.[1]) {
      spans.push(spanOf(term, span[1], span[2] !== undefined, span[3]));
    } else if (span?.[3]) {
      tail = Number(span[3]);
    } else throw new TraceError('USAGE', `"${term}" is no range of events. ${rangeHelp}`);
  }
  const { first, last, conditions: picked } = unite(spans);
  return { first, last, tail, conditions: [...picked, ...[...filters.values()].map(anyOf), ...conditions] };
}
