// What to call a handle, a descriptor and a region.

import { migrationRegion, pciRegions } from '../schema/device.ts';
import type { Handle, Region } from './entities.ts';
import { printable } from './format/scalar.ts';
import type { Trace } from './trace.ts';

const regionNames = Object.fromEntries(Object.entries(pciRegions).map(([name, i]) => [i, name]));

export class Names {
  readonly #handles: ReadonlyMap<number, Handle>;
  readonly #regions: ReadonlyMap<string, Region>;
  /** By process and descriptor number, in the order in which they were opened. */
  readonly #byFd = new Map<string, Handle[]>();
  readonly #parents = new Map<number, number>();
  readonly #resolve: (handle: number) => number;

  constructor(trace: Pick<Trace, 'handles' | 'processes' | 'regions' | 'resolve'>) {
    this.#handles = trace.handles;
    this.#resolve = (h) => trace.resolve(h);
    this.#regions = new Map(trace.regions.map((r) => [`${this.#resolve(r.handle)}:${r.index}`, r]));
    for (const h of this.#handles.values()) {
      const key = `${h.process}:${h.fd}`;
      const list = this.#byFd.get(key);
      if (list) list.push(h);
      else this.#byFd.set(key, [h]);
    }
    for (const list of this.#byFd.values()) list.sort((a, b) => (a.opened ?? 0) - (b.opened ?? 0));
    const byPid = new Map([...trace.processes.values()].map((p) => [p.pid, p.id]));
    for (const p of trace.processes.values()) {
      const parent = byPid.get(p.parent ?? 0);
      if (parent !== undefined) this.#parents.set(p.id, parent);
    }
  }

  /** Device's name, path, or what it is and whose: `data of 0000:00:04.0`. Empty when nothing is known. */
  handle(id: number): string {
    const h = this.#handles.get(this.#resolve(id));
    if (!h) return '';
    const own = h.name ?? h.path;
    if (own) return printable(own);
    const parent = h.parent && h.parent !== id ? this.#handles.get(this.#resolve(h.parent)) : undefined;
    const of = parent?.name ?? parent?.path;
    return of ? `${h.kind} of ${printable(of)}` : h.kind;
  }

  /** A descriptor number as it was at an event; forked processes have their parents' too. */
  fd(process: number, fd: number, event: number): string {
    const seen = new Set<number>();
    for (let p: number | undefined = process; p !== undefined && !seen.has(p); p = this.#parents.get(p)) {
      seen.add(p);
      const found = this.#openAt(p, fd, event);
      const name = found ? this.handle(found.id) : '';
      if (name) return `${fd}<${name}>`;
    }
    return `${fd}`;
  }

  /** The last one opened until then, if it was not closed before. */
  #openAt(process: number, fd: number, event: number): Handle | undefined {
    const list = this.#byFd.get(`${process}:${fd}`) ?? [];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((list[middle]?.opened ?? 0) <= event) low = middle + 1;
      else high = middle;
    }
    const found = list[low - 1];
    return found && (found.closed === null || found.closed >= event) ? found : undefined;
  }

  /** `BAR0`, `CONFIG`, `MIGRATION`, `region9`. */
  region(handle: number, index: number): string {
    if (this.isMigration(handle, index)) return 'MIGRATION';
    return regionNames[index] ?? `region${index}`;
  }

  /** Whether it is the v1 migration region. */
  isMigration(handle: number, index: number): boolean {
    const r = this.#regions.get(`${this.#resolve(handle)}:${index}`);
    return r?.type === migrationRegion.type && r.subtype === migrationRegion.subtype;
  }
}
