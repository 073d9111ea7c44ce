// What is asked of the target for one recorded call.

import { constants } from 'node:os';
import { agentFlags } from '../schema/agent.ts';
import { vfio_device_bind_iommufd } from '../schema/device.ts';
import { wheres } from '../schema/event.ts';
import { fieldOf } from '../schema/layout.ts';
import type { TraceEvent } from '../traces/event.ts';
import { argumentOf, keepParts, type Setting } from './argument.ts';
import type { Pieces } from './memory.ts';
import { pollOf } from './poll.ts';
import { Names } from './rename.ts';
import type { Part, Request, Slot } from './target.ts';

export type Planned =
  /** Requests of the replay's own stand around the one that is the call. */
  | { readonly kind: 'run'; readonly before: Request[]; readonly main: Request; readonly after: Request[] }
  /** Nothing to ask: the call only gave a descriptor another number, or passed one on. */
  | { readonly kind: 'noted'; readonly before: Request[] }
  | { readonly kind: 'skipped'; readonly why: string }
  /** Its descriptor does not exist, because the call that made it went otherwise than recorded. */
  | { readonly kind: 'consequence'; readonly of: number };

export interface PlanOptions {
  readonly pieces: Pieces;
  /** Path that stands for a recorded one. */
  path(recorded: string, e: TraceEvent): string;
  /** Name of a device that stands for a recorded one (VFIO_GROUP_GET_DEVICE_FD). */
  device(recorded: string): string;
  /** Process that a process was forked from. */
  parent(process: number): number | undefined;
  /** Where a region began in the recording. */
  regions: Iterable<{ readonly handle: number; readonly index: number; readonly offset: bigint }>;
  /** Open file that a number stands for (aliases). */
  resolve(handle: number): number;
  /** Make calls that the schema does not know. */
  readonly raw: boolean;
  /** ms that a wait (eventfd, poll) may take. */
  readonly patience: number;
  /** ms in which a register may come to its recorded value; 0: it must have it at once. */
  readonly settle: number;
}

const run = (main: Request, before: Request[] = [], after: Request[] = []): Planned => ({
  kind: 'run',
  before,
  main,
  after,
});
const skip = (why: string): Planned => ({ kind: 'skipped', why });
const noted = (before: Request[] = []): Planned => ({ kind: 'noted', before });

const F_DUPFD = 0;
const F_GETFD = 1;
const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h
const SETTLE_BYTES = 64;

export class Planner implements Setting {
  readonly names = new Names();
  readonly pieces: Pieces;
  /** Open files that the replay lacks, and the event that should have made them. */
  readonly dead = new Map<number, number>();
  /** Places in regions that never come to their recorded value: not waited for again. */
  readonly restless = new Set<string>();
  readonly #options: PlanOptions;
  readonly #ended: number[] = [];
  #tag = 0;
  #stranger: Slot | undefined;

  constructor(options: PlanOptions) {
    this.#options = options;
    this.pieces = options.pieces;
    for (const r of options.regions) this.names.region(options.resolve(r.handle), r.index, r.offset, r.offset);
  }

