// R58, R59, R66, R67, R70: arguments of any call, and the order in which devices are opened.

import type { Call } from '../../../schema/call.ts';
import { featureOf } from '../../../schema/decode.ts';
import { FEATURE_MASK, featureOps } from '../../../schema/device.ts';
import { errnoName, errnoNumber } from '../../../schema/errno.ts';
import { features } from '../../../schema/features.ts';
import type { Bits, Placed, Struct } from '../../../schema/layout.ts';
import type { TraceEvent } from '../../event.ts';
import type { Make } from '../evaluator.ts';
import { small } from '../fields.ts';
import { after } from '../fold-device.ts';

const refusals: ReadonlySet<number | undefined> = new Set(['EINVAL', 'E2BIG', 'EOPNOTSUPP'].map(errnoNumber));
const isBits = (names: Placed['names']): names is Bits => names !== undefined && 'bits' in names;

interface Checked {
  readonly reserved: readonly Placed[];
  /** Flags with the mask of those that are known. */
  readonly flags: readonly { readonly field: Placed; readonly known: number }[];
}
function checkedFields(layout: Struct): Checked {
  const given = layout.fields.filter((f) => f.dir !== 'out');
  return {
    reserved: given.filter((f) => f.means === 'reserved' && f.count === undefined),
    flags: given.flatMap((field) => {
      if (!isBits(field.names) || field.size !== 4) return [];
      const known = Object.values(field.names.bits).reduce((a, b) => a | b, 0);
      return [{ field, known: layout.name === 'vfio_device_feature' ? known | FEATURE_MASK : known }];
    }),
  };
}
const cache = new WeakMap<Struct, Checked>();
function checked(layout: Struct): Checked {
  let c = cache.get(layout);
  if (!c) {
    c = checkedFields(layout);
    cache.set(layout, c);
  }
  return c;
}

function unsignedAt(bytes: Buffer, f: Placed, base: number): bigint {
  const at = base + f.at;
  if (at + f.size > bytes.length) return 0n;
  return f.size === 8 ? bytes.readBigUInt64LE(at) : BigInt(bytes.readUIntLE(at, f.size));
}

/** Least argsz of this call: of a feature, with its data. */
function least(call: Call, event: TraceEvent): number {
  if (event.feature === null || event.feature & featureOps.PROBE) return call.min;
  return call.min + (featureOf(event.feature)?.data?.size ?? 0);
}

export const r58: Make = (judge) => ({
  ioctl: (s) => {
    const { call, input } = s.event;
    if (call?.arg.kind !== 'struct' || !input || input.length < 4) return;
    const { layout } = call.arg;
    const wrong = (key: string, text: string, level: 'MUST' | 'SHOULD'): void =>
      judge.broken({ ...s, subject: s.what, key: `${call.name} ${key}`, level, text: `${call.name}: ${text}` });
    const argsz = input.readUInt32LE(0);
    const min = least(call, s.event);
    if (argsz < min) return wrong('argsz', `argsz is ${argsz}, less than ${min}`, 'MUST');
    const level = refusals.has(s.errno) ? 'MUST' : 'SHOULD';
    const parts: [Struct, number][] = [[layout, 0]];
    const data =
      s.event.feature === null || s.event.feature & featureOps.PROBE ? undefined : featureOf(s.event.feature)?.data;
    if (data) parts.push([data, layout.size]);
    for (const [part, base] of parts) {
      const { reserved, flags } = checked(part);
      for (const f of reserved)
        if (unsignedAt(input, f, base) !== 0n) return wrong(f.name, `${f.name} is not zero`, level);
      for (const { field, known } of flags) {
        const unknown = unsignedAt(input, field, base) & ~BigInt(known);
        if (unknown !== 0n) return wrong(field.name, `${field.name} has unknown bits 0x${unknown.toString(16)}`, level);
      }
    }
    judge.held();
  },
});

