// Prints each bar of what recording may cost as a ratio measured in this run, with what it has to reach.
//   npm run bench -- --flight 600 [--keep 64M]: what a flight recorder takes at full rate
//   npm run bench [-- --json] [-- --rounds N] [-- --quick]
//   npm run bench -- --large      instead what judging traces of 1 and of 10 million events costs, for information
//   npm run bench -- --update-instructions      renews test/bench/instructions.json instead

import { largeCosts } from '../check/bench.ts';
import { type Bar, bars, type Plan } from './bars.ts';
import { prepare } from './cost.ts';
import { flownText, fly } from './flight.ts';
import { updateInstructions } from './instructions.ts';

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--flight')) {
    const after = (name: string): string | undefined =>
      args.includes(name) ? args[args.indexOf(name) + 1] : undefined;
    const flown = await fly(Number(after('--flight')) || 600, after('--keep') ?? '64M');
    process.stdout.write(args.includes('--json') ? `${JSON.stringify(flown)}\n` : flownText(flown));
    return flown.ring <= flown.ringBound && flown.lost === 0 ? 0 : 1;
  }
  if (args.includes('--update-instructions')) {
    process.stdout.write(`${JSON.stringify(updateInstructions(), null, 2)}\n`);
    return 0;
  }
  if (args.includes('--large')) {
    for (const line of largeCosts([1_000_000, 10_000_000])) process.stdout.write(`${line}\n`);
    return 0;
  }
  const quick = args.includes('--quick');
  const rounds = Number(args[args.indexOf('--rounds') + 1]) || (quick ? 3 : 7);
  const plan: Plan = {
    rounds,
    calls: quick ? 100_000 : 300_000,
    events: quick ? 50_000 : 300_000,
    payload: quick ? 16 << 20 : 64 << 20,
    judged: quick ? 200_000 : 1_000_000,
    kills: quick ? 40 : 200,
  };
  prepare();
  const reached: Bar[] = [];
  for await (const bar of bars(plan)) {
    reached.push(bar);
    if (args.includes('--json')) continue;
    const verdict = bar.ratio === null ? 'not measured' : bar.holds === null ? '' : bar.holds ? 'holds' : 'MISSED';
    process.stdout.write(
      `${bar.bar.padEnd(50)} ${(bar.ratio?.toFixed(2) ?? '–').padStart(8)}  ${bar.reach.padEnd(7)} ${verdict}`.trimEnd(),
    );
    process.stdout.write('\n');
  }
  if (args.includes('--json')) process.stdout.write(`${JSON.stringify(reached)}\n`);
  return reached.every((b) => b.holds !== false) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
