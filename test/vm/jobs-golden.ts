// Records every client once for traces/golden: what an old version's trace looks like, for every later one to read.
import { copyFileSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';

import { bindAll, type Client, canRun, clients, prepare } from './clients.ts';
import { type Job, Skip } from './job.ts';
import { expectWhole, record } from './record.ts';
import { expectStatus } from './run-program.ts';

/** Larger ones do not belong into a repository. */
const LARGEST = 200_000;

async function golden(client: Client): Promise<void> {
  if (!canRun(client)) throw new Skip(`this kernel has no ${client.needs}`);
  bindAll();
  prepare(client);
  // few rounds: the golden threads show the order of many threads, not its amount
  const argv = client.argv.map((arg) => (client.name.startsWith('threads') && arg === '50' ? '10' : arg));
  const trace = `/tmp/${client.name}.vrr`;
  expectStatus(client.name, await record(trace, argv, { own: true }));
  expectWhole(trace);
  if (statSync(trace).size > LARGEST) throw new Error(`${trace} has ${statSync(trace).size} bytes`);
  const folder = `${process.env.VM_OUT}/golden`;
  mkdirSync(folder, { recursive: true });
  copyFileSync(trace, `${folder}/${client.name}.vrr`);
  const [program, ...args] = argv as [string, ...string[]];
  const line = [program.replace('test/clients/build/', ''), ...args].join(' ');
  writeFileSync(
    `${folder}/${client.name}.row`,
    `| \`${client.name}.vrr\` | \`${line}\` | ${release()} | ${new Date().toISOString().slice(0, 10)} |\n`,
  );
}

export const goldenJobs = (): Job[] =>
  clients.map((client) => ({ name: `${client.name} recorded for traces/golden`, run: () => golden(client) }));
