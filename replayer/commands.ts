// The commands of this stage, as yargs takes them.

import type { CommandModule } from 'yargs';
import type { Io } from '../traces/io.ts';
import { replayCommand } from './command.ts';
import { matrixCommand } from './matrix/command.ts';
import { playCommand } from './play/command.ts';
import { testCommand } from './suite/command.ts';

export function replayCommands(io: Io): CommandModule[] {
  return [replayCommand(io), playCommand(io), testCommand(io), matrixCommand(io)] as CommandModule[];
}
