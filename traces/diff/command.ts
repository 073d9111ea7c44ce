// vfio-rr diff A B

import { existsSync, writeFileSync } from 'node:fs';
import type { CommandModule } from 'yargs';
import { exitCodes, TraceError } from '../../schema/errors.ts';
import type { Io } from '../io.ts';

interface DiffArguments {
  a: string;
  b: string;
  mask: string[];
  learn: string[];
  timing: boolean;
  json: boolean;
  html: string | undefined;
  force: boolean;
}

export const diffCommand = (io: Io): CommandModule<object, DiffArguments> => ({
  command: 'diff <a> <b>',
  describe: 'Compare two traces: where they first differ, why, and what else does',
  builder: (y) =>
    y
      .positional('a', { type: 'string', demandOption: true, describe: 'the trace that is right' })
      .positional('b', { type: 'string', demandOption: true, describe: 'the trace in question' })
      .option('mask', {
        type: 'string',
        array: true,
        default: [],
        describe: 'leave out CALL:FIELD; * stands for anything',
      })
      .option('learn', {
        type: 'string',
        array: true,
        default: [],
        describe: 'other recordings of the same as A: what differs among them is left out',
      })
      .option('timing', { type: 'boolean', default: false, describe: 'also name calls that take another time' })
      .option('json', { type: 'boolean', default: false, describe: 'print the report as JSON' })
      .option('html', { type: 'string', requiresArg: true, describe: 'write the report as one HTML file' })
      .option('force', { type: 'boolean', default: false, describe: 'overwrite the HTML file' })
      .example('$0 diff good.vrr bad.vrr', 'exit 0: no differences, 1: some')
      .example("$0 diff a.vrr b.vrr --mask 'pread region 0+0x24:*'", 'without one register'),
  handler: async (argv) => {
    if (argv.html && !argv.force && existsSync(argv.html))
      throw new TraceError('USAGE', `${argv.html} exists; --force overwrites it`);
    const { diffTraces } = await import('./diff.ts');
    const { jsonReport, textReport } = await import('./report.ts');
    const report = diffTraces({
      a: argv.a,
      b: argv.b,
      masks: argv.mask.map((text) => ({ text, from: 'user' })),
      learn: argv.learn,
      timing: argv.timing,
    });
    if (argv.html) writeHtml(argv.html, (await import('./html.ts')).htmlReport(report));
    io.out(argv.json ? `${JSON.stringify(jsonReport(report), null, 2)}\n` : textReport(report));
    io.exit(report.differences.same ? exitCodes.same : exitCodes.divergence);
  },
});

function writeHtml(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new TraceError('HOST', `cannot write ${path}: ${(error as Error).message}`);
  }
}
