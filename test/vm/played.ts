// Before a boot: every client recorded on the emulator, for the guest to replay on the devices that it has.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Client, clients, EDU, MTTY, SECOND_EDU } from './clients.ts';
import { VFIO_RR } from './record.ts';
import { type Ran, runProgram } from './run-program.ts';

const FOLDER = 'played';

/** A client's recording and what it printed, as a boot whose results go to `out` finds them. */
export function playedFiles(out: string, client: Client): { trace: string; ran: string } {
  const base = join(out, FOLDER, client.name);
  return { trace: `${base}.vrr`, ran: `${base}.json` };
}

function emulated(client: Client): string[] {
  if (client.needs === 'mtty') return ['--emulate', `serial:${MTTY}`];
  return [EDU, SECOND_EDU].flatMap((name) => ['--emulate', `edu:${name}`]);
}

/** Runs each client under `play --record`. Whatever comes of it is for the guest's jobs to judge. */
export function recordPlayed(out: string): void {
  mkdirSync(join(out, FOLDER), { recursive: true });
  for (const client of clients) {
    const { trace, ran } = playedFiles(out, client);
    const run: Ran = runProgram([VFIO_RR, 'play', ...emulated(client), '--record', trace, '--', ...client.argv]);
    writeFileSync(ran, JSON.stringify(run));
  }
}
