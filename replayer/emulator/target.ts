// The emulator as what a replay runs against: requests whose descriptors, ids and addresses are numbered slots
// (replayer/target.ts), as the agent takes them.

import { agentFlags } from '../../schema/agent.ts';
import type { Trace } from '../../traces/trace.ts';
import type { Reply, Request, Slot, Target } from '../target.ts';
import { AddressSpaceOfCaller } from './address-space.ts';
import type { DeviceSpec } from './build.ts';
import type { Caller } from './caller.ts';
import { Emulator, type EmulatorOptions } from './emulator.ts';
import { EventCounter } from './eventfd.ts';
import { errno } from './failed.ts';
import { OpenFile, POLLIN, POLLNVAL, POLLOUT } from './file.ts';
import { profileOf } from './profiles/list.ts';
import { recordedDevices } from './recorded-devices.ts';
import { Slots } from './slots.ts';

type Open = OpenFile | EventCounter;
const POLLFD = 8; // {s32 fd, s16 events, s16 revents}
const MAP_SHARED = 1; // also a bit of MAP_SHARED_VALIDATE
const FIRST_FD = 3;
/** Longest argument room: an argsz beyond it is taken for a mistake of the recorded program. */
const ROOM_MAX = 80 << 20;
const MS = 1_000_000n;
const no = (name: string): number => -errno(name);

interface Done {
  readonly ret: number;
  readonly arg?: Buffer | null;
  readonly buffers?: ReadonlyMap<number, Buffer>;
}

export class EmulatorTarget implements Target, Caller {
  readonly hello: string;
  readonly emulator: Emulator;
  readonly process = 1;
  readonly memlock = null;
  readonly memory = new AddressSpaceOfCaller();
  private readonly slots = new Slots();
  private readonly fds = new Map<number, Open>();

  constructor(specs: readonly DeviceSpec[], options: EmulatorOptions = {}) {
    this.emulator = new Emulator(specs, options);
    const names = this.emulator.devices.map((d) => d.name).join(', ');
    this.hello = `emulator, Linux ${options.kernel ?? '6.12'}, ${names || 'no device'}`;
  }

  file(fd: number): Open | undefined {
    return this.fds.get(fd);
  }
  install(file: Open): number {
    let fd = FIRST_FD;
    while (this.fds.has(fd)) fd++;
    this.fds.set(fd, file);
    return fd;
  }

  run(batch: readonly Request[]): Promise<Reply[]> {
    return Promise.resolve(batch.map((request) => this.one(request)));
  }
  async close(): Promise<void> {
    for (const file of this.fds.values()) if (file instanceof OpenFile) this.emulator.close(file);
    this.fds.clear();
  }

  private one(request: Request): Reply {
    const began = this.emulator.now;
    const done = this.perform(request);
    this.memory.endCall();
    return {
      tag: request.tag,
      ret: done.ret,
      duration: Number(this.emulator.now - began),
      arg: done.arg ?? null,
      buffers: done.buffers ?? new Map(),
    };
  }

  private perform(q: Request): Done {
    const given = q.parts.find((p) => p.kind === 'arg')?.bytes ?? null;
    switch (q.op) {
      case 'open':
        return this.open(q, given);
      case 'eventfd':
        return this.made(q.subject, new EventCounter(q.a, Number(q.b)));
      case 'dup':
        return this.dup(q);
      case 'close':
        return this.closed(q.subject);
      case 'ioctl':
        return this.ioctl(q, given);
      case 'pread':
      case 'read':
        return this.read(q);
      case 'pwrite':
      case 'write':
        return this.write(q, given ?? Buffer.alloc(0));
      case 'mmap':
        return this.mmap(q, given);
      case 'munmap':
        return this.munmap(q);
      case 'poll':
        return this.poll(q, given);
      case 'fcntl':
        return { ret: this.slots.fd(q.subject) === undefined ? no('EBADF') : 0 };
      case 'memory':
        this.slots.set(q.subject, { kind: 'memory', range: this.memory.reserve(q.a, q.b === 1n) });
        return { ret: 0 };
      case 'free':
        return this.free(q.subject);
      case 'peek':
      case 'poke':
        return this.peekOrPoke(q, given);
      case 'sleep':
        this.emulator.advance(q.a);
        return { ret: 0 };
      case 'link':
      case 'list':
        return { ret: no('ENOENT') };
      default:
        return { ret: no('EOPNOTSUPP') };
    }
  }

