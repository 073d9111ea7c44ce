/*
 * Memory that devices reach (--dma): at chosen points, the pages that changed since they were last kept are recorded.
 *
 * A device's writes leave no trace in the CPU's page tables, so a page is compared by its hash with what was kept last.
 *
 * Contract: no system call, no allocation, no lock; memory that is gone is counted. While dma_on is false nothing here
 * is called.
 */
#ifndef VFIO_RR_DMA_H
#define VFIO_RR_DMA_H
#include "capture.h"

extern bool dma_on;
/** pwrite looks at its buffer or its target: a mapped region is trapped, or there are doorbells. */
extern bool writes_looked_at;

/** Reserves the table of hashes, if the ring asks for DMA memory; in the constructor. */
void dma_start(void);
/** Looks at all memory that devices reach. point: VRR_DMA_AT_… */
void dma_look(int point);
/** Before an ioctl that takes memory from devices, or changes the migration state. */
void dma_before(const struct capture *c, uint32_t entry, unsigned long request);
/** A region was described: ranges of it may be doorbells. */
void dma_region(const struct capture *c, uint32_t entry);
/** Before a write to a device, at an offset of its file. */
void dma_written(uint32_t entry, uint64_t at, size_t n);
/** Pages [start, end) of a mapping are devices' no more. */
void dma_forget(uint32_t serial, uintptr_t start, uintptr_t end);

#endif
