// `vfio-rr check`, as yargs takes it.

import type { CommandModule } from 'yargs';
import { TraceError } from '../../schema/errors.ts';
import { type Level, levels } from '../../schema/rule.ts';
import { precedences } from '../../schema/states-v1.ts';
import type { Io } from '../io.ts';

interface Arguments {
  traces: string[];
  json: boolean;
  sarif: boolean;
  junit: boolean;
  level: string;
  waivers: string | undefined;
  precedence: string | undefined;
  list: boolean;
}

export function checkCommand(io: Io): CommandModule<object, Arguments> {
  return {
    command: 'check [traces..]',
    describe: 'Judge recordings by the rules of the VFIO uAPI; exit 1 when one is broken',
    builder: (y) =>
      y
        .positional('traces', {
          describe: 'Recordings; source and destination of one migration are given together',
          type: 'string',
          array: true,
          default: [] as string[],
        })
        .option('json', { describe: 'One JSON object', type: 'boolean', default: false })
        .option('sarif', { describe: 'SARIF 2.1.0', type: 'boolean', default: false })
        .option('junit', { describe: "JUnit's XML, a case a rule", type: 'boolean', default: false })
        .option('level', {
          describe: 'Findings of this level and above fail',
          choices: levels.map((l) => l.toLowerCase()),
          default: 'must',
        })
        .option('waivers', { describe: 'JSON file: [{rule, reason, device?, events?}]', type: 'string' })
        .option('precedence', {
          describe: 'Order in which the v1 driver takes the bits of one device_state write',
          choices: Object.keys(precedences),
        })
        .option('list', { describe: 'Print the rules', type: 'boolean', default: false })
        .example('$0 check run.vrr', 'which rules it broke, held, and did not exercise')
        .example('$0 check source.vrr destination.vrr', 'also whether the destination got what the source gave')
        .example('$0 check run.vrr --level should --waivers known.json --junit', 'for a CI job'),
    handler: async (argv) => {
      const { listRules, runCheck } = await import('./run.ts'); // every rule: only when asked for
      if (argv.list) {
        listRules(argv.json, io);
        return;
      }
      if (argv.traces.length === 0) throw new TraceError('USAGE', 'check: name at least one recording');
      if ([argv.json, argv.sarif, argv.junit].filter(Boolean).length > 1)
        throw new TraceError('USAGE', 'check: give one of --json, --sarif and --junit');
      const format = argv.sarif ? 'sarif' : argv.junit ? 'junit' : argv.json ? 'json' : 'text';
      const level = argv.level.toUpperCase() as Level;
      runCheck({ traces: argv.traces, format, level, waivers: argv.waivers, precedence: argv.precedence }, io);
    },
  };
}
