// Sizes as users write them.

import { TraceError } from '../schema/errors.ts';

/** `512M`, `2G`, `1048576`. */
export function parseBytes(text: string): number {
  const match = /^(\d+)([KMG]?)(i?B)?$/i.exec(text);
  const unit = { '': 0, K: 10, M: 20, G: 30 }[match?.[2]?.toUpperCase() ?? ''];
  if (!match || unit === undefined) throw new TraceError('USAGE', `${text} is no size; write it like 512M or 2G`);
  return Number(match[1]) * 2 ** unit;
}
