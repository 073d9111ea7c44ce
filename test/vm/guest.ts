// Inside the guest: runs groups of jobs, one line each.   guest.ts LABEL GROUP … [--only TEXT]
import { writeFileSync } from 'node:fs';

import { groups } from './groups.ts';
import { runJobs } from './job.ts';

const args = process.argv.slice(2);
const at = args.indexOf('--only');
const only = at >= 0 ? (args.splice(at, 2)[1] as string) : '';
const [label, ...names] = args as [string, ...string[]];

const jobs = names.flatMap((name) => groups[name]?.() ?? []).filter((job) => `${label} ${job.name}`.includes(only));
const tally = await runJobs(jobs, label, (line) => process.stdout.write(`${line}\n`));
writeFileSync(`${process.env.VM_OUT}/tally.json`, JSON.stringify(tally));
process.exitCode = tally.failed ? 1 : 0;
