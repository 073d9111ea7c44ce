// What is asked of the target for one recorded call.

import { constants } from 'node:os';
import { wheres } from '../schema/event.ts';
import type { TraceEvent } from '../traces/event.ts';
import { planMmap, planMunmap, planRead, planStream, planWrite } from './access.ts';
import { planIoctl } from './ioctl.ts';
import type { Pieces } from './memory.ts';
import { type Planned, type Planning, type PlanOptions, pathPart, run, skip, textOf } from './planned.ts';
import { pollOf } from './poll.ts';
import { Names } from './rename.ts';
import type { Request, Slot } from './target.ts';

const noted = (before: Request[] = []): Planned => ({ kind: 'noted', before });

const F_DUPFD = 0;
const F_GETFD = 1;
const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h

/** After so many waits in vain the others get only SHORT ms. */
const VAIN = 3;
const SHORT = 100;

export class Planner implements Planning {
  readonly names = new Names();
  readonly pieces: Pieces;
  /** Open files that the replay lacks, and the event that should have made them. */
  readonly dead = new Map<number, number>();
  /** Places in regions that never come to their recorded value: not waited for again. */
  readonly restless = new Set<string>();
  readonly options: PlanOptions;
  /** Waits that ended without what was waited for. */
  vain = 0;
  readonly #ended: number[] = [];
  /** By the process that came after an exec, the one before it. */
  readonly #replaced = new Map<number, number>();
  #tag = 0;
  #stranger: Slot | undefined;

  constructor(options: PlanOptions) {
    this.options = options;
    this.pieces = options.pieces;
    for (const r of options.regions) this.names.region(options.resolve(r.handle), r.index, r.offset, r.offset);
  }

  get patience(): number {
    return this.vain < VAIN ? this.options.patience : Math.min(SHORT, this.options.patience);
  }

  own(op: Request['op'], subject: Slot, fields: Partial<Request> = {}): Request {
    this.#tag = (this.#tag + 1) % 0xffffffff;
    return { tag: this.#tag, op, subject, a: 0n, b: 0n, timeout: 0, flags: 0, parts: [], ...fields };
  }

  stranger(before: Request[]): Slot {
    if (this.#stranger === undefined) {
      this.#stranger = this.names.slot();
      before.push(this.own('open', this.#stranger, { parts: [pathPart('/dev/null')] }));
    }
    return this.#stranger;
  }

  /** The process has made its last call. Its descriptors go when the recording proves that they had gone. */
  ended(process: number): void {
    this.#ended.push(process);
  }

  plan(e: TraceEvent, looping: boolean): Planned {
    const before = this.#replace(e);
    const planned = this.#plan(e, looping);
    if (planned.kind === 'run' || planned.kind === 'noted') planned.before.unshift(...before);
    return planned;
  }

  #plan(e: TraceEvent, looping: boolean): Planned {
    // A successful exec does not return.
    if ((e.dur === null || e.ret === null) && e.op !== 'exec') return skip('never returned in the recording');
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
      case 'dma': // what the device and the program wrote; a replay's device writes its own
      case 'kvm':
        return noted();
      case 'lost':
      case 'more':
        return skip('not recorded: the trace lost something here');
      case 'poll':
        return pollOf(e, this);
      case 'munmap':
        return planMunmap(e, this);
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
        return planIoctl(e, slot, this);
      case 'pread':
      case 'load':
        return planRead(e, slot, looping, this);
      case 'pwrite':
      case 'store':
      case 'write':
        return planWrite(e, slot, this);
      case 'read':
        return planStream(e, slot, looping, this);
      case 'mmap':
        return planMmap(e, slot, this);
      case 'fcntl':
        return this.#fcntl(e, slot);
      default:
        return skip(`${e.op} is not made again`);
    }
  }

  #open(e: TraceEvent): Planned {
    const recorded = pathOf(e);
    if (recorded === null) return skip('its path was not kept');
    const own = this.options.path(recorded);
    if (own === null) return skip("its path is none of VFIO's");
    const before = (e.ret ?? -1) >= 0 ? this.reap() : [];
    const kept = (e.ret ?? -1) >= 0 && e.made !== 0;
    const slot = kept ? this.names.make(e.made) : this.names.slot();
    if (kept) before.push(...this.gone(this.names.learn(e.process, Number(e.ret), e.made)));
    const main = this.own('open', slot, { a: e.a ?? 0n, parts: [pathPart(own)] });
    if (kept) return run(main, before);
    this.names.release(slot);
    return run(main, before, [this.own('close', slot)]); // in case it succeeds here
  }

