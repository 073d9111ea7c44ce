// `recover`: the ring that a killed recorder left becomes a finished trace, exactly once.

import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { APPLICATION_ID, FORMAT_VERSION } from '../schema/trace.ts';
import { createTrace, setJournal, setMeta } from '../traces/create.ts';
import { complain, inspect } from '../traces/file.ts';
import type { Io } from '../traces/io.ts';
import { loadRings, type PayloadMode, payloadModes } from './drain.ts';
import { endTrace } from './ending.ts';
import type { Loss } from './finish.ts';
import { line, packageVersion } from './host.ts';
import { writers } from './processes.ts';
import { readRingHeader, segmentsAhead } from './ring.ts';
import { type Outcome, Session } from './session.ts';

export interface RecoverOptions {
  /** The unfinished trace, which names its ring; or the ring file. */
  readonly from: string;
  /** Where a ring without a trace goes; the unfinished trace of a ring. */
  readonly output?: string;
  /** The trace's ring file, if it is not where the trace says. */
  readonly ring?: string;
  readonly cwd: string;
}

export interface Recovered {
  readonly path: string;
  readonly outcome: Outcome;
}

interface Unfinished {
  readonly db: Database.Database;
  readonly path: string;
  /** null: the trace is a dump, which has all it will have. */
  readonly ring: string | null;
  readonly payload: PayloadMode;
}

/** Opens a trace for going on, or says why not in the words of every reader. */
function open(path: string): Database.Database {
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { fileMustExist: true });
    const [id, version] = ['application_id', 'user_version'].map((name) => db?.pragma(name, { simple: true }));
    if (id === APPLICATION_ID && Number(version) <= FORMAT_VERSION) return db;
  } catch (error) {
    db?.close();
    inspect(path); // only of a file that SQLite refuses: a killed recorder may leave one that a journal mends
    return complain(path, 'its first page', () => {
      throw error;
    });
  }
  db.close();
  inspect(path);
  throw new TraceError('NOT_A_TRACE', `${path} is not a trace; name an unfinished trace or a ring file`);
}

function meta(db: Database.Database, key: string): unknown {
  return db.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key);
}

/** `ring`: the file that is the trace's ring, which may have been copied here; undefined: where the trace says it is. */
function takeUp(path: string, ring: string | undefined): Unfinished {
  const db = open(path);
  const named = meta(db, 'ring');
  const dump = meta(db, 'dump') !== undefined;
  const wrong =
    meta(db, 'state') !== 'recording'
      ? `${path} is a finished trace already; there is nothing to recover`
      : typeof named !== 'string' && !dump
        ? `${path} does not name its ring file; it cannot be recovered`
        : typeof named === 'string' && ring !== undefined && resolve(named) !== ring && !isRingOf(ring, db)
          ? `${path} belongs to the ring ${named}, not to ${ring}; name another output`
          : null;
  if (wrong !== null) {
    db.close();
    throw new TraceError('USAGE', wrong);
  }
  const payload = payloadModes.find((m) => m === meta(db, 'payload')) ?? 'full';
  return { db, path, ring: typeof named === 'string' ? (ring ?? named) : null, payload };
}

/** Whether the ring is that of the recording, wherever it lies: begun at the same moment, by the same clock. */
function isRingOf(ring: string, db: Database.Database): boolean {
  const header = readRingHeader(ring);
  return meta(db, 'started') === String(header.realStart) && Number(meta(db, 'clock_hz')) === Number(header.clockHz);
}

function begin(path: string, ring: string): Unfinished {
  const header = readRingHeader(ring);
  const db = createTrace(path);
  setMeta(db, {
    ring,
    tool: `vfio-rr ${packageVersion()}`,
    started: String(header.realStart),
    clock: header.clock,
    clock_hz: Number(header.clockHz),
    mmio: header.mmio,
    payload: 'full',
  });
  return { db, path, ring, payload: 'full' };
}

function choose(options: RecoverOptions): Unfinished {
  const from = resolve(options.cwd, options.from);
  const output = options.output === undefined ? undefined : resolve(options.cwd, options.output);
  if (!existsSync(from)) throw new TraceError('USAGE', `${options.from}: there is no such file`);
  if (!from.endsWith('.ring')) {
    if (output !== undefined && output !== from)
      throw new TraceError(
        'USAGE',
        `a trace is recovered in its place; leave out -o, or name the ring file instead of ${options.from}`,
      );
    return takeUp(from, options.ring === undefined ? undefined : resolve(options.cwd, options.ring));
  }
  readRingHeader(from);
  if (output === undefined) throw new TraceError('USAGE', 'name the trace to write with -o');
  return existsSync(output) ? takeUp(output, from) : begin(output, from);
}

export async function recover(options: RecoverOptions, io: Pick<Io, 'err' | 'onSignal'>): Promise<Recovered> {
  const { db, path, ring, payload } = choose(options);
  if (ring === null) return { path, outcome: finishDump(db, path) };
  if (!existsSync(ring)) {
    db.close();
    throw new TraceError(
      'RING',
      `the ring file ${ring} is gone (restarted host?); if it was copied, name it with --ring; ${path} keeps what was drained before`,
    );
  }
  setJournal(db, {});
  loadRings(db);
  let session: Session;
  // Process ids mean nothing after a restart, or on another machine.
  const boot = meta(db, 'boot');
  const here = typeof boot !== 'string' || boot === line('/proc/sys/kernel/random/boot_id');
  const alive = (): boolean => here && writers(db, ring, true).length > 0;
  const ahead = (): number => segmentsAhead(dirname(ring), statSync(ring).size, readRingHeader(ring).segmentSize);
  try {
    session = new Session(db, {
      path,
      ring,
      payload,
      ahead: alive() ? ahead() : 0,
      durable: false,
      flight: null,
      forgetful: true,
      said: (text) => io.err(`vfio-rr: ${text}`),
    });
  } catch (error) {
    db.close();
    throw error;
  }
  let stop = !here;
  if (alive())
    io.err('vfio-rr: the program still runs; recording goes on until it ends (Ctrl-C ends only the recording)\n');
  const release = io.onSignal(() => {
    stop = true;
  });
  try {
    await session.follow(
      () => false,
      () => stop,
    );
  } finally {
    release();
  }
  const outcome = await session.finish({ recovered: 1 });
  return { path: outcome.path, outcome };
}

/** A dump whose recorder was killed before it was finished: it has what was moved into it. */
function finishDump(db: Database.Database, path: string): Outcome {
  const losses: Loss[] = [
    { what: 'ends of dumps', count: 1, detail: 'the recorder was killed while it wrote this dump', kind: 'missed' },
  ];
  return { ...endTrace(db, losses, { recovered: 1 }, false), path, losses, waits: 0, waitNs: 0 };
}
