// Migration v2: walks a device through the state machine, arc by arc, and keeps the session of the data stream.
// Source: linux/vfio.h; drivers/vfio/vfio_main.c; the walk is that of mtty_set_state (samples/vfio-mdev/mtty.c, 6.12).

import type { MigState } from '../../schema/features.ts';
import { migStateName, nextState, sessionOf } from '../../schema/fsm-v2.ts';
import type { Device } from './device.ts';
import type { MigrationOps } from './driver.ts';
import { Failed, fail } from './failed.ts';
import type { DataFile } from './stream.ts';

/** What a device does on an arc. Each may fail, and then the device stays where it was. */
export interface Arcs {
  /** A stream begins: the arc to PRE_COPY(_P2P), STOP_COPY or RESUMING. */
  open(to: MigState): DataFile;
  /** The stream goes on into `to`: what is left is made ready when it is STOP_COPY. */
  keep(to: MigState): void;
  /** The stream ends; from RESUMING, what came is loaded. */
  close(from: MigState): void;
  /** Any arc, after the above. */
  moved(from: MigState, to: MigState): void;
  dataSize(): bigint;
}

export class Fsm implements MigrationOps {
  readonly flags: number;
  precopyInfoV2 = false;
  private readonly device: Device;
  private readonly arcs: Arcs;
  private state: MigState = 'RUNNING';
  private file: DataFile | null = null;

  constructor(device: Device, flags: number, arcs: Arcs) {
    this.device = device;
    this.flags = flags;
    this.arcs = arcs;
  }

  getState(): MigState {
    return this.state;
  }
  dataSize(): bigint {
    return this.arcs.dataSize();
  }

  setState(wanted: number): DataFile | null {
    const to = migStateName(wanted) ?? fail('EINVAL');
    let made: DataFile | null = null;
    while (this.state !== to) {
      const next = nextState(this.flags, this.state, to) ?? fail('EINVAL');
      this.disturb(next);
      made = this.step(this.state, next);
      const from = this.state;
      this.state = next;
      this.arcs.moved(from, next);
    }
    return made?.get() ?? null;
  }

  private step(from: MigState, to: MigState): DataFile | null {
    switch (sessionOf(from, to)) {
      case 'open':
        this.file = this.arcs.open(to);
        return this.file;
      case 'keep':
        this.arcs.keep(to);
        return null;
      case 'close':
        this.arcs.close(from);
        this.disable();
        return null;
      default:
        return null;
    }
  }

  private disturb(to: MigState): void {
    const fault = this.device.host.faults.take('SET_STATE', [to], this.device.name);
    if (fault?.kind === 'delay') this.device.host.clock.advance(fault.ns);
    if (fault?.kind === 'errno') throw new Failed(fault.errno);
    if (fault?.kind === 'error') {
      this.toError();
      fail('EIO');
    }
  }

  /** The stream's user gets ENODEV from now on. */
  private disable(): void {
    if (!this.file) return;
    this.file.disabled = true;
    this.file.put();
    this.file = null;
  }

  /** An internal error: only a reset leads out. */
  toError(): void {
    const from = this.state;
    this.disable();
    this.state = 'ERROR';
    this.arcs.moved(from, 'ERROR');
  }
  /** Reset of the device: RUNNING, and the session is over. */
  reset(): void {
    const from = this.state;
    this.disable();
    this.state = 'RUNNING';
    this.arcs.moved(from, 'RUNNING');
  }
  /** Last close: the session is over, the state stays (mtty_close). */
  close(): void {
    this.disable();
  }
}
