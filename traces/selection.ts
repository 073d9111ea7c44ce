// The SQL that reads events and sites.

import type { EventRange } from './range.ts';

/** A site with its thread and process, by its id. */
export const SITE = `SELECT s.id, s.thread, s.handle, s.kind, s.fd, s.op, s.request, s.feature, s.region, s.length, s.flags,
  p.id AS process, p.pid, t.tid
  FROM site s LEFT JOIN thread t ON t.id = s.thread LEFT JOIN process p ON p.id = t.process WHERE s.id = ?`;

/** `columns` of the events of a range. */
export function selection(columns: string, range: EventRange): { sql: string; params: (string | number)[] } {
  const conditions = range.conditions.map((c) => ` AND (${c.sql})`).join('');
  // CROSS JOIN keeps the order of the loops: events by id, then each one's site.
  const from = range.conditions.length > 0 ? 'event e CROSS JOIN site s ON s.id = e.site' : 'event e';
  return {
    sql: `SELECT ${columns} FROM ${from} WHERE e.id >= ? AND e.id <= ?${conditions}`,
    params: [range.first, range.last, ...range.conditions.flatMap((c) => c.params)],
  };
}
