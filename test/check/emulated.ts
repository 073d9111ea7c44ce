// Runs a script against the emulator, in this process, and gives the events that a recording of it would hold.

import type { Caller, Eventfd } from '../../replayer/emulator/caller.ts';
import { Emulator } from '../../replayer/emulator/emulator.ts';
import type { OpenFile } from '../../replayer/emulator/file.ts';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import { leaves, lengthOf } from '../../schema/decode.ts';
import { errnoName, errnoNumber } from '../../schema/errno.ts';
import { type Op, recordFlags, wheres } from '../../schema/event.ts';
import { type FdKind, paths } from '../../schema/kinds.ts';
import { callOf } from '../../schema/surface.ts';
import type { Memory, TraceEvent } from '../../traces/event.ts';
import { argumentOf, type IoctlAct } from './argument.ts';
import type { Act, DeviceSpec, Lie, Value } from './scenario.ts';

const REGION_SHIFT = 40n; // VFIO_PCI_OFFSET_SHIFT
const O_RDWR = 2n;
const PROT_READ_WRITE = 3n;
const MAP_SHARED = 1n;
const MAP_PRIVATE = 2n;
const EAGAIN = errnoNumber('EAGAIN') as number;

interface Counter extends Eventfd {
  count: bigint;
}
interface Fd {
  readonly number: number;
  readonly handle: number;
  readonly kind: FdKind;
  readonly file: OpenFile | Counter;
}
interface Block {
  readonly name: string;
  readonly address: bigint;
  readonly bytes: Buffer;
  /** Device region behind it. */
  readonly mapped?: { readonly fd: string; readonly region: number; readonly at: number };
}

export class Script {
  readonly events: TraceEvent[] = [];
  readonly kept = new Map<string, Buffer[]>();
  readonly #emulator: Emulator;
  readonly #fds = new Map<string, Fd>();
  readonly #blocks: Block[] = [];
  readonly #caller: Caller;
  #nextFd = 10;
  #nextHandle = 1;
  #nextAddress = 0x7f0000000000n;
  #installed: { number: number; file: OpenFile }[] = [];

