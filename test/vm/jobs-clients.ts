// Every client: recorded call for call, unchanged by it, and replayed on the same device.
import { existsSync, readFileSync } from 'node:fs';

import { bindAll, type Client, canRun, clients, prepare } from './clients.ts';
import { type Job, Skip } from './job.ts';
import {
  expectSameAsStrace,
  expectSameOutcome,
  expectSameReplay,
  expectWhole,
  record,
  recordUnderStrace,
} from './record.ts';
import { expectStatus, type Ran, runProgram } from './run-program.ts';

const unrecorded = new Map<string, Ran>();

/** The client without the recorder, once. */
export function plain(client: Client): Ran {
  if (!canRun(client)) throw new Skip(`this kernel has no ${client.needs}`);
  let run = unrecorded.get(client.name);
  if (!run) {
    bindAll();
    prepare(client);
    run = expectStatus(client.name, runProgram(client.argv));
    unrecorded.set(client.name, run);
  }
  return run;
}

/** The first client is recorded and replayed as a user would, in processes of their own. */
const own = (client: Client): boolean => client === clients[0];

async function callForCall(client: Client): Promise<void> {
  const before = plain(client);
  const trace = `/tmp/${client.name}-strace.vrr`;
  const log = `/tmp/${client.name}.strace`;
  prepare(client);
  expectSameOutcome(before, await recordUnderStrace(trace, log, client.argv));
  expectSameAsStrace(trace, log);
  expectWhole(trace);
}

const traceOf = (client: Client): string => `/tmp/${client.name}.vrr`;

async function recorded(client: Client): Promise<void> {
  const before = plain(client);
  prepare(client);
  expectSameOutcome(before, await record(traceOf(client), client.argv, { own: own(client) }));
  expectWhole(traceOf(client));
}

/** Made unless a job before has: any job may be run alone. */
async function recording(client: Client): Promise<string> {
  if (!existsSync(traceOf(client))) await recorded(client);
  return traceOf(client);
}

async function replayed(client: Client): Promise<void> {
  plain(client);
  const trace = await recording(client);
  prepare(client);
  const result = `/tmp/${client.name}-replayed.vrr`;
  await expectSameReplay(trace, result, { own: own(client) });
  expectWhole(result);
}

/** The kernel's answers are the emulator's. */
async function replayedOnEmulator(client: Client): Promise<void> {
  if (!canRun(client)) throw new Skip(`this kernel has no ${client.needs}`);
  await expectSameReplay(await recording(client), `/tmp/${client.name}-emulated.vrr`, { on: 'emulator' });
}

/** The system calls that the client makes after it has started, by number. */
export function syscallNumbers(log: string): string {
  const table = readFileSync('/usr/include/x86_64-linux-gnu/asm/unistd_64.h', 'utf8');
  const numbers = new Map(
    [...table.matchAll(/#define __NR_(\w+)\s+(\d+)/g)].map((m) => [m[1] as string, m[2] as string]),
  );
  const lines = readFileSync(log, 'utf8').split('\n');
  const start = lines.findIndex((l) => l.includes('"start\\n"'));
  if (start < 0) throw new Error('the client did not start');
  const names = new Set(lines.slice(start).flatMap((l) => /^\d+ +(\w+)\(/.exec(l)?.[1] ?? []));
  return [...names].map((n) => numbers.get(n) ?? n).join(',');
}

/** Killed at any system call that it does not make itself. */
async function underSeccomp(client: Client): Promise<void> {
  const before = plain(client);
  const log = `/tmp/${client.name}.calls`;
  prepare(client);
  expectStatus(client.name, runProgram(['strace', '-f', '-o', log, '-e', 'signal=none', ...client.argv]));
  const env = { VFIO_CLIENT_SYSCALLS: syscallNumbers(log) };
  prepare(client);
  expectSameOutcome(before, runProgram(client.argv, { env })); // the filter itself lets the client pass
  prepare(client);
  expectSameOutcome(before, await record(`/tmp/${client.name}-seccomp.vrr`, client.argv, { env }));
}

const each = (what: string, run: (client: Client) => Promise<void>, of = clients): Job[] =>
  of.map((client) => ({ name: `${client.name} ${what}`, run: () => run(client) }));

export const clientJobs = (): Job[] => [
  ...each('recorded under strace, call for call', callForCall),
  ...each('recorded, output unchanged', recorded),
  ...each('replayed on its device', replayed),
  ...each('replayed on the emulator', replayedOnEmulator),
];

/** The same with one recording for both judges: what the boots of other kernels run. */
async function briefly(client: Client): Promise<void> {
  await callForCall(client);
  prepare(client);
  await expectSameReplay(`/tmp/${client.name}-strace.vrr`, `/tmp/${client.name}-replayed.vrr`);
}

export const briefJobs = (): Job[] => each('recorded under strace, call for call, and replayed', briefly);

export const seccompJobs = (): Job[] => each('recorded under a filter of its own calls', underSeccomp);
