// The commands of this stage, as yargs takes them. What does a command's work is loaded when it is asked for: most starts
// are of `record`, which needs none of it.

import type { CommandModule } from 'yargs';
import { TraceError } from '../schema/errors.ts';
import { checkCommand } from './check/command.ts';
import { diffCommand } from './diff/command.ts';
import type { Io } from './io.ts';
import { rangeHelp } from './range.ts';

const trace = { describe: 'A recording', type: 'string', demandOption: true } as const;
const range = { describe: rangeHelp, type: 'string', array: true, default: [] as string[] } as const;
const json = { describe: 'JSON, one object a line', type: 'boolean', default: false } as const;

function infoCommand(io: Io): CommandModule<object, { trace: string; json: boolean }> {
  return {
    command: 'info <trace>',
    describe: 'What a trace holds, on what host it was made, and what is not in it',
    builder: (y) =>
      y
        .positional('trace', trace)
        .option('json', { ...json, describe: 'One JSON object' })
        .example('$0 info run.vrr', 'devices, processes, counts, losses, host'),
    handler: async (argv) => (await import('./info.ts')).info({ path: argv.trace, json: argv.json }, io),
  };
}

function showCommand(
  io: Io,
): CommandModule<object, { trace: string; range: string[]; json: boolean; follow: boolean }> {
  return {
    command: 'show <trace> [range..]',
    describe: 'One line a call, decoded by name',
    builder: (y) =>
      y
        .positional('trace', trace)
        .positional('range', range)
        .option('json', json)
        .option('follow', { describe: 'Go on while it is being recorded', alias: 'f', type: 'boolean', default: false })
        .example('$0 show run.vrr 120-400', 'the calls 120 to 400')
        .example('$0 show run.vrr @device:0000:00:04.0 @failed', 'what failed on one device')
        .example('$0 show run.vrr @name:VFIO_DEVICE_SET_IRQS', 'the calls of one name')
        .example(`$0 show run.vrr 'sql:microseconds > 1000'`, 'calls that took over a millisecond'),
    handler: async (argv) => {
      const { show } = await import('./show.ts');
      return show({ path: argv.trace, range: argv.range, json: argv.json, follow: argv.follow }, io);
    },
  };
}

function queryCommand(
  io: Io,
): CommandModule<object, { trace: string; sql: string | undefined; json: boolean; csv: boolean }> {
  return {
    command: 'query <trace> [sql]',
    describe: 'SQL on a trace; without SQL, its tables and views',
    builder: (y) =>
      y
        .positional('trace', trace)
        .positional('sql', { describe: 'One SELECT', type: 'string' })
        .option('json', json)
        .option('csv', { describe: 'Comma-separated values with a head line', type: 'boolean', default: false })
        .example(`$0 query run.vrr 'SELECT * FROM call_summary'`, 'which calls, how often, how long, which failed')
        .example(`$0 query run.vrr 'SELECT * FROM failed_call' --csv`, 'what failed, for a spreadsheet'),
    handler: async (argv) => {
      if (argv.json && argv.csv) throw new TraceError('USAGE', 'give one of --json and --csv');
      const { query } = await import('./query.ts');
      return query({ path: argv.trace, sql: argv.sql, format: argv.json ? 'json' : argv.csv ? 'csv' : 'table' }, io);
    },
  };
}

function statesCommand(io: Io): CommandModule<object, { trace: string; range: string[]; json: boolean }> {
  return {
    command: 'states <trace> [range..]',
    describe: 'Migration state of each device over time: who asked, how long, bytes moved',
    builder: (y) => y.positional('trace', trace).positional('range', range).option('json', json),
    handler: async (argv) =>
      (await import('./states-text.ts')).states({ path: argv.trace, range: argv.range, json: argv.json }, io),
  };
}

export function traceCommands(io: Io): CommandModule[] {
  return [
    infoCommand(io),
    showCommand(io),
    queryCommand(io),
    statesCommand(io),
    checkCommand(io),
    diffCommand(io),
  ] as CommandModule[];
}
