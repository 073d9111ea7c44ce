// The server's end of the play transport (schema/play.ts): requests in, replies out, all synchronous.

import { closeSync, constants, existsSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fieldOf } from '../../schema/layout.ts';
import { play_reply, play_request, playOps } from '../../schema/play.ts';
import { errno } from '../emulator/failed.ts';

const at = Object.fromEntries(play_request.fields.map((f) => [f.name, f.at])) as Record<string, number>;
const offset = (name: string): number => at[name] as number;
const placeOf = {
  op: offset('op'),
  pid: offset('pid'),
  tid: offset('tid'),
  seq: offset('seq'),
  handle: offset('handle'),
  fd: offset('fd'),
  a: offset('a'),
  b: offset('b'),
  c: offset('c'),
};
const replyAt = {
  seq: fieldOf(play_reply, 'seq').at,
  ret: fieldOf(play_reply, 'ret').at,
  signals: fieldOf(play_reply, 'signals').at,
  kind: fieldOf(play_reply, 'kind').at,
  flags: fieldOf(play_reply, 'flags').at,
  handle: fieldOf(play_reply, 'handle').at,
  length: fieldOf(play_reply, 'length').at,
};

export interface Asked {
  readonly op: number;
  readonly pid: number;
  readonly tid: number;
  readonly seq: number;
  readonly handle: number;
  readonly fd: number;
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
  readonly data: Buffer;
}

export interface Answer {
  readonly ret: number;
  readonly signals?: readonly number[];
  readonly kind?: number;
  readonly flags?: number;
  readonly handle?: number;
  readonly data?: Buffer;
}

const keyOf = (a: { pid: number; tid: number }): string => `${a.pid}.${a.tid}`;
const NO_DATA = Buffer.alloc(0);

export class Channel {
  private readonly dir: string;
  private readonly requests: number;
  private readonly replies = new Map<string, number>();
  private readonly room = Buffer.alloc(1 << 16);
  private readonly out = Buffer.alloc(1 << 13);
  private start = 0;
  private end = 0;
  private readonly put: Asked[] = [];

  constructor(dir: string) {
    this.dir = dir;
    this.requests = openSync(join(dir, 'requests'), 'r+'); // both ends, so that it never reads end-of-file
  }

  /** The next request, waiting for it. */
  next(): Asked {
    return this.put.shift() ?? this.take();
  }

  /** The next `installed` of that thread; what others ask meanwhile comes later. -ESRCH: the thread has ended. */
  installed(by: Asked): number {
    for (;;) {
      const q = this.take();
      if (q.op === playOps.installed && q.pid === by.pid && q.tid === by.tid) return Number(BigInt.asIntN(64, q.a));
      this.put.push(q);
      if (q.op === playOps.end || !existsSync(`/proc/${by.pid}/task/${by.tid}`)) return -errno('ESRCH');
    }
  }

  private take(): Asked {
    while (this.end - this.start < play_request.size || this.end - this.start < this.room.readUInt32LE(this.start)) {
      this.room.copy(this.room, 0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
      this.end += readSync(this.requests, this.room, this.end, this.room.length - this.end, null);
    }
    const b = this.room;
    const s = this.start;
    const size = b.readUInt32LE(s);
    this.start += size;
    return {
      op: b.readUInt16LE(s + placeOf.op),
      pid: b.readUInt32LE(s + placeOf.pid),
      tid: b.readUInt32LE(s + placeOf.tid),
      seq: b.readUInt32LE(s + placeOf.seq),
      handle: b.readUInt32LE(s + placeOf.handle),
      fd: b.readInt32LE(s + placeOf.fd),
      a: b.readBigUInt64LE(s + placeOf.a),
      b: b.readBigUInt64LE(s + placeOf.b),
      c: b.readBigUInt64LE(s + placeOf.c),
      data: size > play_request.size ? Buffer.from(b.subarray(s + play_request.size, s + size)) : NO_DATA,
    };
  }

  /** Opens the reply FIFO of a thread that says hello; after exec the same thread has a new one. */
  welcome(q: Asked): void {
    const key = keyOf(q);
    const old = this.replies.get(key);
    if (old !== undefined) closeSync(old);
    this.replies.delete(key);
    try {
      // Not waiting for a reader: there is none any more if the thread has ended since.
      this.replies.set(key, openSync(join(this.dir, 'reply', key), constants.O_WRONLY | constants.O_NONBLOCK));
    } catch (error) {
      if (!['ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }

  answer(q: Asked, a: Answer): void {
    const fd = this.replies.get(keyOf(q));
    if (fd === undefined) return;
    const signals = a.signals ?? [];
    const data = a.data ?? NO_DATA;
    const size = play_reply.size + 4 * signals.length + data.length;
    const b = this.out;
    b.fill(0, 0, play_reply.size);
    b.writeUInt32LE(size, 0);
    b.writeUInt32LE(q.seq, replyAt.seq);
    b.writeBigInt64LE(BigInt(a.ret), replyAt.ret);
    b.writeUInt32LE(signals.length, replyAt.signals);
    b.writeUInt16LE(a.kind ?? 0, replyAt.kind);
    b.writeUInt16LE(a.flags ?? 0, replyAt.flags);
    b.writeUInt32LE(a.handle ?? 0, replyAt.handle);
    b.writeUInt32LE(data.length, replyAt.length);
    signals.forEach((s, i) => {
      b.writeInt32LE(s, play_reply.size + 4 * i);
    });
    data.copy(b, play_reply.size + 4 * signals.length);
    try {
      writeSync(fd, b, 0, size);
    } catch {
      this.forget(q); // the thread is gone: EPIPE
    }
  }

  private forget(q: Asked): void {
    const fd = this.replies.get(keyOf(q));
    if (fd !== undefined) closeSync(fd);
    this.replies.delete(keyOf(q));
  }

  /** Closes the reply FIFOs of threads for which `alive` is false. */
  prune(alive: (pid: number, tid: number) => boolean): void {
    for (const [key, fd] of this.replies) {
      const [pid, tid] = key.split('.').map(Number) as [number, number];
      if (alive(pid, tid)) continue;
      closeSync(fd);
      this.replies.delete(key);
    }
  }
  get threads(): number {
    return this.replies.size;
  }

  close(): void {
    for (const fd of this.replies.values()) closeSync(fd);
    closeSync(this.requests);
  }
}
