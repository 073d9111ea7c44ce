// One call as one line, in strace's manner: ID SECONDS [pid N] call(arguments) = result <seconds>.

import { decode } from '../../schema/decode.ts';
import { dmaPoints, noteOps, recordFlags, wheres } from '../../schema/event.ts';
import { kvmCalls } from '../../schema/kvm.ts';
import type { Struct } from '../../schema/layout.ts';
import { v1StateName, vfio_device_migration_info } from '../../schema/states-v1.ts';
import type { TraceEvent } from '../event.ts';
import type { Names } from '../names.ts';
import { bytesText, errorText, hex, scalarText, seconds, stringText } from './scalar.ts';
import { structureText } from './structure.ts';
import {
  eventfdFlags,
  fcntlName,
  mapFlags,
  mmapArray,
  mremapArray,
  openFlags,
  passedArray,
  pollArray,
  pollFlags,
  protFlags,
} from './syscall.ts';

/** Bytes of data written out. */
const DATA = 16;
/** Of arrays of descriptors. */
const ITEMS = 16;

/** The whole line, without its end. */
export function eventLine(e: TraceEvent, names: Names): string {
  const who = e.tid === e.pid || e.tid === 0 ? `${e.pid}` : `${e.pid}/${e.tid}`;
  const took = e.dur === null || noteOps.has(e.op) ? '' : ` <${seconds(e.dur, 9)}>`;
  return `${String(e.id).padStart(6)} ${seconds(e.t)} [pid ${who}] ${callText(e, names)}${took}`;
}

/** `ioctl(…) = 0`, without time and process. */
export function callText(e: TraceEvent, names: Names): string {
  const text = body(e, names);
  return noteOps.has(e.op) ? text : `${text} ${resultText(e, names)}`;
}

const num = (x: bigint | null): number => Number(x ?? 0n);
const fdText = (e: TraceEvent, names: Names): string => {
  const name = names.handle(e.handle);
  return name ? `${e.fd}<${name}>` : names.fd(e.process, e.fd, e.id);
};

function body(e: TraceEvent, names: Names): string {
  const fd = fdText(e, names);
  switch (e.op) {
    case 'ioctl':
      return ioctlText(e, names, fd);
    case 'pread':
    case 'pwrite':
      return `${e.op}(${fd}, ${placeText(e, names)}, ${e.length ?? '?'}${e.op === 'pwrite' ? dataText(e, e.input, names) : ''})`;
    case 'load':
    case 'store':
      return `${e.op}(${names.handle(e.handle)} ${placeText(e, names)}, ${e.length ?? '?'}${e.op === 'store' ? dataText(e, e.input, names) : ''})`;
    case 'read':
      return `read(${fd}, ${e.length ?? '?'})`;
    case 'write':
      return `write(${fd}, ${e.length ?? '?'}${dataText(e, e.input, names)})`;
    case 'open':
      return `open(${e.input ? stringText(e.input) : pathOf(e)}, ${openFlags(num(e.a))})`;
    case 'close':
      return `close(${fd})`;
    case 'dup':
      return `dup(${fd})`;
    case 'mmap':
      return mmapText(e, names, fd);
    case 'munmap':
      return `munmap(${hex(e.a ?? 0n)}, ${e.length ?? '?'})`;
    case 'mprotect':
      return `mprotect(${hex(e.a ?? 0n)}, ${e.length ?? '?'})`;
    case 'mremap': {
      const m = arrayOf(e, mremapArray, 'in')[0] ?? arrayOf(e, mremapArray, 'out')[0];
      return m ? `mremap(${hex(m.old ?? 0)}, ${m.old_len}, ${m.new_len}, ${m.flags})` : `mremap(${hex(e.a ?? 0n)})`;
    }
    case 'poll':
      return `poll([${pollText(e, names, 'in')}], ${BigInt.asIntN(64, e.a ?? 0n)})`;
    case 'sendmsg':
    case 'recvmsg':
      return `${e.op}(${e.fd}, SCM_RIGHTS [${passedText(e, names)}])`;
    case 'fork':
      return 'fork()';
    case 'exec':
      return `execve(${pathOf(e)})`;
    case 'attach':
      return `attach(${fd}) /* a descriptor that was there already: ${e.kind} */`;
    case 'eventfd':
      return `eventfd(${num(e.a)}, ${eventfdFlags(e.length ?? 0)})`;
    case 'fcntl':
      return `fcntl(${fd}, ${fcntlName(num(e.a))}${e.length === null ? '' : `, ${e.length}`})`;
    case 'process':
      return `+++ process ${num(e.a) || e.pid} ${pathOf(e)} +++`;
    case 'dma':
      return `dma(${names.handle(e.handle)}, ${hex(e.a ?? 0n)}, ${e.length ?? '?'}) ${dmaText(e)}`;
    case 'kvm':
      return kvmText(e, names);
    case 'more':
    case 'lost':
      return `+++ lost ${e.length ?? ''} record${e.length === 1 ? '' : 's'} (${num(e.a)}) +++`;
    default:
      return e.op satisfies never;
  }
}

