// Migration protocol v2 of an emulated PCI device: the stream is its image (image.ts), pages first while it runs, the
// registers last. Source: linux/vfio.h.

import type { MigState } from '../../schema/features.ts';
import { fail } from './failed.ts';
import { type Arcs, Fsm } from './fsm.ts';
import { Image } from './image.ts';
import type { PciDevice } from './pci-device.ts';
import type { MigrationV2Spec } from './profile.ts';
import { DataFile, type Sink, type Source } from './stream.ts';

const isPreCopy = (state: MigState): boolean => state === 'PRE_COPY' || state === 'PRE_COPY_P2P';
const isRunning = (state: MigState): boolean => state === 'RUNNING' || state === 'PRE_COPY';
const isP2p = (state: MigState): boolean => state === 'RUNNING_P2P' || state === 'PRE_COPY_P2P';

class State implements Arcs, Source, Sink {
  private readonly pci: PciDevice;
  private readonly spec: MigrationV2Spec;
  private readonly image: Image;
  fsm!: Fsm;
  /** Made ready and not yet read; or written and not yet a whole record. */
  private queue = Buffer.alloc(0);
  /** Bytes at the queue's start that were there when PRE_COPY began. */
  private initial = 0;

  constructor(pci: PciDevice, spec: MigrationV2Spec) {
    this.pci = pci;
    this.spec = spec;
    this.image = new Image(pci, spec.churn);
  }

  get infoV2(): boolean {
    return this.fsm.precopyInfoV2;
  }
  dataSize(): bigint {
    return BigInt(this.image.size);
  }

  open(to: MigState): DataFile {
    this.queue = Buffer.alloc(0);
    this.initial = 0;
    if (to === 'RESUMING') {
      this.image.complete = false;
      return new DataFile({ kind: 'resume', sink: this });
    }
    this.image.begin();
    this.fill(to === 'STOP_COPY');
    if (isPreCopy(to)) this.initial = this.queue.length;
    return new DataFile({ kind: 'save', source: this });
  }
  keep(to: MigState): void {
    if (to === 'STOP_COPY') this.fill(true);
  }
  close(from: MigState): void {
    if (from === 'RESUMING' && (!this.image.complete || this.queue.length > 0)) fail('EINVAL');
    this.queue = Buffer.alloc(0);
  }

  moved(_from: MigState, to: MigState): void {
    const stopped = !isRunning(to) && !isP2p(to);
    // A device in a P2P state does no DMA at all, which linux/vfio.h allows.
    this.pci.setGate({ dma: !isRunning(to), interrupts: stopped, stopped });
  }

  private fill(stopped: boolean): void {
    this.queue = Buffer.concat([this.queue, this.image.take(Number.POSITIVE_INFINITY, stopped)]);
  }

  read(length: number): Buffer {
    const state = this.fsm.getState();
    if (this.queue.length === 0) {
      if (state === 'PRE_COPY') this.image.stir();
      if (isPreCopy(state)) this.fill(false);
    }
    if (this.queue.length === 0 && isPreCopy(state) && this.spec.temporaryEnd === 'ENOMSG') fail('ENOMSG');
    const bytes = this.queue.subarray(0, length);
    this.queue = this.queue.subarray(bytes.length);
    this.initial = Math.max(0, this.initial - bytes.length);
    return bytes;
  }

  precopyInfo(): { initial: bigint; dirty: bigint; reinit: boolean } | null {
    const state = this.fsm.getState();
    if (!isPreCopy(state)) return null;
    if (state === 'PRE_COPY') this.image.stir();
    const dirty = this.queue.length - this.initial + this.image.pending(false);
    return { initial: BigInt(this.initial), dirty: BigInt(dirty), reinit: false };
  }

  write(bytes: Buffer): number {
    this.queue = Buffer.from(this.image.load(Buffer.concat([this.queue, bytes])));
    return bytes.length;
  }
}

export function addMigrationV2(pci: PciDevice, spec: MigrationV2Spec): void {
  const state = new State(pci, spec);
  const fsm = new Fsm(pci.device, spec.flags, state);
  state.fsm = fsm;
  pci.migration = fsm;
  pci.hooks = { restart: () => fsm.reset(), close: () => fsm.close(), toError: () => fsm.toError() };
}
