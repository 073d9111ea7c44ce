// The socket by which `ctl` speaks to a recorder: in a folder that only the recording user may enter, one file a recorder.
// One line of JSON each way. That nobody else may connect is the kernel's doing: folder 0700, socket 0600.

import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { TraceError } from '../schema/errors.ts';
import type { Dump } from './flight.ts';
import type { Status } from './session.ts';

export const commands = ['status', 'start', 'stop', 'mark', 'dump'] as const;
export type Command = (typeof commands)[number];

export interface Request {
  readonly command: Command;
  readonly text?: string;
}
export type Reply =
  | { readonly ok: true; readonly status?: Status; readonly dump?: Dump | null }
  | { readonly ok: false; readonly error: string };

/** What a recorder lets others do. */
export interface Controlled {
  start(): void;
  stop(): void;
  mark(text: string): void;
  dump(reason: string): Promise<Dump | null>;
  status(): Status;
}

export interface Owner {
  readonly uid: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const LINE_MAX = 1 << 16;

/** The folder of a user's recorders; it may not exist yet. Throws where it is not that user's alone. */
export function controlFolder({ uid, env }: Owner): string {
  const runtime = env.XDG_RUNTIME_DIR;
  const folder = runtime && existsSync(runtime) ? join(runtime, 'vfio-rr') : `/tmp/vfio-rr-${uid}`;
  const stat = lstatSync(folder, { throwIfNoEntry: false });
  if (stat && (!stat.isDirectory() || stat.uid !== uid || stat.mode & 0o077))
    throw new TraceError('HOST', `${folder} is not a folder of this user's alone; remove it, or set XDG_RUNTIME_DIR`);
  return folder;
}

/** Takes commands until the function that comes back is called. Without a place for the socket it records all the same. */
export async function serveControl(
  recorder: Controlled,
  { user, env, pid }: { readonly user: { readonly uid: number }; readonly env: Owner['env']; readonly pid: number },
  said: (text: string) => void,
): Promise<() => void> {
  let path: string;
  try {
    const folder = controlFolder({ uid: user.uid, env });
    mkdirSync(folder, { mode: 0o700, recursive: true });
    controlFolder({ uid: user.uid, env });
    path = join(folder, `${pid}.sock`);
    rmSync(path, { force: true });
  } catch (error) {
    said(`vfio-rr ctl cannot reach this recording: ${(error as Error).message}\n`);
    return () => {};
  }
  const server = createServer((socket) => serve(socket, recorder));
  const listening = await new Promise<boolean>((done) => {
    server.once('error', (error) => {
      said(`vfio-rr ctl cannot reach this recording: ${error.message}\n`);
      done(false);
    });
    server.listen(path, () => done(true));
  });
  if (!listening) return () => {};
  chmodSync(path, 0o600);
  server.unref();
  return () => {
    server.close();
    rmSync(path, { force: true });
  };
}

function serve(socket: Socket, recorder: Controlled): void {
  let text = '';
  socket.on('error', () => socket.destroy());
  socket.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    if (text.length > LINE_MAX) socket.destroy();
    const end = text.indexOf('\n');
    if (end < 0) return;
    const line = text.slice(0, end);
    text = '';
    void answer(line, recorder).then((reply) => socket.end(`${JSON.stringify(reply)}\n`));
  });
}

async function answer(line: string, recorder: Controlled): Promise<Reply> {
  try {
    const { command, text = '' } = JSON.parse(line) as Request;
    if (command === 'status') return { ok: true, status: recorder.status() };
    if (command === 'dump') return { ok: true, dump: await recorder.dump('ctl') };
    if (command === 'mark') recorder.mark(String(text));
    else if (command === 'start') recorder.start();
    else if (command === 'stop') recorder.stop();
    else return { ok: false, error: `there is no command ${String(command)}` };
    return { ok: true };
  } catch (error) {
    return { ok: false, error: (error as Error).message };
  }
}

/** Process ids of the user's recorders that answer; sockets that nobody listens on are removed. */
export async function recorders(owner: Owner): Promise<number[]> {
  const folder = controlFolder(owner);
  if (!existsSync(folder)) return [];
  const found: number[] = [];
  for (const file of readdirSync(folder)) {
    const pid = Number(/^(\d+)\.sock$/.exec(file)?.[1]);
    if (!pid) continue;
    if (await listens(join(folder, file))) found.push(pid);
    else rmSync(join(folder, file), { force: true });
  }
  return found.sort((a, b) => a - b);
}

function listens(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) =>
      done(!['ECONNREFUSED', 'ENOENT'].includes(error.code ?? '')),
    );
  });
}

/** Asks the recorder with that process id. */
export function ask(owner: Owner, pid: number, request: Request): Promise<Reply> {
  const path = join(controlFolder(owner), `${pid}.sock`);
  return new Promise((done, failed) => {
    let text = '';
    const gone = (why: string): void => failed(new TraceError('HOST', `the recorder ${pid} does not answer (${why})`));
    const socket = createConnection(path, () => socket.write(`${JSON.stringify(request)}\n`));
    socket.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    socket.once('error', (error) => gone(error.message));
    socket.once('close', () => {
      if (text.endsWith('\n')) done(JSON.parse(text) as Reply);
      else gone('it ended meanwhile');
    });
  });
}
