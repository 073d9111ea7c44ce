// Names for what the kernel hands out, so that two recordings can be laid side by side: a handle is its kind and device
// and rank ("device 0000:00:04.0", "eventfd #2"), an object id is its type and rank ("ioas #1"), whatever the numbers
// were. Ids and descriptors are used again after they are freed, so a number names different things at different events.

import type { Leaf } from '../../schema/decode.ts';
import type { Handle } from '../entities.ts';
import type { TraceEvent } from '../event.ts';

/** Values over time: the one in force at an event is the last set at or before it. */
class Timeline<T> {
  readonly #at: number[] = [];
  readonly #values: T[] = [];
  set(event: number, value: T): void {
    this.#at.push(event);
    this.#values.push(value);
  }
  get(event: number): T | undefined {
    let [low, high] = [0, this.#at.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#at[middle] as number) <= event) low = middle + 1;
      else high = middle;
    }
    return this.#values[low - 1];
  }
}

export class CommonNames {
  readonly #handles = new Map<number, string>();
  readonly #fds = new Map<string, Timeline<number>>();
  readonly #objects = new Map<string, Timeline<string>>();
  readonly #ranks = new Map<string, number>();

  constructor(handles: Iterable<Handle>, renamed: ReadonlyMap<string, string>) {
    const sorted = [...handles].sort((a, b) => (a.opened ?? 0) - (b.opened ?? 0) || a.id - b.id);
    for (const h of sorted) {
      if (h.alias !== null && h.alias !== h.id) continue;
      const rank = this.#next(h.kind);
      // A group's number and a cdev's path belong to the host, not to what the program did.
      const name = h.kind === 'device' && h.name ? `device ${renamed.get(h.name) ?? h.name}` : undefined;
      const opens = name ? this.#next(name) : 0;
      this.#handles.set(h.id, name ? (opens > 1 ? `${name} (open ${opens})` : name) : `${h.kind} #${rank}`);
    }
  }

  handle(id: number): string {
    return this.#handles.get(id) ?? (id === 0 ? 'unknown' : `handle ${id}`);
  }

  /** Takes in what an event hands out. Call for every event, in order. */
  see(e: TraceEvent, outputs: Iterable<Leaf>): void {
    if (e.made !== 0 && e.ret !== null && e.ret >= 0) this.#fd(e, e.ret, e.made);
    for (const leaf of outputs) {
      if (leaf.field.dir === 'in') continue;
      if (leaf.field.means === 'fd' && e.made !== 0 && Number(leaf.value) >= 0) this.#fd(e, Number(leaf.value), e.made);
      if (leaf.field.means === 'object' && leaf.field.dir === 'out' && e.ret !== null && e.ret >= 0) {
        const type = leaf.field.of ?? 'any';
        const key = `${e.kind === 'iommufd' ? e.handle : 0}:${leaf.value}`;
        const line = this.#objects.get(key) ?? new Timeline<string>();
        line.set(e.id, `${type} #${this.#next(`object ${type}`)}`);
        this.#objects.set(key, line);
      }
    }
  }

  /** What a descriptor or object field names at this event; undefined when that is not known. */
  canon(leaf: Leaf, e: TraceEvent): string | undefined {
    const n = Number(leaf.value);
    if (leaf.field.means === 'fd') {
      if (n < 0) return 'none';
      const handle = this.#fds.get(`${e.process}:${n}`)?.get(e.id);
      return handle === undefined ? undefined : this.handle(handle);
    }
    return (this.#objects.get(`${e.handle}:${n}`) ?? this.#objects.get(`0:${n}`))?.get(e.id);
  }

  #fd(e: TraceEvent, fd: number, handle: number): void {
    const key = `${e.process}:${fd}`;
    const line = this.#fds.get(key) ?? new Timeline<number>();
    line.set(e.id, handle);
    this.#fds.set(key, line);
  }

  #next(what: string): number {
    const rank = (this.#ranks.get(what) ?? 0) + 1;
    this.#ranks.set(what, rank);
    return rank;
  }
}