  #eventfd(e: TraceEvent): Planned {
    if ((e.ret ?? -1) < 0 || e.made === 0) return noted();
    const before = this.gone(this.names.learn(e.process, Number(e.ret), e.made));
    this.names.eventfds.add(e.made);
    const main = this.own('eventfd', this.names.make(e.made), { a: e.a ?? 0n, b: BigInt(e.length ?? 0) });
    return run(main, before);
  }

  #learn(e: TraceEvent, fd: number, handle: number): Planned {
    return noted((e.ret ?? -1) < 0 ? [] : this.gone(this.names.learn(e.process, fd, handle)));
  }

  #attach(e: TraceEvent): Planned {
    const before = this.gone(this.names.learn(e.process, e.fd, e.handle));
    if (this.names.slotOf(e.handle) === undefined && e.kind === 'eventfd') {
      this.names.eventfds.add(e.handle);
      before.push(this.own('eventfd', this.names.make(e.handle)));
    }
    return noted(before);
  }

  #pass(e: TraceEvent): Planned {
    const before: Request[] = [];
    const passed = e.memory.find((m) => m.at === wheres.ARRAY)?.bytes;
    if (!passed || (e.ret ?? -1) < 0) return noted();
    for (let i = 0; i + 8 <= passed.length; i += 8) {
      const handle = this.options.resolve(passed.readUInt32LE(i + 4));
      if (handle === 0) continue;
      if (e.op === 'sendmsg') this.names.hold(handle);
      else {
        before.push(...this.gone(this.names.learn(e.process, passed.readInt32LE(i), handle)));
        before.push(...this.gone(this.names.drop(handle)));
      }
    }
    return noted(before);
  }

  #process(e: TraceEvent): void {
    const parent = this.options.parent(e.process);
    if (parent !== undefined) this.names.fork(parent, e.process);
    const image = this.options.image(e.process);
    if (image !== undefined) this.#replaced.set(e.process, image);
  }

  /** The program that was before in a process, once the new one has told which descriptors it has kept. */
  #replace(e: TraceEvent): Request[] {
    const old = e.op === 'attach' || e.op === 'process' ? undefined : this.#replaced.get(e.process);
    if (old === undefined) return [];
    this.#replaced.delete(e.process);
    return this.names.exit(old).flatMap((h) => this.gone(h));
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
  gone(handle: number): Request[] {
    const slot = handle === 0 ? undefined : this.names.slotOf(handle);
    if (slot === undefined) return [];
    this.names.unmake(handle);
    return [this.own('close', slot)];
  }

  /** Lets go of what ended processes held. */
  reap(): Request[] {
    return this.#ended.splice(0).flatMap((p) => this.names.exit(p).flatMap((h) => this.gone(h)));
  }

  #fcntl(e: TraceEvent, slot: Slot): Planned {
    const command = Number(e.a ?? -1n);
    if (command === F_DUPFD || command === F_DUPFD_CLOEXEC) return this.#learn(e, Number(e.ret), e.handle);
    if (command === F_GETFD || command === F_SETFD) return noted(); // of the descriptor, which the replay has no twin of
    return run(this.own('fcntl', slot, { a: e.a ?? 0n, b: BigInt(e.length ?? 0) }));
  }
}

/** The path given to open(), null when it was not kept. */
export function pathOf(e: TraceEvent): string | null {
  const bytes = e.input ?? e.memory.find((m) => m.at === wheres.PATH)?.bytes;
  return bytes ? textOf(bytes) : null;
}
