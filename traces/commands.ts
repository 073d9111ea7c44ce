// The commands of this stage, as yargs takes them.

import type { CommandModule } from 'yargs';
import type { Io } from './io.ts';

export function traceCommands(_io: Io): CommandModule[] {
  return [];
}
