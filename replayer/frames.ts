// Requests as bytes and replies out of bytes: the agent's protocol (schema/agent.ts) on this side of the pipe.

import {
  AGENT_HELLO,
  agent_part,
  agent_reply,
  agent_request,
  agentOps,
  agentParts,
  FRAME_MAX,
  RET,
} from '../schema/agent.ts';
import { TraceError } from '../schema/errors.ts';
import { ops } from '../schema/event.ts';
import { fieldOf, type Struct } from '../schema/layout.ts';
import type { Part, Reply, Request } from './target.ts';

const places = <K extends string>(layout: Struct, names: readonly K[]): Record<K, number> =>
  Object.fromEntries(names.map((n) => [n, fieldOf(layout, n).at])) as Record<K, number>;
const request = places(agent_request, ['size', 'op', 'flags', 'tag', 'subject', 'a', 'b', 'timeout', 'parts']);
const part = places(agent_part, ['type', 'at', 'slot', 'length']);
const reply = places(agent_reply, ['size', 'tag', 'ret', 'duration', 'parts']);
const padded = (n: number): number => (n + 7) & ~7;
const allOps: Readonly<Record<string, number>> = { ...ops, ...agentOps };

const partTypes = {
  arg: agentParts.ARG,
  buffer: agentParts.BUFFER,
  zeroes: agentParts.ZEROES,
  fd: agentParts.FD,
  id: agentParts.ID,
  address: agentParts.ADDRESS,
  keepFd: agentParts.KEEP_FD,
  keepId: agentParts.KEEP_ID,
  keepMemory: agentParts.KEEP_MEMORY,
} as const satisfies Record<Part['kind'], number>;

const bytesOf = (p: Part): number => {
  if (p.kind === 'arg' || p.kind === 'buffer') return p.bytes.length;
  return p.kind === 'address' ? 8 : 0;
};

/** Bytes of the request's frame. */
export function frameSize(r: Request): number {
  let size = agent_request.size;
  for (const p of r.parts) size += agent_part.size + padded(bytesOf(p));
  return size;
}

function encodePart(p: Part, out: Buffer, from: number): number {
  const length = bytesOf(p);
  out.writeUInt16LE(partTypes[p.kind], from + part.type);
  out.writeUInt32LE('at' in p ? (p.at === 'ret' ? RET : p.at) : 0, from + part.at);
  out.writeUInt32LE('slot' in p ? p.slot : p.kind === 'zeroes' ? p.length : 0, from + part.slot);
  out.writeUInt32LE(length, from + part.length);
  const at = from + agent_part.size;
  if (p.kind === 'arg' || p.kind === 'buffer') p.bytes.copy(out, at);
  else if (p.kind === 'address') out.writeBigUInt64LE(BigInt.asUintN(64, p.delta), at);
  return at + padded(length);
}

/** One buffer with all the frames. */
export function encode(batch: readonly Request[]): Buffer {
  const out = Buffer.alloc(batch.reduce((n, r) => n + frameSize(r), 0));
  let from = 0;
  for (const r of batch) {
    const size = frameSize(r);
    if (size > FRAME_MAX) throw new TraceError('TARGET', `a call with ${size} bytes is more than the agent takes`);
    out.writeUInt32LE(size, from + request.size);
    out.writeUInt16LE(allOps[r.op] ?? 0, from + request.op);
    out.writeUInt16LE(r.flags, from + request.flags);
    out.writeUInt32LE(r.tag, from + request.tag);
    out.writeUInt32LE(r.subject, from + request.subject);
    out.writeBigUInt64LE(BigInt.asUintN(64, r.a), from + request.a);
    out.writeBigUInt64LE(BigInt.asUintN(64, r.b), from + request.b);
    out.writeUInt32LE(r.timeout, from + request.timeout);
    out.writeUInt32LE(r.parts.length, from + request.parts);
    let at = from + agent_request.size;
    for (const p of r.parts) at = encodePart(p, out, at);
    from = at;
  }
  return out;
}

function decodeReply(frame: Buffer): Reply {
  let arg: Buffer | null = null;
  let buffers: Map<number, Buffer> | undefined;
  let at = agent_reply.size;
  const count = frame.readUInt32LE(reply.parts);
  for (let i = 0; i < count; i++) {
    if (frame.length - at < agent_part.size) throw damaged(`part ${i} is cut off`);
    const length = frame.readUInt32LE(at + part.length);
    const from = at + agent_part.size;
    if (padded(length) > frame.length - from) throw damaged(`part ${i} has ${length} bytes`);
    const bytes = frame.subarray(from, from + length);
    if (frame.readUInt16LE(at + part.type) === agentParts.ARG) arg = bytes;
    else {
      buffers ??= new Map();
      buffers.set(frame.readUInt32LE(at + part.at), bytes);
    }
    at = from + padded(length);
  }
  return {
    tag: frame.readUInt32LE(reply.tag),
    ret: Number(frame.readBigInt64LE(reply.ret)),
    duration: Number(frame.readBigUInt64LE(reply.duration)),
    arg,
    buffers: buffers ?? none,
  };
}
const none: ReadonlyMap<number, Buffer> = new Map();

const damaged = (what: string): TraceError =>
  new TraceError('TARGET', `what answers is no vfio-rr-agent, or its output is mixed with another's: ${what}`);

/** Takes the stream's chunks as they come and gives whole replies. */
export class ReplyReader {
  #chunks: Buffer[] = [];
  #length = 0;

  /** Bytes that have come and are not yet a whole reply. */
  get pending(): number {
    return this.#length;
  }

  *push(chunk: Buffer): Generator<Reply> {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    let all = this.#chunks[0] as Buffer;
    if (this.#chunks.length > 1) {
      // Join only once a whole frame is there, or a large one would be copied for every chunk of it.
      if (all.length >= 4 && this.#length < all.readUInt32LE(0)) return;
      all = Buffer.concat(this.#chunks, this.#length);
    }
    let from = 0;
    while (all.length - from >= agent_reply.size) {
      const size = all.readUInt32LE(from);
      if (size < agent_reply.size || size > FRAME_MAX + agent_reply.size || size % 8)
        throw damaged(`a reply of ${size} bytes`);
      if (all.length - from < size) break;
      yield decodeReply(all.subarray(from, from + size));
      from += size;
    }
    this.#length = all.length - from;
    this.#chunks = this.#length ? [all.subarray(from)] : [];
  }
}

/** "vfio-rr-agent 1" and "Linux 6.12 x86_64" of the agent's first reply. */
export function helloOf(r: Reply): readonly string[] {
  if (r.tag !== AGENT_HELLO || !r.arg) throw damaged(`its first reply has tag ${r.tag}`);
  return r.arg.toString('latin1').trimEnd().split('\n');
}
