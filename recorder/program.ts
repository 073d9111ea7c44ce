// Finds the program that is to be recorded, and says before it starts why it could not be.

import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { basename, delimiter, join, resolve } from 'node:path';
import { TraceError } from '../schema/errors.ts';
import { type Elf, readExecutable } from './elf.ts';
import { nativePath } from './native.ts';
import { rawSyscalls } from './raw-syscalls.ts';

export interface Program {
  /** As typed; its argv[0]. */
  readonly name: string;
  readonly path: string;
  /** The binary that runs: of a script, its interpreter's. */
  readonly binary: string;
  readonly elf: Elf | null;
  /** Why the interposer cannot be loaded into it, or would see nothing, as a sentence's end; null: it can. */
  readonly obstacle: string | null;
  /** Whether ptrace would record it all the same. */
  readonly traceable: boolean;
  /** System call instructions of its own, which the interposer sees by dispatch only. */
  readonly raw: number;
}

export interface User {
  readonly uid: number;
  readonly gid: number;
}

function runnable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** As execvp(3) looks for it. */
function find(name: string, searchPath: string): string {
  if (name.includes('/')) {
    if (!existsSync(name)) throw new TraceError('USAGE', `there is no program ${name}; check its path`);
    if (!runnable(name))
      throw new TraceError('USAGE', `${name} is not an executable file; chmod +x it, or name another`);
    return resolve(name);
  }
  const found = searchPath.split(delimiter).map((folder) => join(folder || '.', name));
  const path = found.find(runnable);
  if (path) return resolve(path);
  const blocked = found.find((p) => existsSync(p) && statSync(p).isFile());
  if (blocked) throw new TraceError('USAGE', `${blocked} is not an executable file; chmod +x it, or name another`);
  throw new TraceError('USAGE', `there is no program ${name} in PATH; give its path, or install it`);
}

/** The file whose dynamic linker decides: follows `#!` lines, `env` too. */
function binaryOf(path: string, searchPath: string, depth = 0): { binary: string; elf: Elf | null } {
  const file = readExecutable(path);
  if (file.kind === 'elf') return { binary: path, elf: file.elf };
  if (file.kind === 'other' || depth > 4) return { binary: path, elf: null }; // execvp falls back to a shell
  const next =
    basename(file.interpreter) === 'env' && file.argument ? find(file.argument, searchPath) : file.interpreter;
  return existsSync(next) ? binaryOf(next, searchPath, depth + 1) : { binary: next, elf: null };
}

export function findProgram(name: string, searchPath: string, user: User): Program {
  const path = find(name, searchPath);
  let found: { binary: string; elf: Elf | null };
  try {
    found = binaryOf(path, searchPath);
  } catch (error) {
    // Executable but not readable: it can be run, and what it is cannot be known.
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    found = { binary: path, elf: null };
  }
  const forbidden = forbiddenOf(found.binary, found.elf, user);
  const obstacle = forbidden ?? (found.elf && obstacleOf(found.binary, found.elf));
  const raw = obstacle === null && found.elf ? rawSyscalls(found.binary, found.elf) : 0;
  return { name, path, ...found, obstacle, traceable: forbidden === null, raw };
}

/** What no way of recording gets round. */
function forbiddenOf(binary: string, elf: Elf | null, user: User): string | null {
  const stat = statSync(binary, { throwIfNoEntry: false });
  if (!stat) return `needs the interpreter ${binary}, which does not exist`;
  if (stat.mode & 0o4000 && stat.uid !== user.uid)
    return `${binary} is setuid, and the dynamic linker preloads nothing into such; record it as the user with id ${stat.uid}`;
  if (stat.mode & 0o2000 && stat.gid !== user.gid)
    return `${binary} is setgid, and the dynamic linker preloads nothing into such; record it with group id ${stat.gid}`;
  const own = elf && ownMachine();
  if (own && (elf.machine !== own.machine || elf.bits !== own.bits))
    return `${binary} is a ${elf.bits}-bit ${elf.machineName} program, and the recorder is built for ${own.machineName}`;
  return null;
}

function obstacleOf(binary: string, elf: Elf): string | null {
  if (elf.interpreter === null)
    return `${binary} is statically linked, so nothing can be preloaded; link it dynamically`;
  if (/\bld-musl/.test(elf.interpreter))
    return `${binary} is linked with musl, and the recorder with glibc; build it for glibc`;
  if (/[ :]/.test(nativePath('libvfio-rr.so')))
    return `${nativePath('libvfio-rr.so')} has a space or a colon in its path, where LD_PRELOAD ends a name; install vfio-rr elsewhere`;
  if (elf.go) return `${binary} is written in Go, whose run-time makes system calls by itself`;
  return null;
}

function ownMachine(): Elf | null {
  const path = nativePath('libvfio-rr.so');
  if (!existsSync(path)) return null;
  const own = readExecutable(path);
  return own.kind === 'elf' ? own.elf : null;
}
