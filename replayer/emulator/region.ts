// Device memory that a program can map, and what a mapping of a region is.

/** Where the bytes of plain device memory are kept. */
export interface Store {
  read(at: number, length: number): Buffer;
  write(at: number, bytes: Uint8Array): void;
}

class Heap implements Store {
  private readonly bytes: Buffer;
  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
  }
  read(at: number, length: number): Buffer {
    return Buffer.from(this.bytes.subarray(at, at + length));
  }
  write(at: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, at);
  }
}

/** Plain memory of a device: reads give what was written. */
export class Ram implements Store {
  readonly size: number;
  private store: Store;
  constructor(size: number) {
    this.size = size;
    this.store = new Heap(size);
  }
  read(at: number, length: number): Buffer {
    return this.store.read(at, length);
  }
  write(at: number, bytes: Uint8Array): void {
    this.store.write(at, bytes);
  }
  /** Keeps the bytes in `store` from now on (memory shared with the program that mapped it); their content moves over. */
  moveTo(store: Store): void {
    store.write(0, this.store.read(0, this.size));
    this.store = store;
  }
}

/** A mapped part of a region. */
export interface Mapping {
  /** Region index, and where in the region the mapping starts. */
  readonly region: number;
  readonly offset: number;
  readonly length: number;
  /** What the program's load or store at `at` (from the mapping's start) does. */
  load(at: number, length: number): Buffer;
  store(at: number, bytes: Buffer): void;
  /**
   * Set where loads and stores have no effects beyond the bytes: such a mapping can be given to the program as memory.
   * `start`: where in `ram` the mapping begins.
   */
  readonly ram?: { readonly memory: Ram; readonly start: number };
}