/** What is known of the bytes, and why they were looked at. */
function dmaText(e: TraceEvent): string {
  const at = Object.entries(dmaPoints).find(([, n]) => n === e.ret)?.[0] ?? '?';
  return `${e.output ? `[${bytesText(e.output, DATA)}]` : '[hash only]'} /* at ${at} */`;
}

/** A note, but of a call that was made: with its result. */
function kvmText(e: TraceEvent, names: Names): string {
  const call = kvmCalls.find((c) => BigInt(c.request) === e.a);
  const nameFd = (n: number): string => (n < 0 ? `${n}` : names.fd(e.process, n, e.id));
  const { input, memory } = e;
  const text =
    call && input ? structureText(call.layout, { input, output: null, memory, failed: false }, nameFd) : null;
  return `ioctl(${e.fd}<KVM>, ${call?.name ?? hex(e.a ?? 0n)}, ${text?.before ?? '?'}) ${resultText(e, names)}`;
}

function pathOf(e: TraceEvent): string {
  const path = e.input ?? e.memory.find((m) => m.at === wheres.PATH)?.bytes;
  return path ? stringText(path) : '?';
}

function ioctlText(e: TraceEvent, names: Names, fd: string): string {
  const { call } = e;
  const nameFd = (n: number): string => (n < 0 ? `${n}` : names.fd(e.process, n, e.id));
  if (!call) {
    const bytes = e.input ?? e.output;
    return `ioctl(${fd}, ${hex(e.request ?? 0)} /* unknown on ${e.kind} */${bytes ? `, [${bytesText(bytes)}]` : `, ${hex(e.a ?? 0n)}`}${changed(e)})`;
  }
  const head = `ioctl(${fd}, ${call.name}`;
  switch (call.arg.kind) {
    case 'none':
      return `${head})`;
    case 'value':
      return `${head}, ${scalarText(call.arg.field, e.a ?? 0n)})`;
    case 'string':
      return `${head}, ${e.input ? stringText(e.input) : hex(e.a ?? 0n)})`;
    case 'scalar': {
      const bytes = e.input;
      if (!bytes || bytes.length < 4) return `${head}, ${hex(e.a ?? 0n)})`;
      const { field } = call.arg;
      const n = field.type === 's32' ? bytes.readInt32LE() : bytes.readUInt32LE();
      return `${head}, [${field.means === 'fd' ? nameFd(n) : scalarText(field, n)}])`;
    }
    case 'struct': {
      if (!e.input && !e.output) return `${head}, ${hex(e.a ?? 0n)} /* not kept */)`;
      const { input, output, memory } = e;
      const text = structureText(call.arg.layout, { input, output, memory, failed: (e.ret ?? -1) < 0 }, nameFd);
      const hidden = e.flags & recordFlags.HIDDEN ? ' /* MMAP hidden from the program */' : '';
      return `${head}, ${text.before}${text.after ? ` => ${text.after}` : ''}${hidden})`;
    }
    case 'raw':
      return `${head}${e.input ? `, [${bytesText(e.input)}]` : ''}${changed(e)})`;
    default:
      return call.arg satisfies never;
  }
}

const changed = (e: TraceEvent): string =>
  e.output && e.input && !e.output.equals(e.input) ? ` => [${bytesText(e.output)}]` : '';

