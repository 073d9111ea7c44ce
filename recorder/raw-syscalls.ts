// Finds system calls that a binary makes itself, beside libc, and says whether they can be caught without ptrace.

import { closeSync, openSync } from 'node:fs';
import { release } from 'node:os';
import { type Elf, readRange } from './elf.ts';

const instruction = Buffer.from([0x0f, 0x05]);

/** `syscall` (0f 05) in executable segments outside libc: such calls pass the interposer by. x86 only. */
export function rawSyscalls(path: string, elf: Elf): number {
  if (elf.machine !== 62) return 0;
  const fd = openSync(path, 'r');
  try {
    let found = 0;
    for (const segment of elf.segments.filter((s) => s.executable)) {
      const bytes = readRange(fd, segment.offset, segment.size);
      for (let at = bytes.indexOf(instruction); at >= 0; at = bytes.indexOf(instruction, at + 2))
        if (loadsNumber(bytes, at)) found++;
    }
    return found;
  } finally {
    closeSync(fd);
  }
}

/** The two bytes stand in data and in other instructions as well; a call has its number put into rax shortly before. */
function loadsNumber(bytes: Buffer, at: number): boolean {
  for (let back = Math.max(0, at - 24); back < at; back++) {
    if (bytes[back] === 0xb8 && bytes.readUInt32LE(back + 1) < 1024 && back + 5 <= at) return true; // mov imm32, %eax
    const b = bytes.subarray(back, back + 3);
    if (b[0] === 0x48 && (b[1] === 0x89 || b[1] === 0x8b) && ((b[2] ?? 0) & 0xc0) === 0xc0 && toRax(b)) return true;
  }
  return false;
}
const toRax = (b: Buffer): boolean => (b[1] === 0x89 ? ((b[2] ?? 0) & 7) === 0 : ((b[2] ?? 0) & 0x38) === 0);

/** Syscall User Dispatch, by which the interposer is handed such calls: Linux 5.11. */
export function canDispatch(kernel = release()): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((n) => Number.parseInt(n, 10));
  return process.arch === 'x64' && (major > 5 || (major === 5 && minor >= 11));
}
