// `doctor`: what of a program will be seen, before it is run; or, without one, what this host is able to.

import { existsSync, readdirSync, realpathSync, statfsSync } from 'node:fs';
import { arch, release } from 'node:os';
import { join } from 'node:path';
import { tscIsInvariant } from './clock.ts';
import { type Elf, readExecutable } from './elf.ts';
import { line } from './host.ts';
import { nativePath } from './native.ts';
import { findProgram, type User } from './program.ts';
import { canDispatch, rawSyscalls } from './raw-syscalls.ts';

/** warn: something may go unseen; bad: it will. */
export type Grade = 'ok' | 'note' | 'warn' | 'bad';
export interface Finding {
  readonly grade: Grade;
  readonly what: string;
}

const entries =
  /^(?:__)?(?:ioctl|p?(?:read|write)v?2?(?:64)?(?:v2|v)?|open(?:at)?(?:64)?(?:_2)?|mmap(?:64)?|munmap|mremap|syscall)(?:_chk)?$/;
const seccompSymbols = /^(?:seccomp_load|seccomp_init|prctl)$/;
const rings = /^io_uring_|^aio_|^io_submit$/;

/** The libraries that its dynamic linker would load, where they can be found without running it. */
function libraries(elf: Elf): { path: string; elf: Elf }[] {
  const folders = [
    '/lib/x86_64-linux-gnu',
    '/usr/lib/x86_64-linux-gnu',
    '/lib64',
    '/usr/lib64',
    '/lib',
    '/usr/lib',
    '/usr/local/lib',
  ];
  const found = new Map<string, Elf>();
  const queue = [...elf.needed];
  const seen = new Set<string>();
  for (let name = queue.shift(); name !== undefined && found.size < 500; name = queue.shift()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const folder = folders.find((f) => existsSync(join(f, name)));
    if (folder === undefined) continue;
    const path = realpathSync(join(folder, name));
    const file = readExecutable(path);
    if (file.kind !== 'elf') continue;
    found.set(path, file.elf);
    queue.push(...file.elf.needed);
  }
  return [...found].map(([path, e]) => ({ path, elf: e }));
}

const isLibc = (path: string): boolean =>
  /\/(?:libc|libpthread|ld-linux[^/]*|libc-[\d.]+)\.so/.test(path) || /\/ld-/.test(path);

export function examineProgram(name: string, searchPath: string, user: User): Finding[] {
  const program = findProgram(name, searchPath, user);
  const found: Finding[] = [];
  const add = (grade: Grade, what: string): void => void found.push({ grade, what });
  add('note', program.binary === program.path ? program.path : `${program.path}, a script run by ${program.binary}`);
  if (program.elf?.go)
    add('bad', 'written in Go: its run-time makes system calls by itself, which the interposer does not see');
  if (program.obstacle !== null && !program.traceable) {
    add('bad', `nothing of it will be seen: ${program.obstacle}`);
    return found;
  }
  if (program.obstacle !== null) add('warn', `recorded by ptrace, at some 10 µs a call: ${program.obstacle}`);
  if (program.obstacle !== null && program.elf?.interpreter === null) return found;
  const elf = program.elf;
  if (!elf) {
    add('note', 'not an ELF file, or not readable: nothing can be told about it');
    return found;
  }
  add('ok', `dynamically linked (${elf.interpreter}): its calls into libc will be seen`);
  const parts = [{ path: program.binary, elf }, ...libraries(elf)].filter((p) => !isLibc(p.path));
  const own = elf.imports.filter((s) => entries.test(s)).sort();
  add(
    'note',
    own.length ? `it calls ${own.join(', ')}` : 'it calls no function itself that reaches a device; its libraries may',
  );
  const using = (pattern: RegExp): string[] =>
    parts.filter((p) => p.elf.imports.some((s) => pattern.test(s))).map((p) => p.path);
  if (own.includes('mmap') || own.includes('mmap64'))
    add('note', 'it maps memory: mapped device registers are seen with --mmio=hide or trap, not with pass');
  for (const path of using(rings))
    add('warn', `${path} uses io_uring or aio: what goes to a device that way is not seen`);
  const filters = parts.filter(
    (p) => p.elf.imports.some((s) => seccompSymbols.test(s) && s !== 'prctl') || /seccomp/.test(p.path),
  );
  if (filters.length)
    add(
      'note',
      `seccomp is used (${filters.map((p) => p.path).join(', ')}): the interposer makes no system call of its own, so that is fine`,
    );
  const dispatched = program.raw > 0 && canDispatch();
  for (const part of parts) {
    const calls = rawSyscalls(part.path, part.elf);
    const what = `${part.path}: ${calls} system calls not made through libc`;
    if (calls && dispatched) add('note', `${what}: dispatched, at some µs each (--raw=off: not seen)`);
    else if (calls) add('warn', `${what}; if they reach a device they are not seen without --raw=dispatch`);
  }
  return found;
}

