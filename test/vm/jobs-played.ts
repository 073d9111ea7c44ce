// Every client recorded on the emulator (played.ts): it printed there what it prints here, and what it did there is
// answered by the kernel's devices in the same way.
import { readFileSync } from 'node:fs';

import { type Client, canRun, clients, prepare } from './clients.ts';
import { type Job, Skip } from './job.ts';
import { plain } from './jobs-clients.ts';
import { playedFiles } from './played.ts';
import { expectSameOutcome, expectSameReplay, expectWhole } from './record.ts';
import type { Ran } from './run-program.ts';

async function crossed(client: Client): Promise<void> {
  if (!canRun(client)) throw new Skip(`this kernel has no ${client.needs}`);
  const { trace, ran } = playedFiles(process.env.VM_OUT ?? '', client);
  expectSameOutcome(plain(client), JSON.parse(readFileSync(ran, 'utf8')) as Ran);
  expectWhole(trace);
  prepare(client);
  await expectSameReplay(trace, `/tmp/${client.name}-crossed.vrr`);
}

export const playedJobs = (): Job[] =>
  clients.map((client) => ({
    name: `${client.name} recorded on the emulator, replayed here`,
    run: () => crossed(client),
  }));
