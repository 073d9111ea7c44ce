// The same clients on every kernel, recorded twice and carried out of the guest: across.ts lays them side by side.
import { copyFileSync, mkdirSync } from 'node:fs';

import { bind, clients, DESCRIBED } from './clients.ts';
import type { Job } from './job.ts';
import { record } from './record.ts';
import { expectStatus } from './run-program.ts';

/** Where the traces are put, under the directory that the guest can write. */
export const CARRIED = 'across';

export interface Carried {
  name: string;
  device: string;
  argv: string[];
}

export const carried: Carried[] = [
  ...clients.filter((c) => c.name === 'edu-group').map(({ name, argv }) => ({ name, device: argv[1] as string, argv })),
  { name: 'e1000e', device: DESCRIBED, argv: ['test/clients/build/describe', 'group', DESCRIBED] },
];

async function twice({ name, device, argv }: Carried): Promise<void> {
  bind(device);
  const folder = `${process.env.VM_OUT}/${CARRIED}`;
  mkdirSync(folder, { recursive: true });
  for (const run of [1, 2]) {
    const trace = `/tmp/${name}-${run}.vrr`;
    expectStatus(name, await record(trace, argv));
    copyFileSync(trace, `${folder}/${name}-${run}.vrr`);
  }
}

export const acrossJobs = (): Job[] =>
  carried.map((c) => ({ name: `${c.name} recorded twice, to compare across kernels`, run: () => twice(c) }));