  private openOf(slot: Slot): Open | undefined {
    const fd = this.slots.fd(slot);
    return fd === undefined ? undefined : this.fds.get(fd);
  }
  private made(slot: Slot, file: Open): Done {
    const fd = this.install(file);
    this.slots.set(slot, { kind: 'fd', fd });
    return { ret: fd };
  }

  private open(q: Request, path: Buffer | null): Done {
    const file = this.emulator.open(path?.toString('latin1').replace(/\0$/, '') ?? '');
    return typeof file === 'number' ? { ret: file } : this.made(q.subject, file);
  }
  private dup(q: Request): Done {
    const file = this.openOf(Number(q.a));
    if (!file) return { ret: no('EBADF') };
    if (file instanceof OpenFile) this.emulator.dup(file);
    return this.made(q.subject, file);
  }
  private closed(slot: Slot): Done {
    const fd = this.slots.fd(slot);
    const file = fd === undefined ? undefined : this.fds.get(fd);
    if (fd === undefined || !file) return { ret: no('EBADF') };
    this.slots.delete(slot);
    this.fds.delete(fd);
    if (file instanceof OpenFile) this.emulator.close(file);
    return { ret: 0 };
  }

  private ioctl(q: Request, given: Buffer | null): Done {
    const file = this.openOf(q.subject);
    if (!file) return { ret: no('EBADF') };
    const buffers = new Map<number, Buffer>();
    let arg: Buffer | null = null;
    let address = q.b;
    if (given) {
      const says = given.length >= 4 ? given.readUInt32LE() : 0;
      arg = Buffer.alloc(says > given.length && says <= ROOM_MAX ? says : given.length);
      given.copy(arg);
      const wrong = this.slots.prepare(q.parts, arg, this.memory, buffers);
      if (wrong) return { ret: no(wrong), arg: given };
      address = this.memory.pass(arg);
    }
    const ret = file instanceof OpenFile ? this.emulator.ioctl(this, file, Number(q.a), address) : no('ENOTTY');
    if (ret >= 0) this.slots.keep(q.parts, arg, ret);
    return { ret, arg: arg?.subarray(0, given?.length ?? 0) ?? null, buffers };
  }

  private read(q: Request): Done {
    const file = this.openOf(q.subject);
    if (!file) return { ret: no('EBADF') };
    if (file instanceof EventCounter) return this.readCounter(file, q);
    const length = Number(q.b);
    const got =
      q.op === 'pread' ? this.emulator.pread(this, file, length, q.a) : this.emulator.read(this, file, length);
    if (typeof got === 'number') return { ret: got };
    return q.flags & agentFlags.FAULT && got.length > 0 ? { ret: no('EFAULT') } : { ret: got.length, arg: got };
  }
  private readCounter(counter: EventCounter, q: Request): Done {
    if (q.op === 'pread') return { ret: no('ESPIPE') };
    if (q.b < 8n) return { ret: no('EINVAL') };
    if (!this.await(q.timeout, () => counter.readable, [counter]))
      return { ret: no(q.timeout ? 'ETIMEDOUT' : 'EAGAIN') };
    const bytes = counter.take();
    return { ret: bytes?.length ?? 0, arg: bytes };
  }
  /** Lets virtual time pass; devices made from a trace have their recorded interrupts when somebody waits for them. */
  private await(ms: number, done: () => boolean, counters: readonly EventCounter[]): boolean {
    if (done()) return true;
    if (ms === 0) return false;
    if (this.emulator.wait(BigInt(ms) * MS, done)) return true;
    for (const counter of counters) if (!counter.readable) this.emulator.awaited(counter);
    return done();
  }