  constructor(devices: readonly DeviceSpec[]) {
    this.#emulator = new Emulator(
      devices.map((d) => ({ profile: profileOf(d.profile), name: d.name, group: d.group })),
    );
    const at = (address: bigint, length: bigint): Block | undefined =>
      this.#blocks.find((b) => address >= b.address && address + length <= b.address + BigInt(b.bytes.length));
    this.#caller = {
      process: 1,
      memlock: null,
      memory: {
        read: (address, length) => {
          const b = at(address, BigInt(length));
          return b
            ? Buffer.from(b.bytes.subarray(Number(address - b.address), Number(address - b.address) + length))
            : null;
        },
        write: (address, bytes) => {
          const b = at(address, BigInt(bytes.length));
          b?.bytes.set(bytes, Number(address - b.address));
          return b !== undefined;
        },
        covers: (address, length) => at(address, length) !== undefined,
      },
      file: (n) => [...this.#fds.values()].find((f) => f.number === n)?.file,
      install: (file) => {
        const number = this.#nextFd++;
        this.#installed.push({ number, file });
        return number;
      },
    };
  }

  run(acts: readonly Act[]): void {
    acts.forEach((act, i) => {
      const ret = this.#do(act);
      const wanted = 'fails' in act ? act.fails : undefined;
      const got = ret !== null && ret < 0 ? errnoName(-ret) : undefined;
      if (got !== wanted)
        throw new Error(
          `act ${i} (${JSON.stringify(act, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}) ${got ? `fails with ${got}` : 'succeeds'}, not ${wanted ?? 'success'}`,
        );
    });
  }

  #do(act: Act): number | null {
    switch (act.act) {
      case 'open':
        return this.#open(act.as, act.path);
      case 'close':
        return this.#close(act.fd);
      case 'ioctl':
        return this.#ioctl(act);
      case 'pread':
      case 'pwrite':
        return this.#region(act);
      case 'read':
        return this.#read(act);
      case 'write':
        return this.#write(act);
      case 'mmap':
        return this.#mmap(act);
      case 'munmap':
        return this.#munmap(act.name);
      case 'load':
        return this.#load(act);
      case 'memory': {
        const b = this.#block(act.as, act.size);
        act.bytes?.copy(b.bytes);
        return 0;
      }
      case 'fill':
        act.bytes.copy(this.#named(act.name).bytes);
        return 0;
      case 'eventfd':
        return this.#eventfd(act.as);
      case 'signal':
        (this.#fd(act.fd).file as Counter).count++;
        return 0;
      default:
        return act satisfies never;
    }
  }

  #fd(name: string): Fd {
    const fd = this.#fds.get(name);
    if (!fd) throw new Error(`no descriptor ${name}`);
    return fd;
  }
  #named(name: string): Block {
    const b = this.#blocks.find((x) => x.name === name);
    if (!b) throw new Error(`no memory ${name}`);
    return b;
  }
  #block(name: string, size: number, mapped?: Block['mapped']): Block {
    const b = { name, address: this.#nextAddress, bytes: Buffer.alloc(size), ...(mapped ? { mapped } : {}) };
    this.#nextAddress += BigInt(Math.ceil(size / 4096) * 4096 + 4096);
    this.#blocks.push(b);
    return b;
  }

  #event(op: Op, fd: Fd | null, e: Partial<TraceEvent>): void {
    const id = this.events.length + 1;
    this.events.push({
      ...{ id, t: id * 1000, dur: e.ret === null ? null : 100, op, process: 1, thread: 1, pid: 100, tid: 100 },
      ...{ fd: fd?.number ?? -1, kind: fd?.kind ?? 'none', handle: fd?.handle ?? 0, request: null, call: undefined },
      ...{ feature: null, region: null, a: null, length: null, flags: 0, ret: 0, val: null, input: null, output: null },
      ...{ memory: [], made: 0 },
      ...e,
    });
  }

  #install(name: string, kind: FdKind, number: number, file: OpenFile | Counter): Fd {
    const fd = { number, handle: this.#nextHandle++, kind, file };
    this.#fds.set(name, fd);
    return fd;
  }

  #open(name: string, path: string): number {
    const kind = paths.find((p) => (p.exact ? path === p.prefix : path.startsWith(p.prefix)))?.kind ?? 'unknown';
    const file = this.#emulator.open(path);
    const input = Buffer.from(path);
    if (typeof file === 'number') {
      this.#event('open', null, { kind, a: O_RDWR, ret: file, input });
      return file;
    }
    const fd = this.#install(name, kind, this.#nextFd++, file);
    this.#event('open', null, { kind, a: O_RDWR, ret: fd.number, input, made: fd.handle });
    return fd.number;
  }

  #eventfd(name: string): number {
    const file: Counter = { kind: 'eventfd', count: 0n, signal: () => void file.count++ };
    const fd = this.#install(name, 'eventfd', this.#nextFd++, file);
    this.#event('eventfd', null, { kind: 'eventfd', a: 0n, length: 0, ret: fd.number, made: fd.handle });
    return fd.number;
  }

  #close(name: string): number {
    const fd = this.#fd(name);
    this.#event('close', fd, { ret: 0 });
    if (!('count' in fd.file)) this.#emulator.close(fd.file);
    this.#fds.delete(name);
    return 0;
  }

  #resolve(v: Exclude<Value, number | bigint>): bigint {
    return v.ref === 'fd' ? BigInt(this.#fd(v.name).number) : this.#named(v.name).address + v.offset;
  }

  #ioctl(act: IoctlAct): number | null {
    const fd = this.#fd(act.fd);
    const arg = argumentOf(act);
    let pointer = arg.value;
    let block: Block | null = null;
    if (arg.bytes) {
      block = this.#block('', Math.max(arg.bytes.length, 4096)); // what lies behind the argument is memory too
      arg.bytes.copy(block.bytes);
      for (const { at, value } of arg.places) {
        const n = this.#resolve(value);
        if (value.ref === 'fd') block.bytes.writeInt32LE(Number(n), at);
        else block.bytes.writeBigUInt64LE(n, at);
      }
      pointer = block.address;
    }
    const size = arg.bytes?.length ?? 0;
    const input = block ? Buffer.from(block.bytes.subarray(0, size)) : null;
    const before = this.#pointers(arg.call.arg.kind === 'struct' ? arg.call.arg.layout : null, input, 'in');
    this.#installed = [];
    let ret: number | null;
    if (act.lie?.kind === 'errno') ret = -(errnoNumber(act.lie.errno) as number);
    else if (act.lie?.kind === 'hang') ret = null;
    else if (act.lie?.kind === 'ok') ret = act.lie.ret;
    else ret = this.#emulator.ioctl(this.#caller, fd.file as OpenFile, arg.request, pointer);
    this.#tell(act.lie, block, input);
    const output = block && ret !== null ? Buffer.from(block.bytes.subarray(0, size)) : null;
    const after =
      ret === null ? [] : this.#pointers(arg.call.arg.kind === 'struct' ? arg.call.arg.layout : null, input, 'out');
    const made = this.#made(
      act.as,
      arg.call.makes?.kind ?? (act.call.includes('MIG_DEVICE_STATE') ? 'data' : 'unknown'),
    );
    const changed = after.filter((m) => !before.find((b) => b.at === m.at)?.bytes?.equals(m.bytes as Buffer));
    this.#event('ioctl', fd, {
      ...{ request: arg.request, call: callOf(fd.kind, arg.request), feature: arg.feature, ret, input, made },
      a: arg.bytes ? null : arg.value,
      output: output && input && arg.call.arg.kind === 'struct' ? output : null,
      memory: [...before, ...changed],
    });
    if (block) this.#blocks.splice(this.#blocks.indexOf(block), 1);
    return ret;
  }

  /** A misbehaving driver's answer in place of the emulator's. */
  #tell(lie: Lie | undefined, block: Block | null, input: Buffer | null): void {
    if (!lie || !block || !input) return;
    if (lie.kind === 'set') lie.bytes.copy(block.bytes, lie.at);
    if (lie.kind === 'ok' && lie.bytes) lie.bytes.copy(block.bytes, 0);
    if (lie.kind !== 'memory') return;
    const pointer = input.readBigUInt64LE(lie.at);
    this.#caller.memory.write(pointer, lie.bytes);
  }

  #made(name: string | undefined, kind: FdKind): number {
    const [made] = this.#installed;
    if (!made) return 0;
    return this.#install(name ?? `fd ${made.number}`, kind, made.number, made.file).handle;
  }

  /** Memory behind the structure's pointers, as the recorder keeps it: what goes in, and what the kernel ORs into. */
  #pointers(layout: Parameters<typeof leaves>[0] | null, input: Buffer | null, phase: 'in' | 'out'): Memory[] {
    if (!layout || !input) return [];
    const found: Memory[] = [];
    const seen = new Map<string, number | bigint>();
    for (const leaf of leaves(layout, input)) {
      seen.set(leaf.path.split('.').at(-1) as string, leaf.value);
      const { to } = leaf.field;
      if (!to || (phase === 'out' && to.dir === 'in') || (phase === 'in' && to.dir === 'out' && !to.ored)) continue;
      const total = lengthOf(to.length, (name) => seen.get(name) ?? 0);
      const bytes = this.#caller.memory.read(BigInt(leaf.value), total);
      if (bytes && total > 0) found.push({ at: leaf.at, phase, bytes, total });
    }
    return found;
  }

  #region(act: Extract<Act, { act: 'pread' | 'pwrite' }>): number | null {
    const fd = this.#fd(act.fd);
    const offset = (BigInt(act.region) << REGION_SHIFT) + BigInt(act.at);
    const place = { region: act.region, a: BigInt(act.at), length: act.length };
    const value = typeof act.value === 'string' ? Buffer.concat(this.kept.get(act.value) ?? []) : act.value;
    const given = act.act === 'pwrite' ? bytesOf(value ?? 0n, act.length) : null;
    let ret: number | null;
    let got: Buffer | null = null;
    if (act.lie?.kind === 'errno') ret = -(errnoNumber(act.lie.errno) as number);
    else if (act.lie?.kind === 'hang') ret = null;
    else if (act.lie?.kind === 'ok') {
      ret = act.lie.ret;
      got = act.lie.bytes ?? Buffer.alloc(act.length);
    } else if (given) ret = this.#emulator.pwrite(this.#caller, fd.file as OpenFile, given, offset);
    else {
      const bytes = this.#emulator.pread(this.#caller, fd.file as OpenFile, act.length, offset);
      ret = typeof bytes === 'number' ? bytes : bytes.length;
      got = typeof bytes === 'number' ? null : bytes;
    }
    if (act.lie?.kind === 'set' && got) act.lie.bytes.copy(got, act.lie.at);
    if (act.keep && got) this.kept.set(act.keep, [...(this.kept.get(act.keep) ?? []), got]);
    const inline = act.length <= 8;
    const shown = given ?? got;
    const val =
      inline && shown && ret !== null && ret >= 0 ? numberOf(shown) : given && inline ? numberOf(given) : null;
    this.#event(act.act, fd, {
      ...place,
      ret,
      val,
      flags: inline ? recordFlags.INLINE : 0,
      input: given,
      output: got && ret !== null && ret >= 0 ? got.subarray(0, ret) : null,
    });
    return ret;
  }

  #read(act: Extract<Act, { act: 'read' }>): number {
    const fd = this.#fd(act.fd);
    let bytes: Buffer | number;
    if (act.lie?.kind === 'errno') bytes = -(errnoNumber(act.lie.errno) as number);
    else if (act.lie?.kind === 'ok') bytes = act.lie.bytes ?? Buffer.alloc(act.lie.ret);
    else if ('count' in fd.file) {
      bytes = fd.file.count === 0n ? -EAGAIN : Buffer.alloc(8);
      if (typeof bytes !== 'number') bytes.writeBigUInt64LE(fd.file.count);
      fd.file.count = 0n;
    } else bytes = this.#emulator.read(this.#caller, fd.file, act.length);
    const ret = typeof bytes === 'number' ? bytes : bytes.length;
    if (typeof bytes !== 'number' && act.keep) this.kept.set(act.keep, [...(this.kept.get(act.keep) ?? []), bytes]);
    this.#event('read', fd, { length: act.length, ret, output: typeof bytes === 'number' ? null : bytes });
    return ret;
  }

  #write(act: Extract<Act, { act: 'write' }>): number {
    const fd = this.#fd(act.fd);
    const bytes = typeof act.bytes === 'string' ? Buffer.concat(this.kept.get(act.bytes) ?? []) : act.bytes;
    const ret = act.lie?.kind === 'ok' ? act.lie.ret : this.#emulator.write(this.#caller, fd.file as OpenFile, bytes);
    this.#event('write', fd, { length: bytes.length, ret, input: bytes });
    return ret;
  }

  #mmap(act: Extract<Act, { act: 'mmap' }>): number {
    const fd = this.#fd(act.fd);
    const offset = (BigInt(act.region) << REGION_SHIFT) + BigInt(act.at);
    const shared = !act.private;
    const result = this.#emulator.mmap(this.#caller, fd.file as OpenFile, {
      length: BigInt(act.length),
      offset,
      shared,
    });
    const b =
      typeof result === 'number'
        ? null
        : this.#block(act.as, act.length, { fd: act.fd, region: act.region, at: act.at });
    const array = Buffer.alloc(40);
    const words = [0n, BigInt(act.length), PROT_READ_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, offset];
    for (const [i, n] of words.entries()) array.writeBigUInt64LE(n, 8 * i);
    const ret = b ? Number(b.address) : (result as number);
    this.#event('mmap', fd, {
      ...{ region: act.region, a: BigInt(act.at), length: act.length, ret },
      memory: [{ at: wheres.ARRAY, phase: 'in', bytes: array, total: 40 }],
    });
    return ret;
  }

  #munmap(name: string): number {
    const b = this.#named(name);
    this.#blocks.splice(this.#blocks.indexOf(b), 1);
    this.#event('munmap', null, { a: b.address, length: b.bytes.length });
    return 0;
  }

  #load(act: Extract<Act, { act: 'load' }>): number {
    const { mapped } = this.#named(act.name);
    if (!mapped) throw new Error(`${act.name} maps no region`);
    const fd = this.#fd(mapped.fd);
    const place = { region: mapped.region, a: BigInt(mapped.at + act.at), length: act.length };
    this.#event('load', fd, { ...place, ret: act.length, val: 0n, flags: recordFlags.INLINE });
    return act.length;
  }
}

function bytesOf(value: bigint | Buffer, length: number): Buffer {
  if (typeof value !== 'bigint') return value.subarray(0, length);
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt.asUintN(64, value));
  return b.subarray(0, length);
}
function numberOf(bytes: Buffer): bigint {
  return bytes.reduceRight((n, b) => (n << 8n) | BigInt(b), 0n);
}
