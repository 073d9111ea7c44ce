// `record`: starts a program with the interposer preloaded, drains what it says to VFIO into a trace, ends as it ends.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { environment, type MmioMode, RING_QUOTA } from '../schema/event.ts';
import { underCallersLimit } from '../traces/caller.ts';
import { createTrace, setMeta } from '../traces/create.ts';
import type { Io } from '../traces/io.ts';
import { type Backend, chooseBackend, type Raw, rawMode } from './backend.ts';
import { moment, readClock } from './clock.ts';
import { serveControl } from './control.ts';
import { loadRings, type PayloadMode } from './drain.ts';
import { line, packageVersion } from './host.ts';
import { type DumpOn, type Keep, windowRing } from './keep.ts';
import { requireNative } from './native.ts';
import { findProgram, type Program, type User } from './program.ts';
import { createRing, type DmaOptions, segmentsAhead } from './ring.ts';
import { type Outcome, Session } from './session.ts';

export interface RecordOptions {
  /** Program and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** Trace to write; NAME.vrr of the program by default. */
  readonly output?: string;
  readonly mmio: MmioMode;
  readonly dma: DmaOptions;
  readonly backend: Backend;
  readonly raw: Raw;
  readonly payload: PayloadMode;
  readonly durable: boolean;
  readonly force: boolean;
  /** Folder and bytes of the ring. */
  readonly ring: string;
  readonly quota: number | undefined;
  /** Bytes of a segment; smaller ones than usual make a small ring that still has many. */
  readonly segmentSize?: number;
  /** Flight recorder: hold this much, and dump it at these. */
  readonly keep: Keep | null;
  readonly dumpOn: DumpOn;
  /** Most dumps. */
  readonly dumps: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly user: User;
  /** Streams and descriptors of the program; our own by default. */
  readonly stdio?: StdioOptions;
  readonly pid: number;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}
export interface Recording extends Ended {
  /** null: passed through unrecorded. */
  readonly trace: { readonly path: string; readonly outcome: Outcome } | null;
}

type Signals = Pick<Io, 'onSignal' | 'onDump' | 'err'>;

export async function record(options: RecordOptions, io: Signals): Promise<Recording> {
  const [name] = options.command;
  const program = findProgram(name, options.env.PATH ?? '/usr/local/bin:/usr/bin:/bin', options.user);
  const backend = chooseBackend(program, options, io);
  if (backend === 'none') return { ...(await run(program.path, options, options.env, io)), trace: null };
  if (backend === 'ptrace' && options.dma.mode !== 'none')
    throw new TraceError('USAGE', '--dma needs a program that can be preloaded: this one is recorded by ptrace');
  const path = resolve(options.cwd, options.output ?? `${basename(program.name)}.vrr`);
  requireNative('rings.so');
  const by = requireNative(backend === 'ptrace' ? 'vfio-rr-trace' : 'libvfio-rr.so');
  clearWay(path, options.force);
  return recordTo(path, program, { backend, by }, options, io);
}

interface Way {
  readonly backend: 'preload' | 'ptrace';
  /** The library or the tracer. */
  readonly by: string;
}

function clearWay(path: string, force: boolean): void {
  if (existsSync(path)) {
    if (!force) throw new TraceError('USAGE', `${path} exists; --force overwrites it, -o names another`);
    for (const file of [path, `${path}-journal`]) rmSync(file, { force: true });
  }
}