function placeText(e: TraceEvent, names: Names): string {
  if (e.region === null) return hex(e.a ?? 0n);
  const name = names.region(e.handle, e.region);
  const at = num(e.a);
  const field = names.isMigration(e.handle, e.region)
    ? vfio_device_migration_info.fields.find((f) => f.at === at)
    : undefined;
  return field ? `${name}.${field.name}` : `${name}+${hex(at)}`;
}

/** The bytes of a read or write in brackets: as a number up to 8 of them. */
function dataText(e: TraceEvent, bytes: Buffer | null, names: Names): string {
  if (e.val !== null) return ` [${numberText(e, e.val, names)}]`;
  if (!bytes) return '';
  if ([1, 2, 4, 8].includes(bytes.length) && e.kind === 'device') {
    const value = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
    return ` [${numberText(e, value, names)}]`;
  }
  return ` [${bytesText(bytes, DATA)}]`;
}

function numberText(e: TraceEvent, value: bigint, names: Names): string {
  const state = e.region !== null && e.a === 0n && e.length === 4 && names.isMigration(e.handle, e.region);
  return state ? v1StateName(Number(value)) : hex(value);
}

function arrayOf(e: TraceEvent, of: Struct, phase: 'in' | 'out'): Record<string, number | bigint>[] {
  const bytes =
    e.memory.find((m) => m.at === wheres.ARRAY && m.phase === phase)?.bytes ?? (phase === 'in' ? e.input : e.output);
  const rows: Record<string, number | bigint>[] = [];
  for (let at = 0; bytes && at + of.size <= bytes.length && rows.length <= ITEMS; at += of.size)
    rows.push(decode(of, bytes.subarray(at, at + of.size)) as Record<string, number | bigint>);
  return rows;
}

function mmapText(e: TraceEvent, names: Names, fd: string): string {
  const m = arrayOf(e, mmapArray, 'in')[0] ?? arrayOf(e, mmapArray, 'out')[0];
  const at = placeText(e, names);
  if (!m) return `mmap(${fd}, ${at}, ${e.length ?? '?'})`;
  return `mmap(${m.addr ? hex(m.addr) : 'NULL'}, ${hex(m.length ?? 0)}, ${protFlags(Number(m.prot))}, ${mapFlags(Number(m.flags))}, ${fd}, ${at})`;
}

function pollText(e: TraceEvent, names: Names, phase: 'in' | 'out'): string {
  const rows = arrayOf(e, pollArray, phase).filter((r) => phase === 'in' || Number(r.revents) !== 0);
  const events = phase === 'in' ? 'events' : 'revents';
  return rows.map((r) => `{${names.fd(e.process, Number(r.fd), e.id)}, ${pollFlags(Number(r[events]))}}`).join(', ');
}

function passedText(e: TraceEvent, names: Names): string {
  return [...arrayOf(e, passedArray, 'in'), ...(e.op === 'recvmsg' ? arrayOf(e, passedArray, 'out') : [])]
    .map((r) => `${r.fd}<${names.handle(Number(r.handle)) || '?'}>`)
    .join(', ');
}

/** What the result is a descriptor of, 0: it is none. */
function returnedHandle(e: TraceEvent): number {
  if (e.op === 'dup') return e.made || e.handle;
  if (e.op === 'recvmsg' || (e.op === 'ioctl' && e.call?.makes?.at !== 'ret')) return 0;
  return e.made;
}

function resultText(e: TraceEvent, names: Names): string {
  if (e.ret === null) return '= ? <unfinished ...>';
  if (e.ret < 0) return `= ${errorText(e.ret)}`;
  if (e.op === 'mmap' || e.op === 'mremap') return `= ${hex(e.ret)}`;
  const made = names.handle(returnedHandle(e));
  const data = e.op === 'pread' || e.op === 'read' || e.op === 'load' ? dataText(e, e.output, names) : '';
  const ready = e.op === 'poll' && e.ret > 0 ? ` [${pollText(e, names, 'out')}]` : '';
  return `= ${e.ret}${made ? `<${made}>` : ''}${data}${ready}`;
}
