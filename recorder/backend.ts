// How a program is recorded: by the interposer or by ptrace, and what is done about its system calls outside libc.

import { TraceError } from '../schema/errors.ts';
import type { RawMode } from '../schema/event.ts';
import type { Io } from '../traces/io.ts';
import type { Program } from './program.ts';
import { canDispatch } from './raw-syscalls.ts';

export const backends = ['auto', 'preload', 'ptrace'] as const;
/** How calls are caught: libc's by the interposer, or the kernel's by ptrace. auto: preload where it can see them. */
export type Backend = (typeof backends)[number];

export const raws = ['auto', 'dispatch', 'off'] as const;
/** System calls outside libc: handed to the interposer, or left alone. auto: where the program has some of its own. */
export type Raw = (typeof raws)[number];

export interface Choice {
  readonly backend: Backend;
  readonly raw: Raw;
  readonly force: boolean;
}

/** How the program is recorded; `none`: it runs without. */
export function chooseBackend(program: Program, options: Choice, io: Pick<Io, 'err'>): 'preload' | 'ptrace' | 'none' {
  if (options.backend === 'ptrace' && program.traceable) return 'ptrace';
  const unseen = rawObstacle(program, options.raw);
  if (program.obstacle === null && (unseen === null || options.backend === 'preload')) return 'preload';
  if (options.backend === 'auto' && program.traceable) {
    io.err(`vfio-rr: recorded by ptrace, at some 10 µs a call: ${program.obstacle ?? unseen}\n`);
    return 'ptrace';
  }
  const reason = `${program.name} cannot be recorded: ${program.obstacle}`;
  if (!options.force) throw new TraceError('USAGE', `${reason}; --force runs it unrecorded`);
  io.err(`vfio-rr: ${reason}. It runs unrecorded.\n`);
  return 'none';
}

/** Why a program that can be preloaded would not be seen whole, as a sentence's end. */
function rawObstacle(program: Program, raw: Raw): string | null {
  if (program.raw === 0 || program.elf?.imports.includes('ioctl')) return null;
  if (raw !== 'off' && canDispatch()) return null;
  return `${program.binary} makes system calls by itself and none of libc's ioctl()`;
}

/** Whether the interposer is to be handed system calls outside libc. */
export function rawMode(program: Program, raw: Raw, io: Pick<Io, 'err'>): RawMode {
  if (raw === 'off' || (raw === 'auto' && (program.raw === 0 || !canDispatch()))) return 'off';
  if (raw === 'auto')
    io.err(`vfio-rr: ${program.raw} system calls of ${program.binary}'s own are dispatched, at some µs each\n`);
  return 'dispatch';
}
