// Answers the calls of played processes, one at a time.

import { closeSync, existsSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fdKinds } from '../../schema/kinds.ts';
import { PLAY_INLINE_MAX, PLAY_SIGNALS_MAX, PLAY_VERSION, playFlags, playOps } from '../../schema/play.ts';
import type { Eventfd } from '../emulator/caller.ts';
import { errno, Failed } from '../emulator/failed.ts';
import type { OpenFile } from '../emulator/file.ts';
import type { Mapping, Ram, Store } from '../emulator/region.ts';
import { type Answer, type Asked, Channel } from './channel.ts';
import type { Caller, Machine } from './machine.ts';
import { PlayedProcess } from './process.ts';

const MAP_SHARED = 1;

/** Device memory in a file that the program maps: both see the same page-cache pages. */
class FileStore implements Store {
  private readonly fd: number;
  constructor(path: string, size: number) {
    this.fd = openSync(path, 'w+', 0o600);
    ftruncateSync(this.fd, size);
  }
  read(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(this.fd, bytes, 0, length, at);
    return bytes;
  }
  write(at: number, bytes: Uint8Array): void {
    writeSync(this.fd, bytes, 0, bytes.length, at);
  }
  close(): void {
    closeSync(this.fd);
  }
}

export interface PlayCounts {
  readonly calls: number;
  readonly processes: number;
}

export class PlayServer {
  private readonly dir: string;
  private readonly machine: Machine;
  private readonly channel: Channel;
  private readonly memlock: bigint | null;
  private readonly processes = new Map<number, PlayedProcess>();
  private readonly files = new Map<number, OpenFile>();
  private readonly handles = new Map<OpenFile, number>();
  /** Handles that were put into a message and perhaps are in flight. */
  private readonly flying = new Set<number>();
  /** Trapped mappings of a device, which hold its open file as the kernel's do. */
  private readonly mappings = new Map<number, number>();
  private nextHandle = 1;
  private readonly rams = new Map<Ram, { id: number; store: FileStore }>();
  /** Eventfds to signal, by process; `waits`: who stands ready to take them. */
  private readonly signals = new Map<number, number[]>();
  private readonly waits = new Map<number, Asked>();
  private calls = 0;
  private seen = 0;

  constructor(dir: string, machine: Machine, memlock: bigint | null = null) {
    this.dir = dir;
    this.machine = machine;
    this.memlock = memlock;
    this.channel = new Channel(dir);
  }

  /** Answers until the `end` request. `served`: called after each request, with whether virtual time may go on. */
  run(served: (waiting: boolean) => void): PlayCounts {
    for (let q = this.channel.next(); q.op !== playOps.end; q = this.channel.next()) {
      this.serve(q);
      served(this.machine.waiting);
    }
    for (const { store } of this.rams.values()) store.close();
    this.channel.close();
    return { calls: this.calls, processes: this.seen };
  }

  private serve(q: Asked): void {
    switch (q.op) {
      case playOps.tick:
        this.machine.idle();
        break;
      case playOps.hello:
        this.hello(q);
        return;
      case playOps.wait:
        this.waits.set(q.pid, q);
        break;
      default:
        this.calls++;
        this.channel.answer(q, this.withSignals(q, this.attempt(q)));
    }
    this.flush();
  }

  private hello(q: Asked): void {
    this.channel.welcome(q);
    if (q.c === 1n || !this.processes.has(q.pid)) {
      this.processes.get(q.pid)?.memory.close();
      this.processes.delete(q.pid);
      const process = PlayedProcess.of(q.pid, this.dir);
      if (!process) {
        this.channel.answer(q, { ret: -errno('EPERM') });
        return;
      }
      this.processes.set(q.pid, process);
      this.machine.began(q.pid);
      this.seen++;
    }
    if (this.channel.threads > 64) this.channel.prune((pid, tid) => existsSync(`/proc/${pid}/task/${tid}`));
    this.channel.answer(q, { ret: q.a === BigInt(PLAY_VERSION) ? 0 : -errno('EPROTO') });
  }

  private attempt(q: Asked): Answer {
    try {
      return this.perform(q);
    } catch (error) {
      if (error instanceof Failed) return { ret: -error.errno };
      throw error;
    }
  }

  private perform(q: Asked): Answer {
    const process = this.processes.get(q.pid);
    if (!process) return { ret: -errno('EIO') };
    switch (q.op) {
      case playOps.open:
        return {
          ret: this.machine.open(this.caller(q, process), q.data.toString('utf8', 0, q.data.length - 1), Number(q.a)),
        };
      case playOps.close:
        this.closed(q.handle);
        return { ret: 0 };
      case playOps.unmap:
        this.unmapped(q.handle);
        return { ret: 0 };
      case playOps.sent:
        this.flying.add(q.handle);
        return { ret: 0 };
      default:
        return this.onFile(q, process);
    }
  }

