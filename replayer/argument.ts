// An ioctl's argument as the target gets it: the recorded bytes, with a part for every number that the replay has its
// own of (descriptors, object ids, addresses) and for the memory behind each pointer.

import { constants } from 'node:os';
import { type Leaf, leaves } from '../schema/decode.ts';
import { FEATURE_MASK } from '../schema/device.ts';
import { PAYLOAD_MAX } from '../schema/event.ts';
import { features } from '../schema/features.ts';
import { type FdKind, fdKinds } from '../schema/kinds.ts';
import type { Struct, When } from '../schema/layout.ts';
import type { Memory, TraceEvent } from '../traces/event.ts';
import { stretchOf } from './memory.ts';
import type { Planning } from './planned.ts';
import type { Names } from './rename.ts';
import type { Part, Request } from './target.ts';

/** Nothing is mapped in the first page (vm.mmap_min_addr): where a recorded pointer led nowhere, so does this. */
const NOWHERE = 0x10n;
/** A descriptor number that no agent has open: more than fs.nr_open may be. */
const CLOSED = 0x40000000;

export interface Argument {
  readonly before: Request[];
  readonly parts: Part[];
}

const at = (e: TraceEvent, leaf: Leaf, phase: 'in' | 'out'): Memory | undefined =>
  e.memory.find((m) => m.at === leaf.at && m.phase === phase);

const given = (leaf: Leaf): boolean => leaf.field.dir !== 'out';

/** iommufd whose numbers the call's object ids are. */
export function iommufdOf(e: TraceEvent, names: Names, fields: readonly Leaf[]): number {
  if (e.kind === 'iommufd') return e.handle;
  const bound = fields.find((l) => l.field.means === 'fd' && l.field.of === 'iommufd');
  if (bound) return names.handleOf(e.process, Number(bound.value));
  return names.iommufds.get(e.handle) ?? 0;
}

export function argumentOf(e: TraceEvent, layout: Struct, input: Buffer, setting: Planning): Argument {
  const before: Request[] = [];
  const bytes = Buffer.from(input);
  const parts: Part[] = [{ kind: 'arg', bytes }];
  const fields = [...leaves(layout, input)];
  const iommufd = iommufdOf(e, setting.names, fields);
  for (const leaf of fields) {
    if (!given(leaf)) continue;
    switch (leaf.field.means) {
      case 'fd':
        descriptor(e, leaf, bytes, parts, before, setting);
        break;
      case 'object': {
        const slot = setting.names.idOf(iommufd, Number(leaf.value));
        if (slot !== undefined && leaf.value !== 0) parts.push({ kind: 'id', at: leaf.at, slot });
        break;
      }
      case 'address':
        address(e, leaf, bytes, parts, before, setting);
        break;
      case 'pointer':
        pointer(e, leaf, fields, bytes, parts);
        break;
      default: // the recorded number is the replay's too
        break;
    }
  }
  return { before, parts };
}

function descriptor(e: TraceEvent, leaf: Leaf, bytes: Buffer, parts: Part[], before: Request[], s: Planning): void {
  const fd = Number(leaf.value);
  if (fd < 0) return;
  const handle = s.names.handleOf(e.process, fd);
  let slot = handle === 0 ? undefined : s.names.slotOf(handle);
  if (leaf.field.of === 'eventfd' && handle !== 0) s.names.armed.add(handle);
  if (slot === undefined) {
    if (e.ret === -constants.errno.EBADF) {
      bytes.writeInt32LE(CLOSED, leaf.at);
      return;
    }
    if (leaf.field.of === 'eventfd' && (e.ret ?? -1) >= 0) {
      // One that was there before the recording, or made in a way that was not seen.
      slot = handle === 0 ? s.names.slot() : s.names.make(handle);
      before.push(s.own('eventfd', slot, {}));
    } else slot = s.stranger(before);
  }
  parts.push({ kind: 'fd', at: leaf.at, slot });
}

