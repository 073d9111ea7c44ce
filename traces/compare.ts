// Two records of the same call, field by field. What a number stands for (schema: `means`) decides how it is compared:
// values as they are, what the kernel handed out (fds, object ids) by what it names, addresses not at all, counters and
// times only on demand. What was left out is said, never silent.

import { type Leaf, leaves } from '../schema/decode.ts';
import { errnoName } from '../schema/errno.ts';
import type { Struct } from '../schema/layout.ts';
import type { TraceEvent } from './event.ts';

export interface FieldDifference {
  /** `result`, `errno`, `value`, `data`, a field's dotted path, or `memory@16` for bytes behind the pointer there. */
  readonly field: string;
  readonly expected: string;
  readonly actual: string;
}

export interface Comparison {
  readonly differences: readonly FieldDifference[];
  /** Fields that differ and were not counted: name of the mask and both sides. */
  readonly masked: readonly (FieldDifference & { readonly mask: string })[];
}

export interface CompareOptions {
  /** What a renamed number names, equal on both sides for the same thing; undefined: do not compare. */
  canon?(side: 'expected' | 'actual', leaf: Leaf, event: TraceEvent): string | undefined;
  /** Name of the mask that covers this field of this call, or undefined. */
  mask?(event: TraceEvent, field: string): string | undefined;
  /** Compare inputs too (two recordings); a replay sends the recorded inputs, so only outputs can differ. */
  readonly inputs?: boolean;
}

/** Fields that move by themselves, and the mask's name under which they are listed. */
const volatileMeans: Readonly<Record<string, string>> = {
  argsz: "argsz (size of the caller's header)",
  counter: 'counter',
  time: 'time',
  reserved: 'reserved or echoed field',
};

const show = (n: number | bigint, hex: boolean | undefined): string => (hex ? `0x${n.toString(16)}` : n.toString());
const result = (ret: number | null): string =>
  ret === null ? 'never returned' : ret < 0 ? `-1 ${errnoName(-ret)}` : `${ret}`;

/** Layout of an ioctl's structure, undefined for other calls and raw ones. */
export function layoutOf(event: TraceEvent): Struct | undefined {
  return event.call?.arg.kind === 'struct' ? event.call.arg.layout : undefined;
}

/** Whether the result is a number that the kernel handed out (a descriptor), and so is renamed. */
export function returnsHandle(event: TraceEvent): boolean {
  if (event.made !== 0 || event.call?.makes?.at === 'ret') return true;
  return (
    event.op === 'open' ||
    event.op === 'dup' ||
    event.op === 'eventfd' ||
    event.op === 'fork' ||
    event.op === 'mmap' ||
    event.op === 'mremap'
  );
}

export function compareEvents(expected: TraceEvent, actual: TraceEvent, options: CompareOptions = {}): Comparison {
  const differences: FieldDifference[] = [];
  const masked: (FieldDifference & { mask: string })[] = [];
  const differ = (field: string, a: string, b: string, means = 'value'): void => {
    const mask = volatileMeans[means] ?? options.mask?.(expected, field);
    if (mask === undefined) differences.push({ field, expected: a, actual: b });
    else masked.push({ field, expected: a, actual: b, mask });
  };

  compareResult(expected, actual, differ);
  if (expected.val !== null || actual.val !== null) {
    const written = expected.op === 'pwrite' || expected.op === 'write' || expected.op === 'store';
    if ((!written || options.inputs) && expected.val !== actual.val)
      differ('value', hexOf(expected.val), hexOf(actual.val));
  }
  if (expected.val !== null && actual.val !== null) return { differences, masked }; // the value is all there is
  const layout = layoutOf(expected);
  if (options.inputs) compareArgument(layout, expected, actual, 'input', options, differ);
  // A failed call's output is what was there before, but for argsz-like answers (ENOSPC, EMSGSIZE), which decode the same.
  compareArgument(layout, expected, actual, 'output', options, differ);
  compareMemory(expected, actual, options.inputs === true, differ);
  return { differences, masked };
}

