// System calls of the whole machine as the kernel itself traces them (tracefs, CONFIG_FTRACE_SYSCALLS).
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

import { expectStatus, runProgram } from './run-program.ts';

export type KernelEvent =
  | { readonly kind: 'enter'; readonly tid: number; readonly nr: number; readonly args: readonly bigint[] }
  | { readonly kind: 'exit'; readonly tid: number; readonly nr: number; readonly ret: number }
  /** A thread or process that `tid` made, with clone(2)'s flags. */
  | { readonly kind: 'new'; readonly tid: number; readonly child: number; readonly flags: number };

const TRACEFS = '/sys/kernel/tracing';
const EVENTS = ['raw_syscalls/sys_enter', 'raw_syscalls/sys_exit', 'task/task_newtask'];
/** Of one processor: 100 bytes an event, 20 000 calls a second, and nothing is read before the end. */
const BUFFER_KB = 32 << 10;

const set = (file: string, value: string | number): void => writeFileSync(`${TRACEFS}/${file}`, `${value}\n`);

function prepare(): void {
  if (!existsSync(`${TRACEFS}/trace`)) expectStatus('mount', runProgram(['mount', '-t', 'tracefs', 't', TRACEFS]));
  set('tracing_on', 0);
  set('buffer_size_kb', BUFFER_KB);
  set('trace_clock', 'global');
  for (const event of EVENTS) set(`events/${event}/enable`, 1);
  // Our own calls and the tracer's are none of the program's; every other process is looked at.
  for (const event of EVENTS.slice(0, 2))
    set(`events/${event}/filter`, `common_pid != ${process.pid} && COMM != "vfio-rr-trace"`);
}

/** Throws when the ring buffer of any processor has let an event go. */
function expectWholeBuffer(): void {
  for (const cpu of readdirSync(`${TRACEFS}/per_cpu`)) {
    const stats = readFileSync(`${TRACEFS}/per_cpu/${cpu}/stats`, 'utf8');
    const counts = [...stats.matchAll(/^((?:commit )?overrun|dropped events): (\d+)$/gm)];
    if (counts.length !== 3 || counts.some((c) => c[2] !== '0'))
      throw new Error(`the kernel's tracing lost events: ${cpu}: ${counts.map((c) => c[0]).join(', ')}`);
  }
}

const LINE = /^.{16}-(\d+) +\[\d+\] \S+ +[\d.]+: (\w+): (.*)$/;

/** What a `trace` file says. */
export function kernelEvents(text: string): KernelEvent[] {
  const events: KernelEvent[] = [];
  for (const line of text.split('\n')) {
    const head = LINE.exec(line);
    if (!head) {
      if (line !== '' && !line.startsWith('#')) throw new Error(`no event of ours in the kernel's trace: ${line}`);
      continue;
    }
    const tid = Number(head[1]);
    const rest = head[3] as string;
    const enter = /^NR (-?\d+) \(([^)]*)\)$/.exec(rest);
    const exit = /^NR (-?\d+) = (-?\d+)$/.exec(rest);
    const made = /^pid=(\d+) .*clone_flags=([0-9a-f]+) /.exec(rest);
    if (enter)
      events.push({
        kind: 'enter',
        tid,
        nr: Number(enter[1]),
        args: (enter[2] as string).split(', ').map((a) => BigInt(`0x${a}`)),
      });
    else if (exit) events.push({ kind: 'exit', tid, nr: Number(exit[1]), ret: Number(exit[2]) });
    else if (made)
      events.push({ kind: 'new', tid, child: Number(made[1]), flags: Number.parseInt(made[2] as string, 16) });
    else throw new Error(`not understood in the kernel's trace: ${line}`);
  }
  return events;
}

/** Runs it under the kernel's tracing; nothing was lost, or this throws. */
export async function traced<T>(run: () => T | Promise<T>): Promise<{ result: T; events: KernelEvent[] }> {
  prepare();
  set('trace', '');
  set('tracing_on', 1);
  try {
    const result = await run();
    set('tracing_on', 0);
    expectWholeBuffer();
    return { result, events: kernelEvents(readFileSync(`${TRACEFS}/trace`, 'utf8')) };
  } finally {
    set('tracing_on', 0);
  }
}

const START = BigInt('start\n'.length);

/** Every system call of a client and what it started, from the write of its first line on: numbers by thread. */
export function numbersFromStart(events: readonly KernelEvent[]): number[][] {
  const start = events.findIndex((e) => e.kind === 'enter' && e.nr === 1 && e.args[0] === 1n && e.args[2] === START);
  const threads = new Map<number, number[]>();
  for (const e of events.slice(Math.max(start, 0))) {
    if (threads.size === 0) threads.set(e.tid, []);
    const numbers = threads.get(e.tid);
    if (e.kind === 'enter') numbers?.push(e.nr);
    if (e.kind === 'new' && numbers) threads.set(e.child, []);
  }
  return [...threads.values()];
}
