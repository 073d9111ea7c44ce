// Prints what C needs of the schema: native/generated/schema.h (layouts, tables) and native/generated/proof.c, whose
// static_asserts compare every number in schema/ with the vendored kernel headers. Both are committed; a test compares.

import { writeFileSync } from 'node:fs';
import * as agent from './agent.ts';
import { type Call, request } from './call.ts';
import { vfio_info_cap_header } from './container.ts';
import { irqSetFlags, migrationRegion, regionCaps, regionFlags } from './device.ts';
import * as event from './event.ts';
import { features } from './features.ts';
import { anonInodes, fdKinds, paths } from './kinds.ts';
import { KVM_TYPE, kvmCalls, kvmIoeventfdFlags, kvmIrqfdFlags } from './kvm.ts';
import {
  type Bits,
  fieldOf,
  type Placed,
  type PointerTo,
  type Struct,
  type Tail,
  type Values,
  type When,
  widths,
} from './layout.ts';
import * as play from './play.ts';
import { calls } from './surface.ts';
import { codecs } from './trace.ts';

const cTypes = {
  u8: 'uint8_t',
  u16: 'uint16_t',
  u32: 'uint32_t',
  u64: 'uint64_t',
  s32: 'int32_t',
  s64: 'int64_t',
} as const;
const upper = (name: string): string => name.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
const defines = (prefix: string, table: Readonly<Record<string, number>>): string =>
  Object.entries(table)
    .map(([k, v]) => `#define ${prefix}${upper(k)} ${v > 9 ? `0x${v.toString(16)}` : v}`)
    .join('\n');

function cStruct(s: Struct): string {
  const fields = s.fields.map((f) => `\t${cTypes[f.type]} ${f.name}${f.count ? `[${f.count}]` : ''};`).join('\n');
  const asserts = s.fields
    .map((f) => `_Static_assert(offsetof(struct ${s.name}, ${f.name}) == ${f.at}, "${s.name}.${f.name}");`)
    .join('\n');
  return `struct ${s.name} {\n${fields}\n};\n${asserts}\n_Static_assert(sizeof(struct ${s.name}) == ${s.size}, "${s.name}");`;
}

interface FlatPointer {
  at: number;
  to: PointerTo;
  layout: Struct;
  base: number;
  when: { at: number; mask: number; equals: number } | undefined;
}

/** The pointers of a layout and of its conditional structures, with absolute offsets. */
function pointersOf(layout: Struct, base = 0, outer?: FlatPointer['when']): FlatPointer[] {
  const place = (when: When | undefined): FlatPointer['when'] =>
    when ? { at: base + fieldOf(layout, when.field).at, mask: when.mask, equals: when.equals } : outer;
  const own = layout.fields.flatMap((f): FlatPointer[] =>
    f.to ? [{ at: base + f.at, to: f.to, layout, base, when: place(f.to.when) }] : [],
  );
  const nested = layout.tails.flatMap((t): FlatPointer[] =>
    t.kind === 'struct' ? pointersOf(t.layout, base + layout.size, place(t.when)) : [],
  );
  return [...own, ...nested];
}

const dirBits = { in: 1, out: 2, inout: 3 } as const;
function cPointer(p: FlatPointer): string {
  const at = (name: string): [number, number] => {
    const f = fieldOf(p.layout, name);
    return [p.base + f.at, f.size];
  };
  const { length } = p.to;
  const names =
    'bitmap' in length ? [length.bitmap.length, length.bitmap.page] : length.mul.filter((x) => typeof x === 'string');
  const scale = 'mul' in length ? length.mul.reduce<number>((n, x) => (typeof x === 'number' ? n * x : n), 1) : 1;
  const [x, y] = [names[0] ? at(names[0]) : [0, 0], names[1] ? at(names[1]) : [0, 0]];
  const w = p.when ?? { at: 0, mask: 0, equals: 0 };
  const dir = p.to.ored ? 3 : dirBits[p.to.dir];
  return `\t{ ${p.at}, ${dir}, ${'bitmap' in length ? 1 : 0}, ${x[0]}, ${x[1]}, ${y[0]}, ${y[1]}, ${scale}, ${w.at}, ${w.mask}, ${w.equals} },`;
}