async function recordTo(
  path: string,
  program: Program,
  way: Way,
  options: RecordOptions,
  io: Signals,
): Promise<Recording> {
  const db = createTrace(path, { durable: options.durable });
  let ring: string | undefined;
  let session: Session | undefined;
  let child: Promise<void> | undefined;
  const releases: (() => void)[] = [];
  try {
    loadRings(db);
    const first = moment(db);
    const clock = await readClock(db, first);
    const { keep } = options;
    const quota = options.quota ?? RING_QUOTA;
    const window = keep && windowRing(keep, options.ring, options.quota, RING_QUOTA);
    ring = createRing({
      folder: options.ring,
      quota: window?.quota ?? quota,
      ...(options.segmentSize !== undefined && { segmentSize: options.segmentSize }),
      ...(window && { segmentSize: window.segmentSize }),
      mmio: options.mmio,
      dma: options.dma,
      raw: way.backend === 'preload' ? rawMode(program, options.raw, io) : 'off',
      clock,
      recorderPid: options.pid,
    });
    describeStart(db, ring, program, options, clock);
    setMeta(db, { backend: way.backend });
    session = new Session(db, {
      path,
      ring,
      payload: options.payload,
      durable: options.durable,
      ahead: window?.ahead ?? segmentsAhead(options.ring, quota, options.segmentSize),
      flight: keep && window && { keep, segments: window.keep, on: options.dumpOn, dumps: options.dumps },
      forgetful: window !== null,
      said: (text) => io.err(`vfio-rr: ${text}`),
    });
    const running = session;
    releases.push(
      io.onDump(() => {
        if (keep) void running.dump('SIGUSR2');
        else
          io.err('vfio-rr: SIGUSR2: this recording keeps everything and has no dumps; record with --keep for them\n');
      }),
      await serveControl(session, options, (text) => io.err(`vfio-rr: ${text}`)),
    );
    const preloaded = [way.by, options.env.LD_PRELOAD].filter(Boolean).join(':');
    const preload = way.backend === 'preload' ? { LD_PRELOAD: preloaded } : {};
    const env = { ...options.env, ...preload, [environment.ring]: ring };
    let ended: Ended | undefined;
    let failed: unknown;
    let stop = false;
    let root: number | undefined;
    child = run(way.backend === 'ptrace' ? way.by : program.path, options, env, io, {
      asked: () => {
        stop = ended !== undefined; // asked again to end, after the program has
      },
      started: (pid) => {
        root = pid;
      },
    }).then(
      (e) => {
        ended = e;
        // What it leaves running may go on for long: what led to its end is wanted now.
        if (keep && (e.signal !== null || e.code !== 0))
          running.ended(e.signal ? `signal ${e.signal}` : `exit ${e.code}`);
      },
      (error: unknown) => {
        failed = error;
      },
    );
    await session.follow(
      () => ended === undefined && failed === undefined,
      () => stop,
    );
    await child;
    if (failed !== undefined) throw failed;
    const outcome = await session.finish({ exit: ended?.code ?? null, signal: ended?.signal ?? null }, root);
    return { code: ended?.code ?? null, signal: ended?.signal ?? null, trace: { path: outcome.path, outcome } };
  } catch (error) {
    // The heartbeat ends with it: a program that still runs does not wait for a drain that is no more.
    (session ?? db).close();
    const ran = (error as { code?: string }).code === 'CORRUPT';
    if (!(error instanceof TraceError)) throw error;
    if (ran) await child;
    // Nothing ran: nothing is left behind.
    else for (const file of [path, `${path}-journal`, ring]) if (file) rmSync(file, { force: true });
    throw error;
  } finally {
    for (const release of releases) release();
  }
}

function describeStart(
  db: Database.Database,
  ring: string,
  program: Program,
  options: RecordOptions,
  clock: Awaited<ReturnType<typeof readClock>>,
): void {
  setMeta(db, {
    ring,
    program: program.path,
    argv: JSON.stringify(options.command),
    cwd: options.cwd,
    tool: `vfio-rr ${packageVersion()}`,
    started: String(clock.realtime),
    clock: clock.name,
    clock_hz: Number(clock.hz),
    mmio: options.mmio,
    dma: options.dma.mode,
    payload: options.payload,
    keep: options.keep?.text ?? null,
    boot: line('/proc/sys/kernel/random/boot_id'),
    uname: line('/proc/version'),
    cmdline: line('/proc/cmdline'),
  });
}

/** Runs the program on our own standard streams, until it ends. Signals that ask us to end are passed on to it. */
function run(
  file: string,
  options: RecordOptions,
  env: Readonly<Record<string, string | undefined>>,
  io: Signals,
  told: { readonly asked?: () => void; readonly started?: (pid: number) => void } = {},
): Promise<Ended> {
  const [name, ...rest] = options.command;
  const traced = basename(file) === 'vfio-rr-trace';
  const [argv0, args] = traced ? [file, options.command] : [name, rest];
  let release = (): void => {};
  return new Promise<Ended>((ended, failed) => {
    let child: ChildProcess | undefined;
    let interrupts = 0;
    release = io.onSignal((signal) => {
      told.asked?.();
      // A terminal sends Ctrl-C to the program as well; only who insists, or has no terminal, means us to pass it on.
      const fromTerminal = (signal === 'SIGINT' || signal === 'SIGQUIT') && inForeground() && interrupts++ === 0;
      if (!fromTerminal) child?.kill(signal);
    });
    const how = { argv0, stdio: options.stdio ?? 'inherit', env: { ...env }, cwd: options.cwd } as const;
    child = underCallersLimit(() => spawn(file, args, how));
    if (child.pid !== undefined) told.started?.(child.pid);
    child.on('error', (error) =>
      failed(new TraceError('USAGE', `cannot start ${name}: ${error.message}; check that it can be run`)),
    );
    child.on('exit', (code, signal) => ended({ code, signal }));
  }).finally(() => {
    release();
  });
}

/** Whether our process group is the one that a terminal's keys go to: fields 5 (pgrp) and 8 (tpgid) of proc(5) stat. */
function inForeground(): boolean {
  const fields =
    line('/proc/self/stat')
      ?.replace(/^.*\) /, '')
      .split(' ') ?? [];
  return fields[2] !== undefined && fields[2] === fields[5];
}
