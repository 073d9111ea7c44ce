// Memory of a process behind an iommufd map: pinned and counted once, however many address spaces it is copied to.
// Source: drivers/iommu/iommufd/pages.c (6.12).

import type { Caller, CallerMemory } from './caller.ts';
import type { Host } from './host.ts';

export const PAGE = 4096n;

/** Memory of a process that was mapped once, and perhaps copied to other address spaces; pinned and counted once. */
export interface Pages {
  readonly memory: CallerMemory;
  readonly caller: Caller;
  readonly vaddr: bigint;
  readonly length: bigint;
  readonly writable: boolean;
  /** Areas in address spaces with a hardware page table. */
  filled: number;
}

const countOf = (pages: Pages): bigint => (pages.vaddr + pages.length + PAGE - 1n) / PAGE - pages.vaddr / PAGE;

/** One more area with a hardware page table holds the pages; the errno's name where they cannot be pinned. */
export function pin(host: Host, pages: Pages): string | null {
  if (pages.filled === 0) {
    const limit = pages.caller.memlock;
    if (!pages.memory.covers(pages.vaddr, pages.length, pages.writable)) return 'EFAULT';
    if (limit !== null && host.locked(pages.caller.process) + countOf(pages) > limit / PAGE) return 'ENOMEM';
    host.lock(pages.caller.process, countOf(pages));
  }
  pages.filled++;
  return null;
}
export function unpin(host: Host, pages: Pages): void {
  pages.filled--;
  if (pages.filled === 0) host.lock(pages.caller.process, -countOf(pages));
}