const list = (path: string): string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

export function examineHost(ringFolder: string): Finding[] {
  const found: Finding[] = [];
  const add = (grade: Grade, what: string): void => void found.push({ grade, what });
  add('note', `Linux ${release()} on ${arch()}`);
  for (const file of ['libvfio-rr.so', 'rings.so'] as const) {
    const built = existsSync(nativePath(file));
    add(
      built ? 'ok' : 'bad',
      built ? `${nativePath(file)} is built` : `${nativePath(file)} is missing: run \`npm run build:native\``,
    );
  }
  const nodes = list('/dev/vfio');
  const modules = (line('/proc/modules') ?? '').match(/^\w*(?:vfio|iommufd)\w*/gm) ?? [];
  if (existsSync('/dev/vfio/vfio') || existsSync('/dev/iommu')) add('ok', `/dev/vfio: ${nodes.join(', ') || 'empty'}`);
  else add('bad', 'neither /dev/vfio/vfio nor /dev/iommu: `modprobe vfio-pci`, or a kernel with CONFIG_VFIO');
  add('note', modules.length ? `modules: ${modules.join(', ')}` : 'no VFIO module is loaded (it may be built in)');
  const groups = list('/sys/kernel/iommu_groups');
  add(
    groups.length ? 'ok' : 'bad',
    groups.length
      ? `${groups.length} IOMMU groups`
      : 'no IOMMU group: boot with intel_iommu=on or amd_iommu=on, and switch VT-d or AMD-Vi on',
  );
  const bound = list('/sys/bus/pci/drivers/vfio-pci').filter((name) => /^[\da-f]{4}:/.test(name));
  add(
    'note',
    bound.length
      ? `bound to vfio-pci: ${bound.join(', ')}`
      : 'no device is bound to vfio-pci: `echo vfio-pci > /sys/bus/pci/devices/ADDRESS/driver_override`, then `echo ADDRESS > /sys/bus/pci/drivers_probe`',
  );
  if (existsSync(ringFolder)) {
    const fs = statfsSync(ringFolder);
    const free = (fs.bavail * fs.bsize) / 2 ** 20;
    add(
      free >= 256 ? 'ok' : 'bad',
      `${ringFolder} has ${Math.floor(free)} MiB for the ring${free >= 256 ? '' : '; name a larger folder with --ring'}`,
    );
  } else add('bad', `${ringFolder} does not exist; name a folder for the ring with --ring`);
  add(
    'note',
    tscIsInvariant()
      ? 'clock: the TSC, which is invariant here'
      : 'clock: CLOCK_MONOTONIC (no invariant TSC); a call costs some 40 ns more',
  );
  return found;
}

export function findingsText(findings: readonly Finding[]): string {
  const marks: Readonly<Record<Grade, string>> = { ok: 'ok  ', note: '    ', warn: 'MIND', bad: 'BAD ' };
  return findings.map((f) => `${marks[f.grade]} ${f.what}\n`).join('');
}
