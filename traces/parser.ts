// A habit of yargs that costs more than its parsing.

import type { Argv } from 'yargs';

interface Internals {
  getInternalMethods(): { getUsageInstance(): { cacheHelpMessage: () => void } };
}

/** yargs composes the help of each command that it runs, asked or not: 80 ms, and a second under software emulation. */
export function composeHelpWhenAsked<T>(parser: Argv<T>): Argv<T> {
  (parser as unknown as Internals).getInternalMethods().getUsageInstance().cacheHelpMessage = () => {};
  return parser;
}
