// Memory that stands for the recorded program's: every range that it gave to the IOMMU, by its recorded address. Ranges
// that overlap are one piece, so that what was shared stays shared.

import { leaves } from '../schema/decode.ts';
import type { Op } from '../schema/event.ts';
import type { TraceEvent } from '../traces/event.ts';

const PAGE = 4096n;
/** A failed call may state any size; a piece of more than this is not set up for it. */
const FAILED_MAX = 1n << 36n;

export interface Stretch {
  readonly process: number;
  readonly address: bigint;
  readonly size: bigint;
}

/** A piece of the recorded program's memory that the replay sets up: page-aligned, from `address` up to `end`. */
export interface Piece {
  readonly address: bigint;
  readonly end: bigint;
}

/** What the call says of the program's memory, undefined when it is no mapping. */
export function stretchOf(e: TraceEvent): Stretch | undefined {
  if (e.op !== ('ioctl' satisfies Op) || e.call?.arg.kind !== 'struct' || !e.input) return undefined;
  let address: bigint | undefined;
  let size: bigint | undefined;
  for (const leaf of leaves(e.call.arg.layout, e.input)) {
    if (leaf.field.means === 'address') address = BigInt(leaf.value);
    if (leaf.path === 'size' || leaf.path === 'length') if (leaf.field.means === 'value') size = BigInt(leaf.value);
  }
  if (address === undefined || size === undefined) return undefined;
  return { process: e.process, address, size };
}

/** Whether memory stands behind the address: a failed call may name none, or an impossible amount. */
function plausible(e: TraceEvent, s: Stretch): boolean {
  if (s.size === 0n || s.address + s.size > 1n << 64n) return false;
  return (e.ret ?? -1) >= 0 || s.size <= FAILED_MAX;
}

export class Pieces {
  readonly #byProcess = new Map<number, Piece[]>();

  /** `mappings`: every call that gives memory to an IOMMU. */
  constructor(mappings: Iterable<TraceEvent>) {
    const all = new Map<number, Piece[]>();
    for (const e of mappings) {
      const s = stretchOf(e);
      if (!s || !plausible(e, s)) continue;
      const list = all.get(s.process) ?? [];
      const end = s.address + s.size;
      list.push({ address: s.address - (s.address % PAGE), end: end + ((PAGE - (end % PAGE)) % PAGE) });
      all.set(s.process, list);
    }
    for (const [process, list] of all) this.#byProcess.set(process, merged(list));
  }

  /** The piece that holds the whole stretch. */
  find(s: Stretch): Piece | undefined {
    const list = this.#byProcess.get(s.process) ?? [];
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((list[middle] as Piece).end <= s.address) low = middle + 1;
      else high = middle;
    }
    const found = list[low];
    return found && found.address <= s.address && s.address + s.size <= found.end ? found : undefined;
  }
}

function merged(list: Piece[]): Piece[] {
  list.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
  const out: Piece[] = [];
  for (const p of list) {
    const last = out.at(-1);
    if (last && p.address < last.end) {
      if (p.end > last.end) out[out.length - 1] = { address: last.address, end: p.end };
    } else out.push(p);
  }
  return out;
}
