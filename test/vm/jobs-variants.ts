// Clients in every way of being built: what the kernel saw of their calls is what the trace has.
import Database from 'better-sqlite3';

import { BUILD, bindAll, type Client, canRun, clients, prepare } from './clients.ts';
import { type KernelEvent, numbersFromStart, traced } from './ftrace.ts';
import { type Job, Skip } from './job.ts';
import { kernelCalls } from './kernel-side.ts';
import { expectSameAsKernel, expectSameOutcome, expectWhole } from './record.ts';
import { recordItself } from './record-itself.ts';
import { expectStatus, type Ran, runProgram } from './run-program.ts';

/** As the Makefile of test/clients names them; the folders under its build/. */
const variants = { dynamic: '', static: 'static/', raw: 'raw/' } as const;
type Variant = keyof typeof variants;

function meta(trace: string): { backend: string; lost: number } {
  const db = new Database(trace, { readonly: true });
  try {
    const of = (key: string): unknown => db.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key);
    return { backend: String(of('backend')), lost: Number(of('lost')) };
  } finally {
    db.close();
  }
}

/**
 * Clients whose own calls are the same in each run. The others start a new image, where the library's start is among them,
 * have threads that wait for one another, call something else once a region cannot be mapped, or make a request on a
 * descriptor that is not known, which the library looks up.
 */
const steady = ['mtty-group', 'mtty-cdev'];
/** clock_gettime(2): where the kernel has given up the TSC, the C library asks it for the time that stamps a record. */
const CLOCK_GETTIME = 228;

function expectNoCallsOfOurs(plain: readonly number[][], recorded: readonly number[][]): void {
  // a client that waits for the device reads a register until it is done: how often differs
  const [a, b] = [plain, recorded].map((threads) =>
    threads.map((t) => t.filter((nr) => nr !== CLOCK_GETTIME).filter((nr, i, all) => nr !== all[i - 1])),
  ) as [number[][], number[][]];
  if (a.length === 0 || a.length !== b.length)
    throw new Error(`${b.length} threads where ${a.length} were without recorder`);
  for (const [i, numbers] of a.entries()) {
    const at = numbers.findIndex((nr, n) => nr !== b[i]?.[n]);
    if (at >= 0 || numbers.length !== b[i]?.length)
      throw new Error(
        `system calls ${b[i]?.slice(at, at + 4)} where ${numbers.slice(at, at + 4)} were without recorder`,
      );
  }
}

/** Of which calls argument and answer are in the trace: by name, and whether they failed. */
function memorySeen(trace: string): string[] {
  const db = new Database(trace, { readonly: true });
  try {
    return db
      .prepare(
        `SELECT DISTINCT name || iif(result < 0, ' failed', '') || iif(input IS NULL, '', ' in') ||
         iif(output IS NULL, '', ' out') FROM call WHERE name LIKE 'VFIO%' OR name LIKE 'IOMMU%' ORDER BY 1`,
      )
      .pluck()
      .all() as string[];
  } finally {
    db.close();
  }
}

const traceOf = (client: Client, variant: Variant): string => `/tmp/${client.name}-${variant}.vrr`;

async function recorded(client: Client, variant: Variant, plain: Ran): Promise<KernelEvent[]> {
  const [program, ...args] = client.argv as [string, ...string[]];
  const argv = [program.replace(`${BUILD}/`, `${BUILD}/${variants[variant]}`), ...args] as [string, ...string[]];
  const trace = traceOf(client, variant);
  prepare(client);
  const { result, events } = await traced(() => recordItself(trace, argv));
  expectSameOutcome(plain, result);
  expectWhole(trace);
  expectSameAsKernel(trace, kernelCalls(events));
  const { backend, lost } = meta(trace);
  if (lost > 0) throw new Error(`${lost} lost`);
  // Which way is chosen for a dynamic program with system calls of its own is not judged here.
  if (variant !== 'raw' && backend !== (variant === 'static' ? 'ptrace' : 'preload'))
    throw new Error(`it was recorded by ${backend}`);
  return events;
}

async function agrees(client: Client): Promise<void> {
  if (!canRun(client)) throw new Skip(`this kernel has no ${client.needs}`);
  bindAll();
  prepare(client);
  const alone = await traced(() => expectStatus(client.name, runProgram(client.argv)));
  const seen: string[][] = [];
  for (const variant of Object.keys(variants) as Variant[]) {
    try {
      const events = await recorded(client, variant, alone.result);
      if (variant === 'dynamic' && steady.includes(client.name))
        expectNoCallsOfOurs(numbersFromStart(alone.events), numbersFromStart(events));
      seen.push(memorySeen(traceOf(client, variant)));
      if (JSON.stringify(seen.at(-1)) !== JSON.stringify(seen[0]))
        throw new Error(`memory of ${seen.at(-1)?.join(', ')} where the dynamic one has ${seen[0]?.join(', ')}`);
    } catch (error) {
      throw new Error(`${variant}: ${error instanceof Error ? error.message : error}`);
    }
  }
}

export const variantJobs = (): Job[] =>
  clients.map((client) => ({
    name: `${client.name}, as it is, static and with raw system calls: the trace has the calls that the kernel saw`,
    run: () => agrees(client),
  }));