  private write(q: Request, bytes: Buffer): Done {
    const file = this.openOf(q.subject);
    if (!file) return { ret: no('EBADF') };
    if (q.flags & agentFlags.FAULT) return { ret: no('EFAULT') };
    if (file instanceof EventCounter) {
      if (q.op === 'pwrite') return { ret: no('ESPIPE') };
      if (bytes.length < 8) return { ret: no('EINVAL') };
      return { ret: file.add(bytes.readBigUInt64LE()) ? 8 : no('EAGAIN') };
    }
    if (q.op === 'pwrite') return { ret: this.emulator.pwrite(this, file, bytes, q.a) };
    return { ret: this.emulator.write(this, file, bytes) };
  }

  private mmap(q: Request, given: Buffer | null): Done {
    const file = this.openOf(q.subject);
    if (!(file instanceof OpenFile)) return { ret: no(file ? 'ENODEV' : 'EBADF') };
    if (!given || given.length < 40) return { ret: no('EINVAL') };
    // u64 each: address, length, protection, flags, offset.
    const shared = (given.readBigUInt64LE(24) & BigInt(MAP_SHARED)) !== 0n;
    const request = { length: given.readBigUInt64LE(8), offset: given.readBigUInt64LE(32), shared };
    const mapping = this.emulator.mmap(this, file, request);
    if (typeof mapping === 'number') return { ret: mapping };
    const kept = q.parts.find((p) => p.kind === 'keepMemory');
    if (kept && 'slot' in kept) this.slots.set(kept.slot, { kind: 'memory', range: this.memory.map(mapping) });
    return { ret: 0 };
  }
  private munmap(q: Request): Done {
    const range = this.slots.range(q.subject);
    if (!range || q.a > range.length) return { ret: no('EFAULT') };
    return q.a === 0n && q.b >= range.length ? this.free(q.subject) : { ret: 0 };
  }
  private free(slot: Slot): Done {
    const range = this.slots.range(slot);
    if (!range) return { ret: no('EFAULT') };
    this.slots.delete(slot);
    this.memory.free(range);
    return { ret: 0 };
  }
  private peekOrPoke(q: Request, given: Buffer | null): Done {
    const range = this.slots.range(q.subject);
    if (!range) return { ret: no('EFAULT') };
    const address = range.start + q.a;
    if (q.op === 'poke') {
      const bytes = given ?? Buffer.alloc(0);
      return { ret: this.memory.write(address, bytes) ? bytes.length : no('EFAULT') };
    }
    const bytes = this.memory.read(address, Number(q.b));
    return bytes ? { ret: bytes.length, arg: bytes } : { ret: no('EFAULT') };
  }

  private poll(q: Request, given: Buffer | null): Done {
    if (!given) return { ret: no('EFAULT') };
    const fds = Buffer.from(given);
    this.slots.prepare(q.parts, fds, this.memory, new Map());
    const places = Array.from({ length: Math.floor(fds.length / POLLFD) }, (_, i) => i * POLLFD);
    const look = (): boolean => {
      for (const at of places) fds.writeInt16LE(this.ready(fds.readInt32LE(at), fds.readInt16LE(at + 4)), at + 6);
      return places.every((at) => {
        const awaited = given.readInt16LE(at + 6);
        return (fds.readInt16LE(at + 6) & awaited) === awaited;
      });
    };
    const counters = places.map((at) => this.fds.get(fds.readInt32LE(at))).filter((f) => f instanceof EventCounter);
    this.await(q.timeout, look, counters);
    look();
    return { ret: places.filter((at) => fds.readInt16LE(at + 6) !== 0).length, arg: fds };
  }
  private ready(fd: number, events: number): number {
    if (fd < 0) return 0;
    const file = this.fds.get(fd);
    if (!file) return POLLNVAL;
    if (file instanceof EventCounter) return events & ((file.readable ? POLLIN : 0) | POLLOUT);
    return this.emulator.poll(file, events);
  }
}

/**
 * `profile`: NAME[,OPTION=VALUE]… for every device of the trace; `recorded`: each as the trace describes it; undefined:
 * the built-in device that describes itself as the trace's does, and where there is none, as the trace describes it.
 */
export async function openEmulator(profile: string | undefined, trace: Trace): Promise<Target> {
  const own = profile === 'recorded';
  const { specs, options } = recordedDevices(trace, profile === undefined || own ? undefined : profileOf(profile), own);
  return new EmulatorTarget(specs, options);
}
