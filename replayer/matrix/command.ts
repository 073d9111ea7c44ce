// vfio-rr matrix TRACE --kernels …

import type { CommandModule } from 'yargs';
import { exitCodes, TraceError } from '../../schema/errors.ts';
import type { Io } from '../../traces/io.ts';
import { STOCK } from './cells.ts';

interface MatrixArguments {
  trace: string;
  kernels: string;
  device: string[];
  mask: string[];
  cell: number | undefined;
  list: boolean;
  output: string | undefined;
  jobs: number;
  limit: number;
  force: boolean;
  json: boolean;
}

const whole = (name: string, least: number) => (n: number) => {
  if (!Number.isInteger(n) || n < least)
    throw new TraceError('USAGE', `--${name} takes a whole number, ${least} or more`);
  return n;
};

export const matrixCommand = (io: Io): CommandModule<object, MatrixArguments> => ({
  command: 'matrix <trace>',
  describe: 'Replay a trace on several kernels, booted in the lab, and show what they do differently',
  builder: (y) =>
    y
      .positional('trace', { type: 'string', demandOption: true, describe: 'a recording' })
      .option('kernels', {
        type: 'string',
        demandOption: true,
        describe: `${STOCK.join(', ')} or paths of images, by commas`,
      })
      .option('device', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [],
        describe: "QEMU's -device argument for each recorded device, instead of the one its PCI ids tell",
      })
      .option('mask', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [],
        describe: 'leave out CALL:FIELD; * stands for anything',
      })
      .option('list', { type: 'boolean', default: false, describe: 'only list the cells, as JSON lines' })
      .option('cell', {
        ...{ type: 'number', requiresArg: true, coerce: whole('cell', 0) },
        describe: 'run only this cell, by its number in --list',
      })
      .option('output', { alias: 'o', type: 'string', describe: 'directory for the result traces' })
      .option('jobs', { type: 'number', default: 2, coerce: whole('jobs', 1), describe: 'cells at once' })
      .option('limit', { type: 'number', default: 150, coerce: whole('limit', 1), describe: 'seconds for each' })
      .option('force', { type: 'boolean', default: false, describe: 'overwrite results in the output directory' })
      .option('json', { type: 'boolean', default: false, describe: 'print the table as JSON' })
      .example('$0 matrix run.vrr --kernels 6.1,6.12,7.2', 'a table of what differs')
      .example('$0 matrix run.vrr --kernels 6.1,7.2 --cell $SLURM_ARRAY_TASK_ID -o out', 'one cell of a batch system'),
  handler: async (argv) => {
    const { listCells, runMatrix } = await import('./matrix.ts'); // with all of diff: only when asked for
    const { tableText } = await import('./table.ts');
    const kernels = argv.kernels.split(',').filter(Boolean);
    const what = { trace: argv.trace, kernels, devices: argv.device };
    if (argv.list) {
      for (const cell of listCells(what)) io.out(`${JSON.stringify(cell)}\n`);
      return;
    }
    const table = await runMatrix({
      ...what,
      masks: argv.mask.map((text) => ({ text, from: 'user' })),
      cell: argv.cell ?? null,
      out: argv.output ?? null,
      jobs: argv.jobs,
      limit: argv.limit,
      force: argv.force,
      onCell: (r) => io.err(`${r.cell.kernel}: ${r.problem ? 'no result' : 'replayed'}\n`),
    });
    io.out(argv.json ? `${JSON.stringify(table, null, 2)}\n` : tableText(table));
    if (table.kernels.some((k) => k.problem)) io.exit(exitCodes.broken);
    else io.exit(table.rows.length ? exitCodes.divergence : exitCodes.same);
  },
});