type Differ = (field: string, expected: string, actual: string, means?: string) => void;
const hexOf = (v: bigint | null): string => (v === null ? 'none' : `0x${v.toString(16)}`);

function compareResult(expected: TraceEvent, actual: TraceEvent, differ: Differ): void {
  const [a, b] = [expected.ret, actual.ret];
  if (a === b) return;
  if (a !== null && b !== null && a >= 0 && b >= 0 && returnsHandle(expected)) return;
  differ(a !== null && b !== null && a < 0 && b < 0 ? 'errno' : 'result', result(a), result(b));
}

function compareArgument(
  layout: Struct | undefined,
  expected: TraceEvent,
  actual: TraceEvent,
  side: 'input' | 'output',
  options: CompareOptions,
  differ: Differ,
): void {
  const [a, b] = [expected[side], actual[side]];
  if (!a && !b) return;
  if (!a || !b) {
    // Not kept on one side (payload policy) is no difference of behaviour; the losses are listed elsewhere.
    return;
  }
  if (a.equals(b)) return;
  if (!layout) {
    compareBytes(side === 'input' ? 'data in' : 'data', a, b, differ);
    return;
  }
  const found = new Map([...leaves(layout, b)].map((l) => [l.path, l]));
  for (const leaf of leaves(layout, a)) {
    const other = found.get(leaf.path);
    found.delete(leaf.path);
    if (side === 'input' ? leaf.field.dir === 'out' : leaf.field.dir === 'in') continue;
    if (!other) {
      if (leaf.field.since === undefined && leaf.field.means !== 'reserved')
        differ(leaf.path, show(leaf.value, leaf.field.hex), 'absent');
    } else compareLeaf(leaf, other, expected, actual, options, differ);
  }
  for (const leaf of found.values()) {
    const skip = side === 'input' ? leaf.field.dir === 'out' : leaf.field.dir === 'in';
    if (!skip && leaf.field.since === undefined && leaf.field.means !== 'reserved')
      differ(leaf.path, 'absent', show(leaf.value, leaf.field.hex));
  }
}

function compareLeaf(
  a: Leaf,
  b: Leaf,
  expected: TraceEvent,
  actual: TraceEvent,
  options: CompareOptions,
  differ: Differ,
): void {
  const { field } = a;
  if (a.value === b.value && field.means !== 'object') return;
  if (field.means === 'address' || field.means === 'pointer') return;
  if (field.means === 'fd' || field.means === 'object') {
    const names = [options.canon?.('expected', a, expected), options.canon?.('actual', b, actual)];
    const bothMade = field.means === 'fd' && Number(a.value) >= 0 && Number(b.value) >= 0;
    if (names[0] === undefined || names[1] === undefined) {
      // No name to compare by: still a difference when one side is "none" (-1).
      if (field.means === 'fd' && !bothMade && a.value !== b.value) differ(a.path, String(a.value), String(b.value));
      return;
    }
    if (names[0] !== names[1]) differ(a.path, names[0], names[1]);
    return;
  }
  differ(a.path, show(a.value, field.hex), show(b.value, field.hex), field.means);
}

function compareMemory(expected: TraceEvent, actual: TraceEvent, inputs: boolean, differ: Differ): void {
  for (const m of expected.memory) {
    if (m.phase === 'in' && !inputs) continue;
    const other = actual.memory.find((o) => o.at === m.at && o.phase === m.phase);
    if (m.bytes && other?.bytes && !m.bytes.equals(other.bytes))
      compareBytes(`memory@${m.at}${m.phase === 'in' ? ' in' : ''}`, m.bytes, other.bytes, differ);
  }
}

/** Names the first byte that differs, with four of each side. */
function compareBytes(field: string, a: Buffer, b: Buffer, differ: Differ): void {
  if (a.length !== b.length) {
    differ(`${field}.length`, `${a.length}`, `${b.length}`);
  }
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    if (a[i] !== b[i]) {
      differ(field, `${a.subarray(i, i + 4).toString('hex')} at byte ${i}`, `${b.subarray(i, i + 4).toString('hex')}`);
      return;
    }
  }
}
