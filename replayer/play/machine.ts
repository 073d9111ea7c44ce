// What answers a played program: the emulator, or a trace. Handlers fail by throwing Failed (emulator/failed.ts).

import type { Caller as EmulatorCaller } from '../emulator/caller.ts';
import type { MmapRequest, OpenFile } from '../emulator/file.ts';
import type { Mapping } from '../emulator/region.ts';

/** Who calls: also which thread. */
export interface Caller extends EmulatorCaller {
  readonly thread: string;
}

export interface Machine {
  open(caller: Caller, path: string, flags: number): number;
  ioctl(caller: Caller, file: OpenFile, request: number, arg: bigint): number;
  pread(caller: Caller, file: OpenFile, length: number, offset: bigint): Buffer | number;
  pwrite(caller: Caller, file: OpenFile, bytes: Buffer, offset: bigint): number;
  read(caller: Caller, file: OpenFile, length: number): Buffer | number;
  write(caller: Caller, file: OpenFile, bytes: Buffer): number;
  mmap(caller: Caller, file: OpenFile, request: MmapRequest): Mapping | number;
  /** A process comes in, or runs another program since exec. */
  began(process: number): void;
  /** Lets virtual time go on to the next event; what is due happens. Called when the program is quiet. */
  idle(): void;
  /** Whether `idle` would do something. */
  readonly waiting: boolean;
  /** Sentences for the end of the run; `failed` makes the exit code 1. */
  report(): readonly Remark[];
}

export interface Remark {
  readonly text: string;
  readonly failed: boolean;
}
