// What a trace has made known so far, per device, address space and descriptor: the state that a call is judged in.

import type { MigState } from '../../schema/features.ts';
import type { TraceEvent } from '../event.ts';
import { Mappings } from './mappings.ts';
import { Stream } from './stream.ts';

/** An IO address space: a container's, or an IOAS of an iommufd. */
export class Space {
  readonly name: string;
  readonly maps = new Mappings();
  readonly devices = new Set<Device>();
  /** Smallest IOMMU page and all page sizes, as a mask; null: not asked. */
  pgsizes: bigint | null = null;
  ranges: readonly { readonly start: bigint; readonly end: bigint }[] | null = null;
  /** Mappings left, as the DMA_AVAIL capability said. */
  available: number | null = null;
  /** type1's own dirty tracking. */
  tracking = false;
  /** The answer about it was cut short and not asked for again. */
  short = false;
  constructor(name: string) {
    this.name = name;
  }
}

/** /dev/vfio/vfio or /dev/iommu. */
export class Container {
  readonly handle: number;
  readonly iommufd: boolean;
  /** The one of the container's own calls. */
  own: Space;
  iommu: number | null = null;
  readonly groups = new Set<Group>();
  readonly spaces = new Map<number, Space>();
  /** IOAS of a hardware page table. */
  readonly tables = new Map<number, number>();
  constructor(handle: number, iommufd: boolean) {
    this.handle = handle;
    this.iommufd = iommufd;
    this.own = new Space(`${iommufd ? 'iommufd' : 'container'} ${handle}`);
  }
  space(ioas: number): Space {
    let s = this.spaces.get(ioas);
    if (!s) {
      s = new Space(`iommufd ${this.handle} IOAS ${ioas}`);
      this.spaces.set(ioas, s);
    }
    return s;
  }
  all(): Space[] {
    return [this.own, ...this.spaces.values()];
  }
}

export interface Group {
  readonly handle: number;
  /** N of /dev/vfio/N; null: not known, or a noiommu group. */
  readonly number: number | null;
  container: Container | null;
}

export interface Region {
  readonly index: number;
  readonly flags: number;
  readonly size: bigint;
  readonly offset: bigint;
  /** What may be mapped; null: all of it, if it has the MMAP flag. */
  readonly areas: readonly { readonly offset: bigint; readonly size: bigint }[] | null;
  readonly type: number | null;
  readonly subtype: number | null;
  readonly ndma: boolean;
  /** Capabilities did not fit the answer. */
  readonly short: boolean;
}

/** Part of a region in the program's memory. */
export interface Window {
  readonly address: number;
  readonly length: number;
  readonly region: Region | null;
  /** In the region. */
  readonly offset: bigint;
  readonly process: number;
}

export interface Irq {
  flags: number;
  /** Vectors the device has; null: not asked. */
  count: number | null;
  /** Vectors that were enabled together; 0 none. */
  enabled: number;
  /** Eventfd (handle, or -fd where it has none) by vector. */
  readonly armed: Map<number, number>;
}

export class Device {
  /** Address or UUID, or the path of /dev/vfio/devices. */
  readonly name: string;
  readonly handles = new Set<number>();
  readonly group: Group | null;
  readonly cdev: boolean;
  bound: boolean;
  container: Container | null = null;
  space: Space | null = null;
  readonly regions = new Map<number, Region>();
  readonly irqs = new Map<number, Irq>();
  readonly windows: Window[] = [];
  readonly ioeventfds = new Set<string>();
  /** Data descriptors that the program has not closed. */
  readonly held = new Set<Session>();
  lowPower = false;
  /** Groups that a hot reset touches; null: not asked. */
  dependents: readonly number[] | null = null;
  v1: V1 | null = null;
  readonly v2: V2;
  constructor(name: string, group: Group | null, cdev: boolean, fresh: boolean) {
    this.name = name;
    this.group = group;
    this.cdev = cdev;
    this.bound = !cdev;
    this.v2 = new V2(fresh);
  }
  /** Whether the trace shows which migration protocol is spoken. */
  get protocol(): 'v1' | 'v2' | null {
    return this.v1 ? 'v1' : this.v2.flags !== null || this.v2.used ? 'v2' : null;
  }
}

/** Iteration over data segments. `phase` is the last thing done. */
export interface Iteration {
  phase: 'idle' | 'pending' | 'offset' | 'size' | 'data';
  pending: bigint | null;
  offset: bigint | null;
  size: bigint | null;
  /** Sorted, disjoint [from, to) of the region that were read or written. */
  readonly done: [bigint, bigint][];
  /** The segment's bytes as far as they are known, from its start; null: too large, or not kept. */
  bytes: Buffer | null;
}
export const newIteration = (): Iteration => ({
  phase: 'idle',
  pending: null,
  offset: null,
  size: null,
  done: [],
  bytes: null,
});

export interface Segment {
  readonly size: bigint;
  /** null: its bytes are not in the trace. */
  readonly hash: string | null;
  readonly event: number;
}

/** One stay in SAVING or RESUMING. */
export interface Transfer {
  readonly device: string;
  readonly kind: 'save' | 'resume';
  readonly segments: Segment[];
  /** The call that began it. */
  readonly event: TraceEvent;
  /** The program left the state by writing another. */
  finished: boolean;
}

export class V1 {
  readonly region: Region;
  /** Last value that was read or successfully written; null: not known. */
  state: number | null = null;
  /** Last value read since the last write. */
  read: number | null = null;
  /** The last write failed and the state was not read since. */
  failed: { readonly from: number | null; readonly to: number } | null = null;
  /** Opened or reset and not read nor written since. */
  fresh: boolean;
  /** The state was written successfully since the device was opened or reset. */
  written = false;
  /** ERROR was read. */
  error = false;
  iteration = newIteration();
  transfer: Transfer | null = null;
  constructor(region: Region, fresh: boolean) {
    this.region = region;
    this.fresh = fresh;
    if (fresh) this.state = 1; // VFIO_DEVICE_STATE_RUNNING, H5.10:464
  }
}

