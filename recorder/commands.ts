// The commands of this stage, as yargs takes them.

import type { CommandModule } from 'yargs';
import type { Io } from '../traces/io.ts';

export function recordCommands(_io: Io): CommandModule[] {
  return [];
}
