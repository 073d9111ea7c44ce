// R62, R63, R65, R69 and C1 to C4: DMA mappings.

import { dmaUnmapFlags, extensions } from '../../../schema/container.ts';
import { errnoNumber } from '../../../schema/errno.ts';
import type { TraceEvent } from '../../event.ts';
import type { Make } from '../evaluator.ts';
import type { Mapping } from '../mappings.ts';
import type { Container, Space } from '../shadow.ts';
import type { StepOf } from '../step.ts';

const hex = (n: bigint): string => `0x${n.toString(16)}`;
const span = (iova: bigint, size: bigint): string => `${hex(iova)}+${hex(size)}`;
const EEXIST = errnoNumber('EEXIST');
const ENOSPC = errnoNumber('ENOSPC');
const ENOMEM = errnoNumber('ENOMEM');
const PAGE = 4096n;

export const r62: Make = (judge) => ({
  dmaMap: (s) => {
    if (s.mode === 'vaddr') return;
    const wrong = (key: string, text: string): void =>
      judge.broken({ ...s, subject: s.space.name, key, text: `map of ${span(s.iova, s.size)}: ${text}` });
    const page = s.space.pgsizes ? s.space.pgsizes & -s.space.pgsizes : PAGE;
    const fixed = s.mode === 'fixed';
    if (s.size === 0n) wrong('empty', 'it is empty');
    else if ((fixed && s.iova % page !== 0n) || s.size % page !== 0n || s.vaddr % page !== 0n)
      wrong('page', `iova, size and vaddr (${hex(s.vaddr)}) are not all aligned to ${page}`);
    else if (!s.readable && !s.writable) wrong('access', 'it is neither readable nor writable');
    else if (fixed && !s.ok && s.space.maps.overlapping(s.iova, s.size).length > 0)
      wrong('overlap', `it overlaps the mapping of event ${s.space.maps.overlapping(s.iova, s.size)[0]?.event}`);
    else if (s.errno === EEXIST) wrong('overlap', 'the kernel has a mapping there (EEXIST)');
    else if (fixed && s.space.ranges && !s.space.ranges.some((r) => s.iova >= r.start && s.iova + s.size - 1n <= r.end))
      wrong('range', 'it leaves the IOVA ranges that were reported');
    else if (s.errno === ENOSPC || (s.space.available === 0 && !s.ok))
      wrong('limit', 'no mapping is left (ENOSPC; 65535 unless dma_entry_limit says otherwise)');
    else if (s.errno === ENOMEM)
      wrong(
        'memlock',
        `RLIMIT_MEMLOCK does not allow more (ENOMEM); ${s.space.maps.bytes} bytes are mapped in this container`,
      );
    else if (s.ok) judge.held();
  },
});

export const r63: Make = (judge) => ({
  dmaUnmap: (s) => {
    const wrong = (key: string, text: string): void => judge.broken({ ...s, subject: s.space.name, key, text });
    if (s.flags & dmaUnmapFlags.ALL) {
      if (!s.container.iommufd && (s.iova !== 0n || s.size !== 0n))
        wrong('all', `UNMAP ALL has iova ${hex(s.iova)} and size ${hex(s.size)}`);
      else if (s.flags & dmaUnmapFlags.GET_DIRTY_BITMAP) wrong('bitmap', 'UNMAP ALL asks for a dirty bitmap');
      else judge.held();
      return;
    }
    if (s.container.iommu === extensions.TYPE1_IOMMU) return; // the first type1 takes what is smaller whole
    const cut = s.hit.find((m) => m.iova < s.iova || m.iova + m.size > s.iova + s.size);
    if (cut)
      wrong(
        'cut',
        `unmap of ${span(s.iova, s.size)} cuts the mapping ${span(cut.iova, cut.size)} of event ${cut.event}`,
      );
    else if (s.hit.length > 0) judge.held();
  },
});

const overlaps = (m: Mapping, from: bigint, to: bigint): boolean => m.vaddr < to && from < m.vaddr + m.size;
function* mapped(containers: Iterable<Container>): Generator<[Space, Mapping]> {
  const seen = new Set<Space>();
  for (const c of containers)
    for (const space of c.all()) {
      if (seen.has(space)) continue;
      seen.add(space);
      for (const m of space.maps.all()) yield [space, m];
    }
}

export const r65: Make = (judge, { world }) => ({
  memoryGone: (s) => {
    for (const [space, m] of mapped(world.containers.values()))
      if (m.process === s.process && overlaps(m, s.from, s.to)) {
        judge.broken({
          ...s,
          subject: space.name,
          text: `memory at ${hex(s.from)} is unmapped while ${span(m.iova, m.size)} (event ${m.event}) maps it for DMA`,
        });
        return;
      }
  },
  dmaUnmap: (s) => {
    if (s.ok && s.hit.length > 0) judge.held();
  },
});

export const r69: Make = (judge) => {
  const first = new Map<string, { space: Space; iova: bigint }>();
  const key = (process: number, vaddr: bigint): string => `${process}:${vaddr}`;
  return {
    dmaMap: (s) => {
      if (!s.ok || s.peer || s.container.iommufd) return;
      const k = key(s.event.process, s.vaddr);
      const other = first.get(k);
      if (!other) first.set(k, { space: s.space, iova: s.iova });
      else if (other.space !== s.space)
        judge.broken({
          ...s,
          subject: s.space.name,
          text: `${hex(s.vaddr)} is mapped in ${other.space.name} too: its ${s.size} bytes count twice against RLIMIT_MEMLOCK`,
        });
      if (!other || other.space === s.space) judge.held();
    },
    dmaUnmap: (s) => {
      for (const m of s.hit) {
        const k = key(m.process, m.vaddr);
        if (first.get(k)?.space === s.space) first.delete(k);
      }
    },
  };
};

