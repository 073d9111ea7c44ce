// The recorded program's numbers and what stands for them in the replay: descriptors of each process, object ids of each
// iommufd and memory become slots of the target; region offsets become the replay device's own.

import type { Piece } from './memory.ts';
import type { Slot } from './target.ts';

/** A device's region that the program has mapped into its memory. */
export interface Window {
  readonly process: number;
  readonly address: bigint;
  readonly length: bigint;
  readonly slot: Slot;
}

export class Names {
  #next = 1;
  readonly #free: Slot[] = [];
  readonly #slots = new Map<number, Slot>();
  readonly #fds = new Map<number, Map<number, number>>();
  readonly #references = new Map<number, number>();
  readonly #ids = new Map<string, Slot>();
  readonly #pieces = new Map<Piece, Slot>();
  readonly #regions = new Map<string, { recorded: bigint; own: bigint }>();
  /** iommufd that a device is bound to, by handle. */
  readonly iommufds = new Map<number, number>();
  readonly windows: Window[] = [];
  readonly eventfds = new Set<number>();
  /** Eventfds that were given to VFIO, by handle: nothing but a recorded call can make the others ready here. */
  readonly armed = new Set<number>();

  slot(): Slot {
    return this.#free.pop() ?? this.#next++;
  }
  release(slot: Slot): void {
    this.#free.push(slot);
  }

  /** Slot of an open file, undefined when the replay does not have it. */
  slotOf(handle: number): Slot | undefined {
    return this.#slots.get(handle);
  }
  /** The slot in which the open file will be kept. */
  make(handle: number): Slot {
    const slot = this.#slots.get(handle) ?? this.slot();
    this.#slots.set(handle, slot);
    return slot;
  }
  /** The open file is gone; its slot may be used again. */
  unmake(handle: number): void {
    const slot = this.#slots.get(handle);
    if (slot === undefined) return;
    this.#slots.delete(handle);
    this.release(slot);
  }

  /** The open file behind a descriptor number that a call names; 0: not known. */
  handleOf(process: number, fd: number): number {
    return this.#fds.get(process)?.get(fd) ?? 0;
  }

  /** `fd` of the process is that open file now. Returns the one it replaced if it has no descriptor left, else 0. */
  learn(process: number, fd: number, handle: number): number {
    if (fd < 0 || handle === 0) return 0;
    const table = this.#table(process);
    const old = table.get(fd) ?? 0;
    if (old === handle) return 0;
    table.set(fd, handle);
    this.hold(handle);
    return old === 0 ? 0 : this.drop(old);
  }

  /** `fd` of the process is closed. Returns the open file if it has no descriptor left, else 0. */
  forget(process: number, fd: number, handle: number): number {
    const known = this.#table(process).get(fd) ?? 0;
    this.#table(process).delete(fd);
    if (known !== 0) return this.drop(known);
    return this.#references.get(handle) ? 0 : handle;
  }

  /** A descriptor of the open file that is in no process: on its way through a socket. */
  hold(handle: number): void {
    this.#references.set(handle, (this.#references.get(handle) ?? 0) + 1);
  }
  drop(handle: number): number {
    const left = (this.#references.get(handle) ?? 1) - 1;
    this.#references.set(handle, left);
    return left <= 0 ? handle : 0;
  }

  /** A child begins with its parent's descriptors. */
  fork(parent: number, child: number): void {
    if (parent === child || this.#fds.has(child)) return;
    for (const [fd, handle] of this.#fds.get(parent) ?? []) this.learn(child, fd, handle);
  }

  /** The process has ended: the open files that have no descriptor left. */
  exit(process: number): number[] {
    const handles = [...(this.#fds.get(process)?.values() ?? [])];
    this.#fds.delete(process);
    return handles.map((h) => this.drop(h)).filter((h) => h !== 0);
  }

  idOf(iommufd: number, id: number): Slot | undefined {
    return this.#ids.get(`${iommufd}:${id}`);
  }
  makeId(iommufd: number, id: number): Slot {
    const key = `${iommufd}:${id}`;
    const slot = this.#ids.get(key) ?? this.slot();
    this.#ids.set(key, slot);
    return slot;
  }

  pieceOf(piece: Piece): Slot | undefined {
    return this.#pieces.get(piece);
  }
  makePiece(piece: Piece): Slot {
    const slot = this.slot();
    this.#pieces.set(piece, slot);
    return slot;
  }

  /** Where a region begins in the device's file: in the recording, and in the replay once it is known. */
  region(handle: number, index: number, recorded: bigint, own: bigint): void {
    this.#regions.set(`${handle}:${index}`, { recorded, own });
  }
  /** The replay's file offset of a place in a region. */
  fileOffset(handle: number, index: number | null, offset: bigint): bigint {
    if (index === null) return offset;
    return (this.#regions.get(`${handle}:${index}`)?.own ?? 0n) + offset;
  }
  /** The replay's file offset for one of the recording's. */
  moved(handle: number, index: number | null, file: bigint): bigint {
    const r = index === null ? undefined : this.#regions.get(`${handle}:${index}`);
    return r ? file - r.recorded + r.own : file;
  }

  #table(process: number): Map<number, number> {
    let table = this.#fds.get(process);
    if (!table) {
      table = new Map();
      this.#fds.set(process, table);
    }
    return table;
  }
}
