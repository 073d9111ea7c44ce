// A played process: its memory and its descriptors, through /proc. A process may read and write its own descendants'.

import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { CallerMemory } from '../emulator/caller.ts';

class ProcessMemory implements CallerMemory {
  /** -1: closed. */
  private fd: number;
  private readonly pid: number;
  constructor(pid: number) {
    this.pid = pid;
    this.fd = openSync(`/proc/${pid}/mem`, 'r+');
  }
  read(address: bigint, length: number): Buffer | null {
    const bytes = Buffer.allocUnsafe(length);
    return this.readInto(address, bytes) ? bytes : null;
  }
  private readInto(address: bigint, bytes: Buffer): boolean {
    if (address >= USER_END) return false;
    try {
      for (let got = 0; got < bytes.length; ) {
        const n = readSync(this.fd, bytes, got, bytes.length - got, Number(address) + got);
        if (n === 0) return false;
        got += n;
      }
    } catch {
      return false; // EIO: no such page
    }
    return true;
  }
  write(address: bigint, bytes: Uint8Array): boolean {
    if (address >= USER_END) return false;
    try {
      for (let put = 0; put < bytes.length; ) {
        const n = writeSync(this.fd, bytes, put, bytes.length - put, Number(address) + put);
        if (n === 0) return false;
        put += n;
      }
    } catch {
      return false;
    }
    return true;
  }
  covers(address: bigint, length: bigint, write: boolean): boolean {
    const end = address + length;
    let at = address;
    for (const line of mapsOf(this.pid)) {
      const [, from = '', to = '', readable, writable] = /^([0-9a-f]+)-([0-9a-f]+) (.)(.)/.exec(line) ?? [];
      const first = BigInt(`0x${from}`);
      const last = BigInt(`0x${to}`);
      if (last <= at) continue;
      if (first > at || readable !== 'r' || (write && writable !== 'w')) return false;
      at = last;
      if (at >= end) return true;
    }
    return length === 0n;
  }
  /** What is still mapped for DMA there is gone with the process. */
  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}

function mapsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8').trimEnd().split('\n');
  } catch {
    return []; // it has ended
  }
}
/** Addresses above belong to the kernel (47 bits on x86-64, 48 on aarch64); all are exact as a Number. */
const USER_END = 1n << 48n;

export type Held =
  | { readonly kind: 'played'; readonly handle: number }
  | { readonly kind: 'eventfd' }
  | { readonly kind: 'foreign' };

export class PlayedProcess {
  readonly pid: number;
  readonly memory: ProcessMemory;
  private readonly fdDir: string;

  /** Undefined: it has ended, or its memory is not ours to read (another user's, not a descendant). */
  static of(pid: number, playDir: string): PlayedProcess | undefined {
    try {
      return new PlayedProcess(pid, playDir);
    } catch {
      return undefined;
    }
  }
  private constructor(pid: number, playDir: string) {
    this.pid = pid;
    this.memory = new ProcessMemory(pid);
    this.fdDir = `${join(playDir, 'fd')}/`;
  }

  get alive(): boolean {
    return existsSync(`/proc/${this.pid}/fd/0`) || existsSync(`/proc/${this.pid}/exe`);
  }

  /** What descriptor `fd` is; undefined: not open. */
  held(fd: number): Held | undefined {
    let link: string;
    try {
      link = readlinkSync(`/proc/${this.pid}/fd/${fd}`);
    } catch {
      return undefined;
    }
    if (link === 'anon_inode:[eventfd]') return { kind: 'eventfd' };
    const handle = this.handleOf(link);
    return handle ? { kind: 'played', handle } : { kind: 'foreign' };
  }

  /** Handles of all played descriptors that the process holds. */
  handles(): Set<number> {
    const found = new Set<number>();
    let fds: string[] = [];
    try {
      fds = readdirSync(`/proc/${this.pid}/fd`);
    } catch {
      return found; // it has ended
    }
    for (const fd of fds) {
      const held = this.held(Number(fd));
      if (held?.kind === 'played') found.add(held.handle);
    }
    return found;
  }

  private handleOf(link: string): number {
    if (!link.startsWith(this.fdDir)) return 0;
    return Number(link.slice(this.fdDir.length).split('.')[1] ?? 0);
  }
}