const argKinds = { none: 0, value: 1, string: 2, scalar: 3, struct: 4, raw: 4 } as const;
const NOWHERE = 0xffff;
const RETURN = 0xfffe;

function tables(): string {
  const pointers: string[] = [];
  const take = (layout: Struct | undefined, base = 0): [number, number] => {
    const own = layout ? pointersOf(layout, base).map(cPointer) : [];
    pointers.push(...own);
    return [pointers.length - own.length, own.length];
  };
  const made = (makes: Call['makes'], layout: Struct | undefined, base = 0): [number, number] => {
    if (!makes) return [0, NOWHERE];
    if (makes.at === 'ret') return [fdKinds[makes.kind], RETURN];
    return [fdKinds[makes.kind], base + fieldOf(layout as Struct, makes.at).at];
  };
  const callRows = calls
    .filter((c) => c.kind !== 'spapr')
    .map((c) => {
      const layout = c.arg.kind === 'struct' ? c.arg.layout : undefined;
      const size =
        c.arg.kind === 'string'
          ? c.arg.max
          : c.arg.kind === 'scalar'
            ? widths[c.arg.field.type]
            : (layout?.size ?? c.min);
      const [first, count] = take(layout);
      const [kind, at] = made(c.makes, layout);
      return `\tX(${c.name}, ${fdKinds[c.kind as keyof typeof fdKinds]}, 0x${request(c.nr).toString(16)}, ${argKinds[c.arg.kind]}, ${c.min}, ${size}, ${first}, ${count}, ${kind}, ${at}) \\`;
    });
  const featureRows = features.map((f) => {
    const [first, count] = take(f.data, 8);
    const [kind, at] = made(f.makes, f.data, 8);
    return `\tX(${f.name}, ${f.id}, ${f.data?.size ?? 0}, ${first}, ${count}, ${kind}, ${at}) \\`;
  });
  return `/* Bytes behind a pointer in an argument. rule 0: scale * x * y; rule 1: dirty bitmap, ceil(x / y / 64) * 8.
 * x, y are fields at x_at, y_at of x_size, y_size bytes (size 0: factor 1). dir: 1 in, 2 out. Only if
 * (u32 at when_at & when_mask) == when_equals. */
struct vrr_pointer {
	uint16_t at;
	uint8_t dir, rule;
	uint16_t x_at;
	uint8_t x_size;
	uint16_t y_at;
	uint8_t y_size;
	uint32_t scale;
	uint16_t when_at;
	uint32_t when_mask, when_equals;
};
#define VRR_POINTERS { \\
${pointers.map((p) => `${p} \\`).join('\n')}
}

/* arg: 0 none, 1 value, 2 string (size: longest), 3 one scalar of size bytes, 4 structure whose first u32 is its size
 * (min: least, size: as in the 7.2 header). makes: kind of descriptor that the call makes, at makes_at of the argument
 * (VRR_AT_RETURN: its result; VRR_NOWHERE: none). */
#define VRR_ARG_NONE 0
#define VRR_ARG_VALUE 1
#define VRR_ARG_STRING 2
#define VRR_ARG_SCALAR 3
#define VRR_ARG_STRUCT 4
#define VRR_NOWHERE ${NOWHERE}
#define VRR_AT_RETURN ${RETURN}
/* X(name, kind, request, arg, min, size, first_pointer, pointers, makes, makes_at) */
#define VRR_CALLS(X) \\
${callRows.join('\n')}
	/* end */

/* X(name, id, size of data[], first_pointer, pointers, makes, makes_at); offsets count from the argument's start. */
#define VRR_FEATURES(X) \\
${featureRows.join('\n')}
	/* end */`;
}

