/* A payload packed as traces/pack.ts does, in the same words. */
#ifndef VFIO_RR_PACK_H
#define VFIO_RR_PACK_H
#include <stddef.h>
#include <stdint.h>

struct packer {
	uint8_t *room;
	size_t capacity;
};
/* Length of the packed bytes, in packer->room; 0: packing does not pay. */
size_t pack(struct packer *packer, const uint8_t *raw, size_t length);
void pack_free(struct packer *packer);
#endif
