// What an executable file is, as far as preloading goes: dynamic or static, for which machine, what it imports.
// Source: elf(5), gABI chapters 4 and 5.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const SHT_DYNSYM = 11;
const SHT_NOTE = 7;
const EM_NAMES: Readonly<Record<number, string>> = { 3: 'i386', 62: 'x86-64', 183: 'aarch64', 40: 'arm', 243: 'riscv' };
/** Longest table that is read: a damaged file may claim any size. */
const TABLE_MAX = 64 << 20;

export interface Segment {
  readonly type: number;
  readonly executable: boolean;
  readonly offset: number;
  readonly address: bigint;
  readonly size: number;
}
export interface Elf {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly machineName: string;
  /** Path of the dynamic linker; null: static. */
  readonly interpreter: string | null;
  readonly needed: readonly string[];
  /** Undefined dynamic symbols: what it calls of its libraries. */
  readonly imports: readonly string[];
  readonly go: boolean;
  readonly segments: readonly Segment[];
}

export type Executable =
  | { readonly kind: 'elf'; readonly elf: Elf }
  | { readonly kind: 'script'; readonly interpreter: string; readonly argument: string | null }
  | { readonly kind: 'other' };

/** Reads a range of a file, shorter where the file ends. */
export function readRange(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(Math.min(length, TABLE_MAX));
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, offset));
}

const text = (bytes: Buffer, at = 0): string => {
  const end = bytes.indexOf(0, at);
  return bytes.toString('latin1', at, end < 0 ? bytes.length : end);
};

export function readExecutable(path: string): Executable {
  const fd = openSync(path, 'r');
  try {
    const head = readRange(fd, 0, 4096);
    if (head.toString('latin1', 0, 2) === '#!') {
      const [interpreter, argument] = head.toString('latin1', 2).split('\n')[0]?.trim().split(/\s+/, 2) ?? [];
      return interpreter ? { kind: 'script', interpreter, argument: argument ?? null } : { kind: 'other' };
    }
    if (head.toString('latin1', 0, 4) !== '\x7fELF' || head[5] !== 1) return { kind: 'other' };
    return { kind: 'elf', elf: readElf(fd, head) };
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'other' }; // cut off
    throw error;
  } finally {
    closeSync(fd);
  }
}

interface Section {
  readonly name: number;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

function readElf(fd: number, head: Buffer): Elf {
  const bits = head[4] === 1 ? 32 : 64;
  const machine = head.readUInt16LE(18);
  const base = {
    bits,
    machine,
    machineName: EM_NAMES[machine] ?? `machine ${machine}`,
    interpreter: null,
    needed: [],
    imports: [],
    go: false,
    segments: [],
  } as const;
  if (bits === 32) return base; // the interposer is built for 64 bits; more need not be known
  const size = fstatSync(fd).size;
  const big = (bytes: Buffer, at: number): number => Number(bytes.readBigUInt64LE(at));
  const phoff = big(head, 32);
  const phentsize = head.readUInt16LE(54);
  const programs = readRange(fd, phoff, phentsize * head.readUInt16LE(56));
  const segments: Segment[] = [];
  for (let at = 0; at + 56 <= programs.length; at += phentsize)
    segments.push({
      type: programs.readUInt32LE(at),
      executable: (programs.readUInt32LE(at + 4) & 1) !== 0,
      offset: big(programs, at + 8),
      address: programs.readBigUInt64LE(at + 16),
      size: Math.min(big(programs, at + 32), size),
    });
  const interp = segments.find((s) => s.type === PT_INTERP);
  const sections = readSections(fd, head, big);
  const names = sections[head.readUInt16LE(62)];
  const nameTable = names ? readRange(fd, names.offset, names.size) : Buffer.alloc(0);
  const sectionNames = sections.map((s) => text(nameTable, s.name));
  return {
    ...base,
    interpreter: interp ? text(readRange(fd, interp.offset, interp.size)) : null,
    needed: neededOf(fd, segments, sections),
    imports: importsOf(fd, sections),
    go: sections.some(
      (s, i) => sectionNames[i] === '.gopclntab' || (s.type === SHT_NOTE && sectionNames[i] === '.note.go.buildid'),
    ),
    segments: segments.filter((s) => s.type === PT_LOAD),
  };
}

function readSections(fd: number, head: Buffer, big: (b: Buffer, at: number) => number): Section[] {
  const entry = head.readUInt16LE(58);
  const table = readRange(fd, big(head, 40), entry * head.readUInt16LE(60));
  const sections: Section[] = [];
  for (let at = 0; entry >= 64 && at + 64 <= table.length; at += entry)
    sections.push({
      name: table.readUInt32LE(at),
      type: table.readUInt32LE(at + 4),
      offset: big(table, at + 24),
      size: big(table, at + 32),
      link: table.readUInt32LE(at + 40),
    });
  return sections;
}

function importsOf(fd: number, sections: readonly Section[]): string[] {
  const symbols = sections.find((s) => s.type === SHT_DYNSYM);
  const strings = symbols && sections[symbols.link];
  if (!symbols || !strings) return [];
  const table = readRange(fd, symbols.offset, symbols.size);
  const names = readRange(fd, strings.offset, strings.size);
  const imports: string[] = [];
  for (
    let at = 24;
    at + 24 <= table.length;
    at += 24 // the first symbol is empty
  )
    if (table.readUInt16LE(at + 6) === 0) imports.push(text(names, table.readUInt32LE(at)));
  return imports.filter((name) => name !== '');
}

function neededOf(fd: number, segments: readonly Segment[], sections: readonly Section[]): string[] {
  const dynamic = segments.find((s) => s.type === PT_DYNAMIC);
  const symbols = sections.find((s) => s.type === SHT_DYNSYM);
  const strings = symbols && sections[symbols.link];
  if (!dynamic || !strings) return [];
  const table = readRange(fd, dynamic.offset, dynamic.size);
  const names = readRange(fd, strings.offset, strings.size);
  const needed: string[] = [];
  for (let at = 0; at + 16 <= table.length; at += 16)
    if (table.readBigUInt64LE(at) === BigInt(DT_NEEDED))
      needed.push(text(names, Number(table.readBigUInt64LE(at + 8))));
  return needed;
}
