// The commands of this stage, as yargs takes them.

import type { CommandModule } from 'yargs';
import type { Io } from '../traces/io.ts';
import { replayCommand } from './command.ts';
import { playCommand } from './play/command.ts';

export function replayCommands(io: Io): CommandModule[] {
  return [replayCommand(io), playCommand(io)];
}
