// What to call a handle, a descriptor and a region.

import { migrationRegion, pciRegions } from '../schema/device.ts';
import type { Handle, Region } from './entities.ts';
import { printable } from './format/scalar.ts';
import type { Trace } from './trace.ts';

const regionNames = Object.fromEntries(Object.entries(pciRegions).map(([name, i]) => [i, name]));

export class Names {
  readonly #handles: ReadonlyMap<number, Handle>;
  readonly #regions: ReadonlyMap<string, Region>;
  readonly #byFd = new Map<string, Handle[]>();
  readonly #resolve: (handle: number) => number;

  constructor(trace: Pick<Trace, 'handles' | 'regions' | 'resolve'>) {
    this.#handles = trace.handles;
    this.#resolve = (h) => trace.resolve(h);
    this.#regions = new Map(trace.regions.map((r) => [`${this.#resolve(r.handle)}:${r.index}`, r]));
    for (const h of this.#handles.values()) {
      const key = `${h.process}:${h.fd}`;
      this.#byFd.set(key, [...(this.#byFd.get(key) ?? []), h]);
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

  /** A descriptor number as it was at an event. */
  fd(process: number, fd: number, event: number): string {
    const found = (this.#byFd.get(`${process}:${fd}`) ?? [])
      .filter((h) => (h.opened ?? 0) <= event && (h.closed === null || h.closed >= event))
      .sort((a, b) => (a.opened ?? 0) - (b.opened ?? 0))
      .at(-1);
    const name = found ? this.handle(found.id) : '';
    return name ? `${fd}<${name}>` : `${fd}`;
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