  private onFile(q: Asked, process: PlayedProcess): Answer {
    const file = this.files.get(q.handle);
    if (!file) return { ret: -errno('EBADF') };
    const caller = this.caller(q, process);
    switch (q.op) {
      case playOps.ioctl:
        return { ret: this.machine.ioctl(caller, file, Number(q.a), q.b) };
      case playOps.pread:
        return got(q, process, this.machine.pread(caller, file, Number(q.b), q.a));
      case playOps.read:
        return got(q, process, this.machine.read(caller, file, Number(q.b)));
      case playOps.pwrite:
        return { ret: this.machine.pwrite(caller, file, given(q, process), q.a) };
      case playOps.write:
        return { ret: this.machine.write(caller, file, given(q, process)) };
      case playOps.mmap:
        return this.mapped(
          q.handle,
          this.machine.mmap(caller, file, {
            length: q.b,
            offset: q.a,
            shared: ((q.c >> 32n) & 3n) === BigInt(MAP_SHARED),
          }),
        );
      default:
        return { ret: -errno('ENOSYS') };
    }
  }

  private mapped(handle: number, m: Mapping | number): Answer {
    if (typeof m === 'number') return { ret: m };
    if (!m.ram) {
      this.mappings.set(handle, (this.mappings.get(handle) ?? 0) + 1);
      return { ret: 0, flags: playFlags.TRAP };
    }
    return { ret: m.ram.start, handle: this.ramFile(m.ram.memory) };
  }

  private ramFile(ram: Ram): number {
    const known = this.rams.get(ram);
    if (known) return known.id;
    const id = this.rams.size + 1;
    const store = new FileStore(join(this.dir, 'ram', `${id}`), ram.size);
    ram.moveTo(store);
    this.rams.set(ram, { id, store });
    return id;
  }

  private caller(q: Asked, process: PlayedProcess): Caller {
    return {
      process: q.pid,
      thread: `${q.pid}.${q.tid}`,
      memory: process.memory,
      memlock: this.memlock,
      file: (fd) => {
        const held = process.held(fd);
        if (held?.kind === 'played') return this.files.get(held.handle) ?? 'foreign';
        if (held?.kind === 'eventfd') return this.eventfd(q.pid, fd);
        return held ? 'foreign' : undefined;
      },
      install: (file) => this.install(q, file),
    };
  }

  private eventfd(pid: number, fd: number): Eventfd {
    return {
      kind: 'eventfd',
      signal: () => {
        const waiting = this.signals.get(pid);
        if (waiting) waiting.push(fd);
        else this.signals.set(pid, [fd]);
      },
    };
  }

  private install(q: Asked, file: OpenFile): number {
    const handle = this.nextHandle++;
    this.channel.answer(q, { ret: 0, flags: playFlags.INSTALL, kind: fdKinds[file.kind], handle });
    const fd = this.channel.installed(q);
    if (fd < 0) return fd;
    this.files.set(handle, file);
    this.handles.set(file, handle);
    return fd;
  }

  /** A descriptor of `handle` is gone: the last one releases the open file. */
  private closed(handle: number): void {
    const file = this.files.get(handle);
    if (!file) return;
    let held = false;
    for (const [pid, process] of this.processes) {
      if (!process.alive) {
        process.memory.close();
        this.processes.delete(pid);
      } else if (process.handles().has(handle)) {
        held = true;
        this.flying.delete(handle); // whoever got it has it now
      }
    }
    if (held || this.flying.has(handle) || this.mappings.get(handle)) return;
    this.files.delete(handle);
    this.handles.delete(file);
    file.put();
  }

  private unmapped(handle: number): void {
    const left = (this.mappings.get(handle) ?? 1) - 1;
    this.mappings.set(handle, left);
    if (left === 0) this.closed(handle);
  }

  private withSignals(q: Asked, a: Answer): Answer {
    const due = this.signals.get(q.pid);
    if (!due) return a;
    const now = due.splice(0, PLAY_SIGNALS_MAX);
    if (due.length === 0) this.signals.delete(q.pid);
    return { ...a, signals: now };
  }

  /** Hands what is left to the threads that wait for it. */
  private flush(): void {
    if (this.signals.size === 0) return;
    for (const pid of [...this.signals.keys()]) {
      const wait = this.waits.get(pid);
      if (!wait) continue;
      this.waits.delete(pid);
      this.channel.answer(wait, this.withSignals(wait, { ret: 0 }));
    }
  }
}

function got(q: Asked, process: PlayedProcess, bytes: Buffer | number): Answer {
  if (typeof bytes === 'number') return { ret: bytes };
  if (bytes.length <= PLAY_INLINE_MAX) return { ret: bytes.length, data: bytes };
  return { ret: process.memory.write(q.c, bytes) ? bytes.length : -errno('EFAULT') };
}

function given(q: Asked, process: PlayedProcess): Buffer {
  if (q.data.length > 0 || q.b === 0n) return q.data;
  const bytes = process.memory.read(q.c, Number(q.b));
  if (!bytes) throw new Failed(errno('EFAULT'));
  return bytes;
}
