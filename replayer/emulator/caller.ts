// The process that makes a call, as the emulated kernel sees it: its memory, its descriptors, its limits. Whoever
// answers calls through the emulator implements this (a replay target; the server of played programs). Everything is
// synchronous: a call is answered completely before the next begins.

import type { OpenFile } from './file.ts';

export interface CallerMemory {
  /** `length` bytes at a process address, or null where they cannot all be read (EFAULT). */
  read(address: bigint, length: number): Buffer | null;
  /** False where not all bytes can be written (EFAULT). */
  write(address: bigint, bytes: Uint8Array): boolean;
  /** Whether the whole range is there, and can be written where `write` is set; asked when it is mapped for DMA. */
  covers(address: bigint, length: bigint, write: boolean): boolean;
}

/** An eventfd that was handed to a device. The emulator keeps the object, as the kernel keeps a reference. */
export interface Eventfd {
  readonly kind: 'eventfd';
  /** Adds one to its counter. */
  signal(): void;
  /** Calls back when somebody writes to it (INTx unmask through an eventfd); the result ends that. */
  watch?(onWrite: () => void): () => void;
}

export interface Caller {
  /** Identifies the process; locked memory is counted under it. */
  readonly process: number;
  readonly memory: CallerMemory;
  /** RLIMIT_MEMLOCK in bytes; null: no limit (CAP_IPC_LOCK). */
  readonly memlock: bigint | null;
  /** The open file behind a descriptor: an emulated one, an eventfd, 'foreign' for any other; undefined: EBADF. */
  file(fd: number): OpenFile | Eventfd | 'foreign' | undefined;
  /** Gives `file` a new descriptor (O_CLOEXEC): its number, or -errno. Called last in a call that makes a file. */
  install(file: OpenFile): number;
}
