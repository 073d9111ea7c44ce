// A rule's evaluator: handlers of the steps that it looks at, and of the trace's end. Its memory, if it needs any
// beyond the shadow, lives in the closure of `make`.

import type { Precedence } from '../../schema/states-v1.ts';
import type { Judge } from './judge.ts';
import type { Device, World } from './shadow.ts';
import type { StepKind, StepOf } from './step.ts';

export type Handlers = { readonly [K in StepKind]?: (step: StepOf<K>) => void } & { readonly end?: () => void };

export interface Context {
  readonly world: World;
  /** In which order the v1 driver takes the bits of one write; null: not known. */
  readonly precedence: Precedence | null;
  /** Loads and stores through mappings are in the trace. */
  readonly trapped: boolean;
}
export type Make = (judge: Judge, context: Context) => Handlers;

/** Something per device, made when first asked for. */
export class PerDevice<T> {
  readonly #map = new Map<Device, T>();
  readonly #make: () => T;
  constructor(make: () => T) {
    this.#make = make;
  }
  of(device: Device): T {
    let t = this.#map.get(device);
    if (t === undefined) {
      t = this.#make();
      this.#map.set(device, t);
    }
    return t;
  }
  set(device: Device, t: T): void {
    this.#map.set(device, t);
  }
  delete(device: Device): void {
    this.#map.delete(device);
  }
  entries(): IterableIterator<[Device, T]> {
    return this.#map.entries();
  }
}
