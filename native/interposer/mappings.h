/* Ranges of the program's memory whose later munmap() and the like are recorded (hooks_memory.c). */
#ifndef VFIO_RR_MAPPINGS_H
#define VFIO_RR_MAPPINGS_H
#include "libc.h"

/** Memory that MAP_DMA or IOAS_MAP gave to devices at `iova`; entry: the container or iommufd. */
void mappings_pin(uint32_t entry, uint64_t address, uint64_t size, uint64_t iova);
/** [iova, +size) is devices' no more; memory mapped by halves stays. */
void mappings_unpin(uint32_t entry, uint64_t iova, uint64_t size);

/** Memory that devices reach, which is not itself a device's. */
struct pinned {
	uintptr_t start, end;
	uint64_t iova;
	uint32_t entry;	 /* container or iommufd */
	uint32_t serial; /* another one each time memory is mapped */
};
/** The next one from slot `*at` on; false: no more. */
bool mappings_pinned(unsigned *at, struct pinned *pinned);

#endif