export function header(): string {
  const pathRows = paths.map((p) => `\tX("${p.prefix}", ${p.exact ? 1 : 0}, ${fdKinds[p.kind]}) \\`).join('\n');
  const inodeRows = anonInodes.map((a) => `\tX("${a.name}", ${fdKinds[a.kind]}) \\`).join('\n');
  return `/* Generated from schema/ by schema/generate.ts; do not edit. */
#ifndef VFIO_RR_SCHEMA_H
#define VFIO_RR_SCHEMA_H
#include <stddef.h>
#include <stdint.h>

${defines('VRR_KIND_', fdKinds)}

${defines('VRR_OP_', event.ops)}

${defines('VRR_STATE_', event.recordStates)}
${defines('VRR_FLAG_', event.recordFlags)}
${defines('VRR_PHASE_', event.phases)}
${defines('VRR_CHUNK_', event.chunkFlags)}
${defines('VRR_WHERE_', event.wheres)}
${defines('VRR_LOSS_', event.losses)}
${defines('VRR_MMIO_', event.mmioModes)}
${defines('VRR_RAW_', event.rawModes)}
${defines('VRR_DMA_', event.dmaModes)}
${defines('VRR_DMA_AT_', event.dmaPoints)}
${defines('VRR_CLOCK_', event.clocks)}
${defines('VRR_RECORDING_', event.recordings)}
${defines('VRR_TRIGGER_', event.triggers)}
${defines('VRR_DUMP_', event.dumpStates)}
${defines('VRR_CODEC_', codecs)}

#define VRR_RING_MAGIC 0x${event.RING_MAGIC.toString(16)}ULL
#define VRR_RING_VERSION ${event.RING_VERSION}
#define VRR_PAYLOAD_MAX ${event.PAYLOAD_MAX}u
#define VRR_ARG_MAX ${event.ARG_MAX}u
#define VRR_DOORBELLS_MAX ${event.DOORBELLS_MAX}
#define VRR_ENV_RING "${event.environment.ring}"
#define VRR_ENV_PLAY "${event.environment.play}"

${[event.vrr_record, event.vrr_chunk, event.vrr_segment, event.vrr_ring].map(cStruct).join('\n\n')}

/* KVM's requests that take eventfds (schema/kvm.ts). */
#define VRR_KVM_TYPE 0x${KVM_TYPE.toString(16)}
${kvmCalls.map((c) => `#define VRR_${c.name} 0x${c.request.toString(16)}u`).join('\n')}
${kvmCalls.map((c) => cStruct({ ...c.layout, name: `vrr_${c.layout.name}` })).join('\n\n')}
${defines('VRR_KVM_IRQFD_', kvmIrqfdFlags)}
${defines('VRR_KVM_IOEVENTFD_', kvmIoeventfdFlags)}

${defines('VRR_REGION_FLAG_', regionFlags)}
${defines('VRR_REGION_CAP_', regionCaps)}
${defines('VRR_REGION_MIGRATION_', migrationRegion)}
${defines('VRR_IRQ_SET_', irqSetFlags)}
#define VRR_CAP_HEADER_SIZE ${vfio_info_cap_header.size}

/* X(prefix, exact, kind): the first that matches a path given to open() */
#define VRR_PATHS(X) \\
${pathRows}
	/* end */
/* X(name, kind): targets "anon_inode:NAME" of /proc/self/fd links */
#define VRR_ANON_INODES(X) \\
${inodeRows}
	/* end */

${tables()}

/* The agent's protocol (schema/agent.ts). */
#define VRR_AGENT_VERSION ${agent.AGENT_VERSION}
#define VRR_AGENT_HELLO 0x${agent.AGENT_HELLO.toString(16)}u
#define VRR_AGENT_FRAME_MAX ${agent.FRAME_MAX}u
#define VRR_AGENT_RET 0x${agent.RET.toString(16)}u
${defines('VRR_AGENT_OP_', agent.agentOps)}
${defines('VRR_AGENT_FLAG_', agent.agentFlags)}
${defines('VRR_AGENT_PART_', agent.agentParts)}
${[agent.agent_request, agent.agent_part, agent.agent_reply].map(cStruct).join('\n\n')}

/* The play transport (schema/play.ts). */
#define VRR_PLAY_VERSION ${play.PLAY_VERSION}
#define VRR_PLAY_REQUEST_MAX ${play.PLAY_REQUEST_MAX}
#define VRR_PLAY_INLINE_MAX ${play.PLAY_INLINE_MAX}
#define VRR_PLAY_SIGNALS_MAX ${play.PLAY_SIGNALS_MAX}
${defines('VRR_PLAY_FLAG_', play.playFlags)}
${defines('VRR_PLAY_OP_', play.playOps)}
${[play.play_request, play.play_reply].map(cStruct).join('\n\n')}

#endif
`;
}

/** Layouts of ours that have no structure of that name in the headers: parts of one, or capability bodies. */
const unnamed = new Set(['vfio_iommu_type1_dirty_bitmap_get', 'vfio_device_feature_pci_vf_token']);

function structsIn(): Struct[] {
  const found = new Map<string, Struct>();
  const visit = (s: Struct): void => {
    if (found.has(s.name)) return;
    found.set(s.name, s);
    for (const f of s.fields) if (f.to?.of && typeof f.to.of !== 'string') visit(f.to.of);
    for (const t of s.tails) visitTail(t);
  };
  const visitTail = (t: Tail): void => {
    if (t.kind === 'struct') visit(t.layout);
    else if (t.kind === 'array' && 'kind' in t.of) visit(t.of);
    else if (t.kind === 'caps') for (const c of Object.values(t.table)) visit(c);
  };
  for (const c of calls) if (c.arg.kind === 'struct') visit(c.arg.layout);
  for (const f of features) if (f.data) visit(f.data);
  visit(vfio_info_cap_header);
  return [...found.values()];
}

function proofOf(f: Placed, s: Struct): string[] {
  const lines = [
    `_Static_assert(offsetof(struct ${s.name}, ${f.name}) == ${f.at}, "${s.name}.${f.name} offset");`,
    `_Static_assert(sizeof(((struct ${s.name} *)0)->${f.name}) == ${f.size}, "${s.name}.${f.name} size");`,
  ];
  return lines;
}

/** One assertion for each named number, so that a wrong bit in schema/ fails the build. */
function nameProofs(names: Bits | Values): string[] {
  const table = 'bits' in names ? names.bits : names.values;
  return Object.entries(table).map(
    ([name, v]) => `_Static_assert((unsigned long long)${names.prefix}${name} == ${v}ULL, "${names.prefix}${name}");`,
  );
}

/** The layouts that the kernel's headers have under the same name. */
export function kernelStructs(): Struct[] {
  return structsIn().filter((s) => /^(vfio|iommu)_/.test(s.name) && !unnamed.has(s.name));
}

function kvmProof(): string[] {
  return kvmCalls.flatMap((c) => [
    `_Static_assert(${c.name} == 0x${c.request.toString(16)}u, "${c.name}");`,
    ...c.layout.fields.flatMap((f) => [...proofOf(f, c.layout), ...(f.names ? nameProofs(f.names) : [])]),
  ]);
}

export function proof(): string {
  const structs = structsIn();
  const kernel = kernelStructs();
  const named = new Set(structs.flatMap((s) => s.fields.flatMap((f) => (f.names ? nameProofs(f.names) : []))));
  for (const c of calls)
    if (c.arg.kind === 'value' && c.arg.field.names) for (const p of nameProofs(c.arg.field.names)) named.add(p);
  const requests = calls.map((c) => `_Static_assert(${c.name} == 0x${request(c.nr).toString(16)}, "${c.name}");`);
  const featureIds = features.map(
    (f) => `_Static_assert(VFIO_DEVICE_FEATURE_${f.name} == ${f.id}, "feature ${f.name}");`,
  );
  return `/* Generated from schema/ by schema/generate.ts; do not edit. Compiles only if schema/ agrees with the headers in uapi/. */
#include <stddef.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

${requests.join('\n')}

${featureIds.join('\n')}

${[...named].join('\n')}

${kernel.map((s) => s.fields.flatMap((f) => proofOf(f, s)).join('\n')).join('\n\n')}

/* KVM's header is the system's (linux-libc-dev), which is there on the architectures that have KVM. */
#if __has_include(<linux/kvm.h>)
#include <linux/kvm.h>
${kvmProof().join('\n')}
#endif
`;
}

if (process.argv[1]?.endsWith('generate.ts')) {
  const dir = new URL('../native/generated/', import.meta.url);
  writeFileSync(new URL('schema.h', dir), header());
  writeFileSync(new URL('proof.c', dir), proof());
}
