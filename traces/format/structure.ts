// A kernel structure in strace's manner: {argsz=32, flags=READ|WRITE, vaddr=0x7f…, iova=0, size=0x1000}.

import { type Leaf, leaves } from '../../schema/decode.ts';
import { FEATURE_MASK, featureOps } from '../../schema/device.ts';
import { features } from '../../schema/features.ts';
import type { Struct } from '../../schema/layout.ts';
import type { Memory } from '../event.ts';
import { bitmapText, countBits } from './bitmap.ts';
import { bytesText, scalarText } from './scalar.ts';

/** Elements of an array that are written out. */
const SHOWN = 16;

export type Side = 'in' | 'out';
/** Writes a descriptor with what it is. */
export type NameFd = (fd: number) => string;

type Node = string | Map<string, Node>;

export interface Sides {
  readonly input: Buffer | null;
  readonly output: Buffer | null;
  readonly memory: readonly Memory[];
  readonly failed: boolean;
}

/** Text of the argument before, and of what the call changed in it (empty: nothing). */
export function structureText(layout: Struct, sides: Sides, nameFd: NameFd): { before: string; after: string } {
  const { input, output, memory, failed } = sides;
  const answer = isAnswer(layout, input ?? output);
  const before = new Map<string, Node>();
  const after = new Map<string, Node>();
  const given = new Map<string, number | bigint>();
  for (const leaf of leaves(layout, input ?? output ?? Buffer.alloc(0))) {
    given.set(leaf.path, leaf.value);
    if (isOut(leaf, answer) || (leaf.field.means === 'reserved' && Number(leaf.value) === 0)) continue;
    put(before, leaf.path, `${leafText(layout, leaf, nameFd)}${pointed(leaf, memory, 'in')}`);
  }
  for (const leaf of leaves(layout, output ?? input ?? Buffer.alloc(0))) {
    const behind = pointed(leaf, memory, 'out');
    if (behind) put(after, leaf.path, behind.replace(/^→/, ''));
    if (!output || leaf.field.dir === 'in' || leaf.field.means === 'reserved') continue;
    const changed = given.get(leaf.path) !== leaf.value;
    if (changed || (!failed && isOut(leaf, answer))) put(after, leaf.path, leafText(layout, leaf, nameFd));
  }
  return { before: nodeText(before), after: after.size > 0 ? nodeText(after) : '' };
}

const isFeature = (layout: Struct): boolean => layout.tails.some((t) => t.kind === 'feature');

/** Whether it is a feature's GET: what may be in or out is out then. */
const isAnswer = (layout: Struct, bytes: Buffer | null): boolean =>
  isFeature(layout) && bytes !== null && bytes.length >= 8 && (bytes.readUInt32LE(4) & featureOps.GET) !== 0;

const isOut = (leaf: Leaf, answer: boolean): boolean =>
  leaf.field.dir === 'out' || (answer && leaf.field.dir === 'inout');

function leafText(layout: Struct, leaf: Leaf, nameFd: NameFd): string {
  const { field, value, path } = leaf;
  if (field.means === 'fd') return nameFd(Number(value));
  if (path === 'flags' && isFeature(layout)) return featureText(leaf);
  return scalarText(field, value);
}

/** `SET|MIG_DEVICE_STATE`: the number is in the low half of the flags. */
function featureText(leaf: Leaf): string {
  const flags = Number(leaf.value);
  const id = flags & FEATURE_MASK;
  const name = features.find((f) => f.id === id)?.name ?? `${id} /* ??? */`;
  const rest = flags - id;
  return rest === 0 ? name : `${scalarText(leaf.field, rest)}|${name}`;
}

/** What is behind the pointer in `leaf`, if it was kept: `→[…]`. */
function pointed(leaf: Leaf, memory: readonly Memory[], phase: Side): string {
  const to = leaf.field.to;
  if (!to) return '';
  return memory
    .filter((m) => m.at === leaf.at && m.phase === phase && !(phase === 'out' && unchanged(m, memory)))
    .flatMap((m) => {
      if (!m.bytes) return `→(${m.total} bytes, not kept)`;
      if (to.ored) return phase === 'in' && countBits(m.bytes) === 0 ? [] : `→${bitmapText(m.bytes)}`;
      const short = m.bytes.length < m.total ? ` … ${m.total} bytes` : '';
      if (to.of && typeof to.of !== 'string') return `→${listText(to.of, m.bytes)}${short}`;
      return `→[${bytesText(m.bytes)}${short}]`;
    })
    .join('');
}

/** Whether what is behind a pointer is as it was before the call. */
const unchanged = (after: Memory, memory: readonly Memory[]): boolean => {
  const before = memory.find((m) => m.at === after.at && m.phase === 'in');
  return before?.bytes != null && after.bytes != null && before.bytes.equals(after.bytes);
};

function listText(of: Struct, bytes: Buffer): string {
  const items: string[] = [];
  for (let at = 0; at + of.size <= bytes.length && items.length <= SHOWN; at += of.size) {
    const node = new Map<string, Node>();
    if (items.length < SHOWN)
      for (const leaf of leaves(of, bytes.subarray(at, at + of.size)))
        put(node, leaf.path, scalarText(leaf.field, leaf.value));
    items.push(items.length < SHOWN ? nodeText(node) : '…');
  }
  return `[${items.join(', ')}]`;
}

function put(root: Map<string, Node>, path: string, text: string): void {
  const keys = path.replaceAll('[', '.[').split('.');
  let here = root;
  keys.forEach((key, i) => {
    if (i === keys.length - 1) {
      here.set(key, text);
      return;
    }
    let next = here.get(key);
    if (next === undefined || typeof next === 'string') {
      next = new Map();
      here.set(key, next);
    }
    here = next;
  });
}

function nodeText(node: Node): string {
  if (typeof node === 'string') return node;
  const entries = [...node];
  if (entries[0]?.[0].startsWith('[')) {
    const items = entries.slice(0, SHOWN).map(([, v]) => nodeText(v));
    if (entries.length > SHOWN) items.push(`… ${entries.length} in all`);
    return `[${items.join(', ')}]`;
  }
  return `{${entries.map(([k, v]) => `${k}=${nodeText(v)}`).join(', ')}}`;
}