const inside = (m: Mapping, s: StepOf<'dmaUnmap'>): bigint => {
  const below = m.iova < s.iova ? s.iova - m.iova : 0n;
  const above = m.iova + m.size > s.iova + s.size ? m.iova + m.size - s.iova - s.size : 0n;
  return m.size - below - above;
};

export const c1: Make = (judge) => {
  interface Short {
    readonly event: number;
    readonly iova: bigint;
    readonly size: bigint;
    readonly undone: bigint;
    readonly left: readonly Mapping[];
  }
  const short = new Map<Space, Short[]>();
  const believed = (space: Space, event: TraceEvent, hit: (x: Short) => boolean, how: string): void => {
    const list = short.get(space);
    const at = list?.findIndex(hit) ?? -1;
    const x = list?.[at];
    if (!x) return;
    list.splice(at, 1);
    judge.broken({
      event,
      subject: space.name,
      text: `the unmap of ${span(x.iova, x.size)} (event ${x.event}) undid ${x.undone} bytes, and ${how} as if it had undone all: the device still reaches the old memory`,
    });
  };
  return {
    dmaUnmap: (s) => {
      if (!s.ok || s.flags & (dmaUnmapFlags.ALL | dmaUnmapFlags.VADDR)) return;
      const had = s.hit.reduce((n, m) => n + inside(m, s), 0n);
      const list = (short.get(s.space) ?? []).filter((x) => !(s.iova <= x.iova && s.iova + s.size >= x.iova + x.size));
      if (s.undone < had)
        list.push({ event: s.event.id, iova: s.iova, size: s.size, undone: s.undone, left: [...s.hit] });
      else if (had > 0n) judge.held();
      short.set(s.space, list);
    },
    dmaMap: (s) =>
      believed(
        s.space,
        s.event,
        (x) => s.iova < x.iova + x.size && x.iova < s.iova + s.size,
        `${span(s.iova, s.size)} is mapped`,
      ),
    memoryGone: (s) => {
      for (const space of short.keys())
        believed(
          space,
          s.event,
          (x) => x.left.some((m) => m.process === s.process && overlaps(m, s.from, s.to)),
          `its memory at ${hex(s.from)} is given back`,
        );
    },
  };
};

export const c2: Make = (judge) => {
  const failed = new Map<Space, StepOf<'dmaMap'>>();
  const passed = (space: Space | null, event: TraceEvent, how: string): void => {
    const map = space ? failed.get(space) : undefined;
    if (!map || !space) return;
    failed.delete(space);
    judge.broken({
      event: map.event,
      subject: space.name,
      text: `the map of ${span(map.iova, map.size)} failed with EEXIST and ${how} (event ${event.id}): DMA goes to the older mapping`,
    });
  };
  return {
    dmaMap: (s) => {
      if (failed.size > 0) passed(s.space, s.event, 'another map follows');
      if (s.errno === EEXIST) failed.set(s.space, s);
    },
    dmaUnmap: (s) => {
      const map = failed.get(s.space);
      if (!map) return;
      const all = (s.flags & dmaUnmapFlags.ALL) !== 0;
      if (all || (s.iova < map.iova + map.size && map.iova < s.iova + s.size)) {
        failed.delete(s.space);
        judge.held();
      }
    },
    access: (s) => {
      if (failed.size > 0) passed(s.device.space, s.event, 'the device is used');
    },
    containerClose: (s) => {
      for (const space of s.container.all()) if (failed.delete(space)) judge.held();
    },
  };
};

export const c3: Make = (judge, { world }) => {
  const left = (container: Container, event: TraceEvent, how: string): void => {
    for (const space of container.all())
      if (space.maps.count > 0)
        judge.broken({
          event,
          subject: space.name,
          text: `${space.maps.count} mappings of ${space.maps.bytes} bytes are left when ${how}`,
        });
  };
  let last: TraceEvent | null = null;
  return {
    dmaMap: (s) => {
      last = s.event;
    },
    dmaUnmap: (s) => {
      if (s.ok && s.hit.length > 0 && s.space.maps.count === s.hit.length) judge.held();
    },
    containerClose: (s) => left(s.container, s.event, 'it is closed'),
    end: () => {
      if (last) for (const c of world.containers.values()) left(c, last, 'the trace ends');
    },
  };
};

export const c4: Make = (judge) => ({
  map: (s) => {
    if (!s.ok || !s.window.region) return;
    if (s.window.region.short)
      judge.broken({
        ...s,
        subject: s.device.name,
        key: `${s.window.region.index}`,
        text: `region ${s.window.region.index} is mapped, and its capabilities (mappable areas) did not fit the answer and were not asked for again`,
      });
    else judge.held();
  },
  dmaMap: (s) => {
    if (!s.ok) return;
    if (s.space.short)
      judge.broken({
        ...s,
        subject: s.space.name,
        text: 'DMA is mapped, and the IOVA ranges did not fit the answer of IOMMU_GET_INFO and were not asked for again',
      });
    else if (s.space.ranges) judge.held();
  },
});
