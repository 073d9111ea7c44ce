// An unmodified qemu-system-x86_64 with an emulated device through `vfio-rr play`, steered over QMP; guest memory and
// device registers are reached through its gdb stub.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { asOrdinary } from './ordinary.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Version of the installed QEMU, "" when there is none. */
export function qemuVersion(): string {
  const { stdout } = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' });
  return /version (\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1] ?? '';
}

async function connected(path: string, gone: () => boolean, seconds = 60): Promise<Socket> {
  for (let i = 0; i < seconds * 20 && !gone(); i++) {
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch {
      await sleep(50);
    }
  }
  throw new Error(`nobody listens at ${path}`);
}

/** Builds a guest.S: the migrated one unless told otherwise. */
export function buildGuest(dir: string, source = 'test/play/guest.S'): string {
  const elf = join(dir, 'guest.elf');
  const flags = ['-m32', '-nostdlib', '-static', '-Wl,-Ttext=0x100000,--build-id=none'];
  const { status, stderr } = spawnSync('gcc', [...flags, '-o', elf, join(root, source)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${source}: ${stderr}`);
  return elf;
}

/** Splits what comes from a socket at `end` and hands out a piece at a time; null: it was closed. */
class Pieces {
  private text = '';
  private closed = false;
  private wake = (): void => {};
  private readonly end: RegExp;
  constructor(socket: Socket, end: RegExp) {
    this.end = end;
    socket.on('data', (d) => {
      this.text += d.toString('latin1');
      this.wake();
    });
    const close = (): void => {
      this.closed = true;
      this.wake();
    };
    socket.on('close', close);
    socket.on('error', close);
  }
  async next(): Promise<string | null> {
    for (;;) {
      const found = this.end.exec(this.text);
      if (found) {
        const piece = this.text.slice(0, found.index + found[0].length);
        this.text = this.text.slice(piece.length);
        return piece;
      }
      if (this.closed) return null;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

interface Bar {
  readonly bar: number;
  readonly address: number;
}

export class Qemu {
  readonly child: ChildProcess;
  private readonly dir: string;
  private readonly name: string;
  private qmp: { socket: Socket; pieces: Pieces } | undefined;
  private said = '';
  private readonly ended: Promise<number | null>;

  /** Without root. `options`: of `vfio-rr play`; `more`: of QEMU; `dir` becomes its. */
  constructor(dir: string, name: string, options: readonly string[], device: string, more: readonly string[] = []) {
    this.dir = dir;
    this.name = name;
    const machine = ['-M', 'pc,accel=tcg', '-m', '64', '-nodefaults', '-display', 'none', '-device', device];
    const control = [
      '-qmp',
      `unix:${this.socket('qmp')},server,nowait`,
      '-gdb',
      `unix:${this.socket('gdb')},server,nowait`,
    ];
    const play = ['--import', 'tsx', 'cli.ts', 'play', ...options, '--', 'qemu-system-x86_64'];
    this.child = spawn(process.execPath, [...play, ...machine, ...control, ...more], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...asOrdinary(dir),
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (d: Buffer) => {
        this.said += d.toString();
      });
    this.ended = new Promise((resolve) => this.child.on('close', resolve));
  }

  private socket(what: string): string {
    return join(this.dir, `${this.name}.${what}`);
  }
  get output(): string {
    return this.said;
  }
  private get gone(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Undefined: it ended meanwhile. */
  async command(execute: string, args: object = {}): Promise<Record<string, unknown> | undefined> {
    if (!this.qmp) {
      const socket = await connected(this.socket('qmp'), () => this.gone);
      this.qmp = { socket, pieces: new Pieces(socket, /\r?\n/) };
      await this.qmp.pieces.next(); // greeting
      await this.exchange('qmp_capabilities', {});
    }
    return this.exchange(execute, args);
  }
  private async exchange(execute: string, args: object): Promise<Record<string, unknown> | undefined> {
    const { socket, pieces } = this.qmp as { socket: Socket; pieces: Pieces };
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (let line = await pieces.next(); line !== null; line = await pieces.next()) {
      const reply = JSON.parse(line) as { event?: string; error?: { desc: string }; return?: Record<string, unknown> };
      if (reply.event !== undefined) continue;
      if (reply.error) throw new Error(`${execute}: ${reply.error.desc}`);
      return reply.return;
    }
    return undefined;
  }

  /** A word of guest memory, without stopping the machine. */
  async word(address: number): Promise<number> {
    const said = await this.command('human-monitor-command', { 'command-line': `xp /1xw ${address}` });
    return Number(/: (0x[0-9a-f]+)/.exec(String(said))?.[1] ?? Number.NaN);
  }

  /** Guest-physical addresses of the BARs of PCI device `vendor:device`, once the firmware has placed them. */
  async bars(vendor: number, device: number): Promise<Bar[]> {
    for (let i = 0; i < 200; i++) {
      const buses = (await this.command('query-pci')) as unknown as {
        devices: { id: { vendor: number; device: number }; regions: { bar: number; address: number }[] }[];
      }[];
      const found = buses.flatMap((b) => b.devices).find((d) => d.id.vendor === vendor && d.id.device === device);
      const placed = (found?.regions ?? []).filter((r) => r.address > 0);
      if (placed.length > 0) return placed;
      await sleep(100);
    }
    throw new Error('the firmware has not placed the BARs');
  }

  /** Stops the machine for `work` on its memory through the gdb stub, then lets it go on. */
  async stopped<T>(work: (packet: (text: string) => Promise<string>) => Promise<T>): Promise<T> {
    const socket = await connected(this.socket('gdb'), () => this.gone);
    const pieces = new Pieces(socket, /#[0-9a-f]{2}/);
    const packet = async (text: string): Promise<string> => {
      const sum = [...Buffer.from(text)].reduce((n, b) => (n + b) & 0xff, 0);
      socket.write(`$${text}#${sum.toString(16).padStart(2, '0')}`);
      for (;;) {
        const answer = /\$([^#]*)#/.exec((await pieces.next()) ?? '')?.[1];
        if (answer === undefined) throw new Error('the gdb stub is gone');
        socket.write('+');
        if (text === '?' || !answer.startsWith('T')) return answer; // else that the machine has stopped, once more
      }
    };
    try {
      await packet('?');
      return await work(packet);
    } finally {
      await packet('D').catch(() => {});
      socket.destroy();
    }
  }
  async peek(address: number, length: number): Promise<Buffer> {
    const hex = await this.stopped((packet) => packet(`m${address.toString(16)},${length.toString(16)}`));
    return Buffer.from(hex, 'hex');
  }
  /**
   * Migrates to `uri`; the final status ("gone": QEMU ended; with what it knows of it: "unfinished"). On a loaded host
   * the pages dirtied meanwhile may never fit into the default downtime (0.3 s at the rate measured), so it is raised
   * after a quarter of the time, as an administrator would.
   */
  async migrate(uri: string, seconds = 120): Promise<string> {
    await this.command('migrate', { uri });
    return this.migrated(seconds, seconds / 4);
  }

  /** Until the migration has ended, as its source or its destination sees it. */
  async migrated(seconds = 60, patience = seconds): Promise<string> {
    let info: Record<string, unknown> | undefined;
    const start = Date.now();
    for (let isRaised = false; Date.now() - start < seconds * 1000; await sleep(50)) {
      info = await this.command('query-migrate').catch(() => undefined);
      if (!info) return 'gone';
      if (['completed', 'failed', 'cancelled'].includes(String(info.status))) return String(info.status);
      if (isRaised || Date.now() - start < patience * 1000) continue;
      await this.command('migrate-set-parameters', { 'downtime-limit': 10_000 });
      isRaised = true;
    }
    return `unfinished: ${JSON.stringify(info)}`;
  }

  /** Ends it: exit code of `vfio-rr play`. */
  async quit(): Promise<number | null> {
    await this.command('quit').catch(() => undefined);
    this.qmp?.socket.destroy();
    return this.end();
  }
  async end(seconds = 30): Promise<number | null> {
    const timer = setTimeout(() => this.child.kill('SIGTERM'), seconds * 1000);
    const code = await this.ended;
    clearTimeout(timer);
    return code;
  }
}
