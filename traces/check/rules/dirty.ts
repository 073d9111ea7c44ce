// R49 to R53, R64: which pages were written by devices.

import { dirtyPagesFlags } from '../../../schema/container.ts';
import { errnoNumber } from '../../../schema/errno.ts';
import { migStates } from '../../../schema/features.ts';
import { migStateName } from '../../../schema/fsm-v2.ts';
import type { TraceEvent } from '../../event.ts';
import type { Make } from '../evaluator.ts';
import type { Device } from '../shadow.ts';

export const r49: Make = (judge) => {
  const wrong = (s: { readonly event: TraceEvent; readonly device: Device }, key: string, text: string): void =>
    judge.broken({ event: s.event, subject: s.device.name, key, text });
  return {
    loggingStart: (s) => {
      if (s.device.v2.logging) wrong(s, 'start', 'DMA logging is started although it is on');
      else judge.held();
    },
    loggingStop: (s) => {
      if (!s.device.v2.logging) wrong(s, 'stop', 'DMA logging is stopped although it is off');
      else judge.held();
    },
    loggingReport: (s) => {
      if (!s.device.v2.logging) wrong(s, 'report', 'DMA_LOGGING_REPORT comes although logging is off');
      else judge.held();
    },
    close: (s) => {
      if (s.device.v2.logging) wrong(s, 'close', 'the device is closed with DMA logging on');
    },
  };
};

const RANGES_MAX = 4096 / 16; // LOG_MAX_RANGES: PAGE_SIZE / sizeof(range), vfio_main.c:1112
export const r50: Make = (judge) => ({
  loggingStart: (s) => {
    const wrong = (text: string): void => judge.broken({ ...s, subject: s.device.name, key: text.slice(0, 12), text });
    if (s.count === 0) return wrong('DMA_LOGGING_START has no range');
    if (s.count > RANGES_MAX) return wrong(`DMA_LOGGING_START has ${s.count} ranges; ${RANGES_MAX} are taken`);
    if (!s.ranges) return judge.undecidable('the ranges of DMA_LOGGING_START were not kept');
    const odd =
      s.pageSize === 0n ? undefined : s.ranges.find((r) => r.iova % s.pageSize !== 0n || r.length % s.pageSize !== 0n);
    if (odd)
      return wrong(
        `range 0x${odd.iova.toString(16)}+0x${odd.length.toString(16)} is not aligned to the page size ${s.pageSize}`,
      );
    const sorted = [...s.ranges].sort((a, b) => (a.iova < b.iova ? -1 : 1));
    const over = sorted.find(
      (r, i) => i > 0 && (sorted[i - 1] as typeof r).iova + (sorted[i - 1] as typeof r).length > r.iova,
    );
    if (over) return wrong(`range 0x${over.iova.toString(16)} overlaps another`);
    judge.held();
  },
});

export const r51: Make = (judge) => ({
  bitmap: (s) => {
    if (!s.ok) return; // not touched
    if (!s.before) return judge.undecidable('dirty bitmaps were not kept');
    const set = s.before.findIndex((b) => b !== 0);
    if (set >= 0)
      judge.broken({
        ...s,
        subject: s.what,
        key: 'before',
        text: `the bitmap has bits set at byte ${set} before the call; what the kernel adds cannot be told from them`,
      });
    else judge.held();
    const { after, before } = s;
    if (!after) return;
    const lost = before.findIndex((b, i) => i < after.length && (b & ~(after[i] as number)) !== 0);
    if (lost >= 0)
      judge.broken({
        ...s,
        subject: s.what,
        key: 'after',
        who: 'driver',
        text: `the call clears bits of byte ${lost} of the bitmap`,
      });
  },
});

/** The arguments were refused: no log was read, so none was lost. */
const refusals: ReadonlySet<number | undefined> = new Set(['EINVAL', 'ENOTTY'].map(errnoNumber));

export const r52: Make = (judge) => {
  const failed = new Map<Device, number>();
  const settle = (device: Device): void => {
    if (failed.delete(device)) judge.held();
  };
  return {
    loggingReport: (s) => {
      if (!s.ok && !refusals.has(s.errno)) failed.set(s.device, s.event.id);
    },
    set: (s) => {
      const report = failed.get(s.device);
      if (report === undefined || !s.ok) return;
      const to = migStateName(s.to);
      if (to === 'RUNNING' || to === 'RUNNING_P2P') settle(s.device);
      else if (s.to === migStates.STOP_COPY) {
        failed.delete(s.device);
        judge.undecidable(
          'whether a program sends everything again after a failed DMA_LOGGING_REPORT is not in the trace',
        );
        judge.broken({
          ...s,
          subject: s.device.name,
          level: 'SHOULD',
          text: `DMA_LOGGING_REPORT failed at event ${report} and the migration goes on to STOP_COPY; unless all memory is sent again, pages are lost`,
        });
      }
    },
    reset: (s) => settle(s.device),
    close: (s) => settle(s.device),
  };
};

export const r53: Make = (judge) => ({
  loggingStop: (s) => {
    const { v2 } = s.device;
    if (!v2.logging || !v2.stopped || v2.state === 'RUNNING' || v2.state === 'PRE_COPY') return; // else: given up
    if (v2.lastReport === 'quiet') judge.held();
    else
      judge.broken({
        ...s,
        subject: s.device.name,
        text: `DMA logging stops ${v2.lastReport ? 'and the last report was made while the device ran' : 'without a report'}; what it wrote since is lost`,
      });
  },
});

const flagCount = (flags: number): number => flags.toString(2).replaceAll('0', '').length;
export const r64: Make = (judge) => ({
  dirtyPages: (s) => {
    const wrong = (key: string, text: string): void => judge.broken({ ...s, subject: s.space.name, key, text });
    const known = dirtyPagesFlags.START | dirtyPagesFlags.STOP | dirtyPagesFlags.GET_BITMAP;
    if (flagCount(s.flags) !== 1 || s.flags & ~known)
      return wrong('flags', `DIRTY_PAGES with flags 0x${s.flags.toString(16)}`);
    if (!(s.flags & dirtyPagesFlags.GET_BITMAP)) return judge.held();
    if (!s.space.tracking) return wrong('off', 'GET_BITMAP while dirty pages are not tracked');
    const smallest = s.space.pgsizes === null ? null : s.space.pgsizes & -s.space.pgsizes;
    if (smallest !== null && s.pgsize !== smallest)
      return wrong('page', `GET_BITMAP with pgsize ${s.pgsize}; the smallest IOMMU page is ${smallest}`);
    const bytes = s.pgsize === 0n ? 0n : ((s.size / s.pgsize + 63n) / 64n) * 8n;
    if (s.bitmapSize < bytes)
      return wrong('size', `GET_BITMAP of ${s.size} bytes needs a bitmap of ${bytes} bytes and has ${s.bitmapSize}`);
    judge.held();
  },
});