  own(op: Request['op'], subject: Slot, fields: Partial<Request> = {}): Request {
    this.#tag = (this.#tag + 1) % 0xffffffff;
    return { tag: this.#tag, op, subject, a: 0n, b: 0n, timeout: 0, flags: 0, parts: [], ...fields };
  }

  stranger(before: Request[]): Slot {
    if (this.#stranger === undefined) {
      this.#stranger = this.names.slot();
      before.push(this.own('open', this.#stranger, { parts: [path('/dev/null')] }));
    }
    return this.#stranger;
  }

  /** The process has made its last call. Its descriptors go when the recording proves that they had gone. */
  ended(process: number): void {
    this.#ended.push(process);
  }

  plan(e: TraceEvent, looping: boolean): Planned {
    if (e.dur === null || e.ret === null) return skip('never returned in the recording');
    switch (e.op) {
      case 'open':
        return this.#open(e);
      case 'eventfd':
        return this.#eventfd(e);
      case 'close':
        return this.#close(e);
      case 'dup':
        return this.#learn(e, Number(e.ret), e.handle || e.made);
      case 'attach':
        return this.#attach(e);
      case 'recvmsg':
      case 'sendmsg':
        return this.#pass(e);
      case 'fork':
      case 'exec':
        return noted();
      case 'process':
        this.#process(e);
        return noted();
      case 'mprotect':
        return noted();
      case 'lost':
      case 'more':
        return skip('not recorded: the trace lost something here');
      case 'poll':
        return pollOf(e, this, this.#options.patience);
      case 'munmap':
        return this.#munmap(e);
      default:
        return this.#onDescriptor(e, looping);
    }
  }

  #onDescriptor(e: TraceEvent, looping: boolean): Planned {
    const made = this.dead.get(e.handle);
    if (made !== undefined) return { kind: 'consequence', of: made };
    const slot = this.names.slotOf(e.handle);
    if (slot === undefined) {
      if (e.ret === -constants.errno.EBADF) return noted();
      return skip('its descriptor was open before the recording began');
    }
    switch (e.op) {
      case 'ioctl':
        return this.#ioctl(e, slot);
      case 'pread':
      case 'load':
        return run(this.#read(e, slot, looping));
      case 'pwrite':
      case 'store':
      case 'write':
        return this.#write(e, slot);
      case 'read':
        return this.#stream(e, slot);
      case 'mmap':
        return this.#mmap(e, slot);
      case 'fcntl':
        return this.#fcntl(e, slot);
      default:
        return skip(`${e.op} is not made again`);
    }
  }

  #open(e: TraceEvent): Planned {
    const recorded = pathOf(e);
    if (recorded === null) return skip('its path was not kept');
    const before = (e.ret ?? -1) >= 0 ? this.#reap() : [];
    const kept = (e.ret ?? -1) >= 0 && e.made !== 0;
    const slot = kept ? this.names.make(e.made) : this.names.slot();
    if (kept) before.push(...this.#gone(this.names.learn(e.process, Number(e.ret), e.made)));
    const main = this.own('open', slot, { a: e.a ?? 0n, parts: [path(this.#options.path(recorded, e))] });
    if (kept) return run(main, before);
    this.names.release(slot);
    return run(main, before, [this.own('close', slot)]); // in case it succeeds here
  }

  #eventfd(e: TraceEvent): Planned {
    if ((e.ret ?? -1) < 0 || e.made === 0) return noted();
    const before = this.#gone(this.names.learn(e.process, Number(e.ret), e.made));
    const main = this.own('eventfd', this.names.make(e.made), { a: e.a ?? 0n, b: BigInt(e.length ?? 0) });
    return run(main, before);
  }

  #learn(e: TraceEvent, fd: number, handle: number): Planned {
    return noted((e.ret ?? -1) < 0 ? [] : this.#gone(this.names.learn(e.process, fd, handle)));
  }

  #attach(e: TraceEvent): Planned {
    const before = this.#gone(this.names.learn(e.process, e.fd, e.handle));
    if (this.names.slotOf(e.handle) === undefined && e.kind === 'eventfd')
      before.push(this.own('eventfd', this.names.make(e.handle)));
    return noted(before);
  }

  #pass(e: TraceEvent): Planned {
    const before: Request[] = [];
    const passed = e.memory.find((m) => m.at === wheres.ARRAY)?.bytes;
    if (!passed || (e.ret ?? -1) < 0) return noted();
    for (let i = 0; i + 8 <= passed.length; i += 8) {
      const handle = this.#options.resolve(passed.readUInt32LE(i + 4));
      if (handle === 0) continue;
      if (e.op === 'sendmsg') this.names.hold(handle);
      else {
        before.push(...this.#gone(this.names.learn(e.process, passed.readInt32LE(i), handle)));
        before.push(...this.#gone(this.names.drop(handle)));
      }
    }
    return noted(before);
  }

  #process(e: TraceEvent): void {
    const parent = this.#options.parent(e.process);
    if (parent !== undefined) this.names.fork(parent, e.process);
  }

  #close(e: TraceEvent): Planned {
    if ((e.ret ?? -1) < 0) return noted();
    const handle = this.names.forget(e.process, e.fd, e.handle);
    const slot = handle === 0 ? undefined : this.names.slotOf(handle);
    if (slot === undefined) return noted();
    this.names.unmake(handle);
    const made = this.dead.get(handle);
    if (made !== undefined) return { kind: 'consequence', of: made };
    return run(this.own('close', slot));
  }

  /** Closes what nothing refers to any more. */
  #gone(handle: number): Request[] {
    const slot = handle === 0 ? undefined : this.names.slotOf(handle);
    if (slot === undefined) return [];
    this.names.unmake(handle);
    return [this.own('close', slot)];
  }

  #reap(): Request[] {
    return this.#ended.splice(0).flatMap((p) => this.names.exit(p).flatMap((h) => this.#gone(h)));
  }

  #ioctl(e: TraceEvent, slot: Slot): Planned {
    const a = BigInt(e.request ?? 0);
    const arg = e.call?.arg;
    if ((!arg || arg.kind === 'raw') && !this.#options.raw)
      return skip('the schema does not know the call; --raw makes it all the same');
    if (!arg || arg.kind === 'raw') {
      const parts: Part[] = e.input ? [{ kind: 'arg', bytes: e.input }] : [];
      return run(this.own('ioctl', slot, { a, b: e.a ?? 0n, parts }));
    }
    if (arg.kind === 'none' || arg.kind === 'value')
      return this.#called(e, this.own('ioctl', slot, { a, b: e.a ?? 0n }));
    const input = e.input;
    if (!input) {
      if (e.ret === -constants.errno.EFAULT) return run(this.own('ioctl', slot, { a }));
      return skip('its argument was not kept');
    }
    if (arg.kind === 'string') {
      const name = textOf(input);
      return this.#called(e, this.own('ioctl', slot, { a, parts: [path(this.#options.device(name))] }));
    }
    const layout =
      arg.kind === 'struct'
        ? arg.layout
        : ({
            kind: 'struct',
            name: '',
            size: 4,
            tails: [],
            fields: [{ ...arg.field, name: 'value', at: 0, size: 4 }],
          } as const);
    const { before, parts } = argumentOf(e, layout, input, this);
    return this.#called(e, this.own('ioctl', slot, { a, parts }), before);
  }

  /** The call, with what it hands out kept. */
  #called(e: TraceEvent, main: Request, before: Request[] = []): Planned {
    if ((e.ret ?? -1) < 0) return run(main, before);
    const bound =
      e.call?.name === 'VFIO_DEVICE_BIND_IOMMUFD' && e.input
        ? e.input.readInt32LE(fieldOf(vfio_device_bind_iommufd, 'iommufd').at)
        : -1;
    if (bound >= 0) {
      before.unshift(...this.#reap());
      this.names.iommufds.set(e.handle, this.names.handleOf(e.process, bound));
    }
    const { parts, made } = keepParts(e, this.names);
    if (made) before.push(...this.#gone(this.names.learn(e.process, made.fd, e.made)));
    return run({ ...main, parts: [...main.parts, ...parts] }, before);
  }

  #read(e: TraceEvent, slot: Slot, looping: boolean): Request {
    const a = this.names.fileOffset(e.handle, e.region, e.a ?? 0n);
    const b = BigInt(e.length ?? 0);
    const awaited = this.#options.settle > 0 && !looping && (e.ret ?? 0) > 0 ? e.output : null;
    if (!awaited || awaited.length > SETTLE_BYTES || this.restless.has(placeOf(e)))
      return this.own('pread', slot, { a, b });
    const parts: Part[] = [{ kind: 'arg', bytes: awaited }];
    return this.own('pread', slot, { a, b, timeout: this.#options.settle, flags: agentFlags.UNTIL, parts });
  }

  #write(e: TraceEvent, slot: Slot): Planned {
    const bytes = e.input;
    if (!bytes || (e.length !== null && bytes.length < e.length && e.ret !== -constants.errno.EFAULT))
      return skip('its bytes were not kept');
    const parts: Part[] = [{ kind: 'arg', bytes }];
    if (e.op === 'write') return run(this.own('write', slot, { b: BigInt(bytes.length), parts }));
    const a = this.names.fileOffset(e.handle, e.region, e.a ?? 0n);
    return run(this.own('pwrite', slot, { a, b: BigInt(bytes.length), parts }));
  }

  #stream(e: TraceEvent, slot: Slot): Planned {
    if (e.ret === -constants.errno.EINTR) return skip('a signal ended it');
    const timeout = (e.ret ?? 0) > 0 ? this.#options.patience : 0;
    return run(this.own('read', slot, { b: BigInt(e.length ?? 0), timeout }));
  }

  #mmap(e: TraceEvent, slot: Slot): Planned {
    const given = e.memory.find((m) => m.at === wheres.ARRAY)?.bytes;
    if (!given || given.length < 40) return skip('its arguments were not kept');
    const bytes = Buffer.from(given.subarray(0, 40));
    const file = this.names.moved(e.handle, e.region, bytes.readBigUInt64LE(32));
    bytes.writeBigUInt64LE(file, 32);
    const length = bytes.readBigUInt64LE(8);
    const kept = this.names.slot();
    if ((e.ret ?? -1) >= 0)
      this.names.windows.push({ process: e.process, address: BigInt(e.ret ?? 0), length, slot: kept });
    const parts: Part[] = [
      { kind: 'arg', bytes },
      { kind: 'keepMemory', at: 'ret', slot: kept },
    ];
    return run(this.own('mmap', slot, { a: file, b: length, parts }));
  }

  #munmap(e: TraceEvent): Planned {
    const [from, length] = [e.a ?? 0n, BigInt(e.length ?? 0)];
    const i = this.names.windows.findIndex(
      (w) => w.process === e.process && from >= w.address && from < w.address + w.length,
    );
    const w = this.names.windows[i];
    if (!w || (e.ret ?? -1) < 0) return noted();
    if (from === w.address && length >= w.length) this.names.windows.splice(i, 1);
    return run(this.own('munmap', w.slot, { a: from - w.address, b: length }));
  }

  #fcntl(e: TraceEvent, slot: Slot): Planned {
    const command = Number(e.a ?? -1n);
    if (command === F_DUPFD || command === F_DUPFD_CLOEXEC) return this.#learn(e, Number(e.ret), e.handle);
    if (command === F_GETFD || command === F_SETFD) return noted(); // of the descriptor, which the replay has no twin of
    return run(this.own('fcntl', slot, { a: e.a ?? 0n, b: BigInt(e.length ?? 0) }));
  }
}

const path = (text: string): Part => ({ kind: 'arg', bytes: Buffer.from(`${text}\0`, 'latin1') });

const textOf = (bytes: Buffer): string => bytes.toString('latin1').split('\0', 1)[0] ?? '';

/** The path given to open(), null when it was not kept. */
export function pathOf(e: TraceEvent): string | null {
  const bytes = e.input ?? e.memory.find((m) => m.at === wheres.PATH)?.bytes;
  return bytes ? textOf(bytes) : null;
}

/** Names a place in a region, for what is known of it over many calls. */
export const placeOf = (e: TraceEvent): string => `${e.handle}:${e.region}:${e.a}:${e.length}`;