const asksMore: ReadonlySet<string> = new Set([
  'VFIO_DEVICE_GET_INFO',
  'VFIO_DEVICE_GET_REGION_INFO',
  'VFIO_IOMMU_GET_INFO',
]);
export const r59: Make = (judge) => {
  const waiting = new Map<string, { event: TraceEvent; subject: string; argsz: number }>();
  const index = (e: TraceEvent): number =>
    e.call?.arg.kind === 'struct' && e.call.name === 'VFIO_DEVICE_GET_REGION_INFO'
      ? (small(e.call.arg.layout, 'index')(e.input) ?? 0)
      : 0;
  return {
    ioctl: (s) => {
      const { call, input, handle } = s.event;
      if (!call || !asksMore.has(call.name) || !s.ok || !input || input.length < 4) return;
      const key = `${handle} ${call.name} ${index(s.event)}`;
      const asked = input.readUInt32LE(0);
      const answer = after(s.event);
      const needed = answer && answer.length >= 4 ? answer.readUInt32LE(0) : asked;
      const before = waiting.get(key);
      if (before && asked >= before.argsz) {
        waiting.delete(key);
        judge.held();
      }
      if (needed > asked && !waiting.has(key)) waiting.set(key, { event: s.event, subject: s.what, argsz: needed });
    },
    end: () => {
      for (const [key, { event, subject, argsz }] of waiting)
        judge.broken({
          event,
          subject,
          key,
          text: `${event.call?.name} answers argsz ${argsz} and is not called again with as much: its capabilities stay unknown`,
        });
    },
  };
};

export const r66: Make = (judge) => ({
  setIommu: (s) => {
    if (s.container.iommufd) return;
    if (s.container.groups.size > 0) judge.held();
    else if (!s.ok)
      judge.broken({
        ...s,
        subject: s.container.own.name,
        text: 'SET_IOMMU comes before any group is in the container',
      });
  },
  getDevice: (s) => {
    const { container } = s.group;
    const subject = `group ${s.group.number ?? s.group.handle}`;
    if (s.ok) judge.held();
    else if (!container) judge.broken({ ...s, subject, text: 'GET_DEVICE_FD comes before the group has a container' });
    else if (!container.iommufd && container.iommu === null)
      judge.broken({ ...s, subject, text: 'GET_DEVICE_FD comes before SET_IOMMU' });
  },
  dmaMap: (s) => {
    if (!s.ok && !s.container.iommufd && s.container.iommu === null)
      judge.broken({ ...s, subject: s.space.name, text: 'MAP_DMA comes before SET_IOMMU' });
  },
  ioctl: (s) => {
    if (!s.device || s.device.bound || s.event.call?.name === 'VFIO_DEVICE_BIND_IOMMUFD') return;
    judge.broken({
      ...s,
      subject: s.what,
      key: s.event.call?.name ?? '',
      text: `${s.event.call?.name ?? 'an ioctl'} comes before BIND_IOMMUFD`,
    });
  },
  access: (s) => {
    if (!s.device.bound)
      judge.broken({ ...s, subject: s.device.name, key: 'access', text: 'a region is accessed before BIND_IOMMUFD' });
  },
  bind: (s) => {
    if (s.ok) judge.held();
  },
});

export const r67: Make = (judge) => ({
  hotReset: (s) => {
    const wrong = (key: string, text: string): void => judge.broken({ ...s, subject: s.device.name, key, text });
    if (s.device.cdev) {
      if (s.count > 0) wrong('cdev', `PCI_HOT_RESET names ${s.count} groups for a device of /dev/vfio/devices`);
      else judge.held();
      return;
    }
    if (s.count === 0) return wrong('none', 'PCI_HOT_RESET names no group');
    if (!s.device.dependents)
      return judge.undecidable('PCI_HOT_RESET without GET_PCI_HOT_RESET_INFO: which groups it affects is not known');
    if (s.groups.some((g) => g?.number == null))
      return judge.undecidable('the number of a group is not known: it was not opened in this trace');
    const missing = s.device.dependents.filter((n) => !s.groups.some((g) => g?.number === n));
    if (missing.length > 0) wrong('missing', `PCI_HOT_RESET leaves out group ${missing.join(', ')}, which it affects`);
    else judge.held();
  },
});

const ENOTTY = errnoNumber('ENOTTY');
const young = new Map(features.filter((f) => f.since !== '6.1').map((f) => [f.id, f]));
export const r70: Make = (judge) => ({
  feature: (s) => {
    const f = young.get(s.id);
    if (!f) return;
    if (s.errno !== ENOTTY) judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        key: f.name,
        text: `${f.name} answers ${errnoName(s.errno)}: this kernel is older than ${f.since}, or the driver does not have it; other kernels answer otherwise`,
      });
  },
});
