// The options of `record` about memory that devices reach.

import type { Argv } from 'yargs';
import { pciRegions } from '../schema/device.ts';
import { TraceError } from '../schema/errors.ts';
import { DMA_LIMIT, type DmaMode, DOORBELLS_MAX, dmaModes } from '../schema/event.ts';
import type { DmaOptions, Doorbell } from './ring.ts';
import { parseBytes } from './size.ts';

export function dmaArguments<T>(y: Argv<T>): Argv<T> {
  return y
    .option('dma', {
      choices: Object.keys(dmaModes) as DmaMode[],
      default: 'none' as DmaMode,
      describe:
        'Memory that devices reach, when an interrupt is taken, before unmapping and migration: pages, hashes, none',
    })
    .option('dma-limit', {
      type: 'string',
      default: `${DMA_LIMIT >> 20}M`,
      describe: 'Most of that memory that is looked at in one go',
      requiresArg: true,
    })
    .option('doorbell', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'With --dma: look at it also before a write there, as BAR0+0x3818:8 (several)',
      requiresArg: true,
    }) as Argv<T>;
}

export function dmaOptions(argv: Readonly<Record<string, unknown>>): DmaOptions {
  const mode = argv.dma as DmaMode;
  const doorbells = (argv.doorbell as string[]).map(parseDoorbell);
  if (doorbells.length > DOORBELLS_MAX)
    throw new TraceError('USAGE', `at most ${DOORBELLS_MAX} --doorbell; give a wider range instead`);
  if (doorbells.length > 0 && mode === 'none')
    throw new TraceError('USAGE', '--doorbell says when to look at DMA memory: add --dma=pages or --dma=hash');
  return { mode, limit: parseBytes(String(argv.dmaLimit)), doorbells };
}

/** `BAR0+0x3818:8`, `CONFIG+4:2`, `9+0x10:4`: region (name or index), offset, bytes. */
export function parseDoorbell(text: string): Doorbell {
  const match = /^(\w+)\+(0x[0-9a-f]+|\d+):(\d+)$/i.exec(text);
  const name = match?.[1]?.toUpperCase() ?? '';
  const region = /^\d+$/.test(name) ? Number(name) : (pciRegions as Readonly<Record<string, number>>)[name];
  const size = Number(match?.[3] ?? 0);
  if (!match || region === undefined || size < 1 || size >= 2 ** 32)
    throw new TraceError('USAGE', `${text} is no doorbell; write it like BAR0+0x3818:8 (region + offset : bytes)`);
  return { region, offset: BigInt(match[2] ?? 0), size };
}
