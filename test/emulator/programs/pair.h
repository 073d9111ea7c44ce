/* Two emulated devices, and the registers of the educational one: DMA, and memory of its own in BAR 2. */
#ifndef PAIR_H
#define PAIR_H
#include "device.h"

/* The migration region of protocol v1 (linux/vfio.h of 5.10) and its state bits. */
enum {
	V1_STATE = 0, V1_PENDING = 8, V1_OFFSET = 16, V1_SIZE = 24,
	V1_RUNNING = 1, V1_SAVING = 2, V1_RESUMING = 4, V1_NDMA = 8,
};
#define MIGRATION 9 /* behind the nine regions of PCI */
#define MEMORY_BAR VFIO_PCI_BAR2_REGION_INDEX
#define MEMORY_SIZE 65536

/* Opens the device in a container that may have others already; prints nothing. Regions' places are known after it. */
void pair_open(struct device *d, const char *name, int container);
/* Offset of a region in the device's file. */
uint64_t pair_offset(struct device *d, unsigned region);

uint64_t v1_read(struct device *d, unsigned at, unsigned size);
/* 0, or -1 with errno. */
int v1_write(struct device *d, unsigned at, uint64_t value, unsigned size);
int v1_set(struct device *d, uint32_t state);
/* Everything that can be read now, in DATA; its size. Each segment's size goes to SIZES. */
size_t v1_save(struct device *d, uint8_t *data, size_t *sizes, unsigned *count);
void v1_load(struct device *d, const uint8_t *data, const size_t *sizes, unsigned count);

/* The device's engine copies COUNT bytes: from IOVA into its buffer, and from there to IOVA. */
void dma_in(struct device *d, uint64_t iova, uint32_t count);
void dma_out(struct device *d, uint64_t iova, uint32_t count);
#endif