function address(e: TraceEvent, leaf: Leaf, bytes: Buffer, parts: Part[], before: Request[], s: Planning): void {
  const stretch = stretchOf(e);
  if (!stretch || e.ret === -constants.errno.EFAULT) {
    if (e.ret === -constants.errno.EFAULT) bytes.writeBigUInt64LE(0n, leaf.at);
    return;
  }
  const window = s.names.windows.find(
    (w) =>
      w.process === e.process && w.address <= stretch.address && stretch.address + stretch.size <= w.address + w.length,
  );
  if (window) {
    parts.push({ kind: 'address', at: leaf.at, slot: window.slot, delta: stretch.address - window.address });
    return;
  }
  const piece = s.pieces.find(stretch);
  if (!piece) return; // an impossible range of a failed call: it fails the same without memory
  let slot = s.names.pieceOf(piece);
  if (slot === undefined) {
    slot = s.names.makePiece(piece);
    before.push(s.own('memory', slot, { a: piece.end - piece.address }));
  }
  parts.push({ kind: 'address', at: leaf.at, slot, delta: stretch.address - piece.address });
}

function holds(when: When | undefined, fields: readonly Leaf[]): boolean {
  if (!when) return true;
  const field = fields.find((l) => l.path === when.field || l.path.endsWith(`.${when.field}`));
  return (Number(field?.value ?? 0) & when.mask) === when.equals;
}

function pointer(e: TraceEvent, leaf: Leaf, fields: readonly Leaf[], bytes: Buffer, parts: Part[]): void {
  if (leaf.value === 0n || !holds(leaf.field.to?.when, fields)) return;
  const [before, after] = [at(e, leaf, 'in'), at(e, leaf, 'out')];
  const total = Math.max(before?.total ?? 0, after?.total ?? 0);
  const cut = before?.bytes && before.bytes.length < before.total;
  // No recording keeps more than PAYLOAD_MAX; a trace that claims more is damaged.
  if (total === 0 || total > PAYLOAD_MAX || (cut && e.ret === -constants.errno.EFAULT))
    bytes.writeBigUInt64LE(NOWHERE, leaf.at);
  else if (before?.bytes && !cut) parts.push({ kind: 'buffer', at: leaf.at, bytes: before.bytes });
  else parts.push({ kind: 'zeroes', at: leaf.at, length: total });
}

/** What the kernel hands out with a successful call, and the slots it is kept in. */
export function keepParts(e: TraceEvent, names: Names): { parts: Part[]; made: { fd: number; kind: FdKind } | null } {
  const parts: Part[] = [];
  let made: { fd: number; kind: FdKind } | null = null;
  const layout = e.call?.arg.kind === 'struct' ? e.call.arg.layout : undefined;
  const output = e.output ?? e.input;
  const makes =
    e.feature === null ? e.call?.makes : features.find((f) => f.id === ((e.feature ?? 0) & FEATURE_MASK))?.makes;
  if (makes?.at === 'ret' && e.made !== 0 && e.ret !== null) {
    parts.push({ kind: 'keepFd', at: 'ret', slot: names.make(e.made) });
    made = { fd: e.ret, kind: makes.kind };
  }
  if (!layout || !output) return { parts, made };
  const fields = [...leaves(layout, output)];
  const iommufd = iommufdOf(e, names, fields);
  for (const leaf of fields) {
    if (leaf.field.dir === 'in') continue;
    if (leaf.field.means === 'object' && leaf.value !== 0)
      parts.push({ kind: 'keepId', at: leaf.at, slot: names.makeId(iommufd, Number(leaf.value)) });
    if (leaf.field.means === 'fd' && Number(leaf.value) >= 0 && e.made !== 0) {
      parts.push({ kind: 'keepFd', at: leaf.at, slot: names.make(e.made) });
      const of = leaf.field.of ?? '';
      made = { fd: Number(leaf.value), kind: of in fdKinds ? (of as FdKind) : 'unknown' };
    }
  }
  return { parts, made };
}