export class V2 {
  /** Of VFIO_DEVICE_FEATURE_MIGRATION; null: not asked. */
  flags: number | null = null;
  used = false;
  /** What the state may be; null: anything. */
  states: ReadonlySet<MigState> | null;
  /** A SET failed and nothing told the state since. */
  failed: { readonly event: number; readonly to: number } | null = null;
  /** The state is known by RESET and was not read since. */
  reset = false;
  session: Session | null = null;
  /** MIG_PRECOPY_INFOv2 was asked for. */
  precopyV2 = false;
  logging = false;
  /** The device did not do DMA any more at the last successful REPORT; null: no report since START. */
  lastReport: 'quiet' | 'running' | null = null;
  /** A REPORT failed and the migration went on. */
  reportFailed: number | null = null;
  /** The device left the running states since logging began. */
  stopped = false;
  constructor(fresh: boolean) {
    this.states = fresh ? new Set<MigState>(['RUNNING']) : null;
  }
  /** The state where it is certain. */
  get state(): MigState | null {
    if (this.states?.size !== 1) return null;
    for (const s of this.states) return s;
    return null;
  }
  /** Whether the state is surely one of these. */
  within(these: ReadonlySet<MigState>): boolean {
    if (!this.states) return false;
    for (const s of this.states) if (!these.has(s)) return false;
    return true;
  }
}

/** A data descriptor's life. */
export class Session {
  readonly device: Device;
  readonly handle: number;
  readonly fd: number;
  readonly kind: 'save' | 'resume';
  /** The SET that began it. */
  readonly begun: TraceEvent;
  /** Until the arc or reset that ends it. */
  open = true;
  /** Ended by a SET that succeeded, not by reset or close. */
  finished = false;
  /** read() returned 0 in STOP_COPY. */
  ended = false;
  /** A read or write failed for good. */
  broken = false;
  info: { readonly initial: bigint; readonly at: bigint } | null = null;
  readonly stream = new Stream();
  constructor(device: Device, handle: number, fd: number, kind: 'save' | 'resume', begun: TraceEvent) {
    this.device = device;
    this.handle = handle;
    this.fd = fd;
    this.kind = kind;
    this.begun = begun;
  }
  get event(): number {
    return this.begun.id;
  }
}

export class World {
  /** The trace's path. */
  readonly trace: string;
  readonly devices = new Map<number, Device>();
  readonly groups = new Map<number, Group>();
  readonly containers = new Map<number, Container>();
  readonly sessions = new Map<number, Session>();
  /** Ended and current sessions and transfers, in order. */
  readonly streams: Session[] = [];
  readonly transfers: Transfer[] = [];
  readonly paths = new Map<number, string>();
  /** Open file by process and descriptor number. */
  readonly #fds = new Map<number, Map<number, number>>();
  readonly #references = new Map<number, number>();
  /** Process by pid. */
  readonly #processes = new Map<number, number>();
  /** A device's own name by its open file; '' unknown. */
  readonly deviceName: (handle: number) => string;
  constructor(trace: string, deviceName: (handle: number) => string) {
    this.trace = trace;
    this.deviceName = deviceName;
  }

  /** The open file behind a descriptor that a call names in its argument; 0: not known. */
  handleOf(process: number, fd: number): number {
    return this.#fds.get(process)?.get(fd) ?? 0;
  }

  /** Learns that `fd` is `handle`. Returns the open file it silently replaced (dup2), 0 none. */
  learn(process: number, fd: number, handle: number): number {
    if (fd < 0 || handle === 0) return 0;
    let table = this.#fds.get(process);
    if (!table) {
      table = new Map();
      this.#fds.set(process, table);
    }
    const old = table.get(fd) ?? 0;
    if (old === handle) return 0;
    table.set(fd, handle);
    this.#references.set(handle, (this.#references.get(handle) ?? 0) + 1);
    return old !== 0 && this.#drop(old) ? old : 0;
  }

  /** Forgets a descriptor. Returns the open file that has no descriptor left, 0 none. */
  forget(process: number, fd: number, handle: number): number {
    const table = this.#fds.get(process);
    const known = table?.get(fd);
    table?.delete(fd);
    if (known !== undefined) return this.#drop(known) ? known : 0;
    return handle !== 0 && !this.#references.get(handle) ? handle : 0;
  }

  #drop(handle: number): boolean {
    const left = (this.#references.get(handle) ?? 1) - 1;
    this.#references.set(handle, left);
    return left <= 0;
  }

  /** A process began; a forked one has its parent's descriptors. */
  started(child: number, pid: number, parentPid: number): void {
    const parent = this.#processes.get(parentPid);
    this.#processes.set(pid, child);
    if (parent === undefined || parent === child || this.#fds.has(child)) return;
    const table = new Map(this.#fds.get(parent) ?? []);
    this.#fds.set(child, table);
    for (const handle of table.values()) this.#references.set(handle, (this.#references.get(handle) ?? 0) + 1);
  }

  container(handle: number, iommufd: boolean): Container {
    let c = this.containers.get(handle);
    if (!c) {
      c = new Container(handle, iommufd);
      this.containers.set(handle, c);
    }
    return c;
  }

  /** Devices that share an address space with this one: what its DMA can reach. */
  peers(device: Device): Device[] {
    return device.space ? [...device.space.devices].filter((d) => d !== device) : [];
  }
}
