#include "pack.h"
#include "lz4.h"
#include "schema.h"
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

#define HEAD	 8
#define PACK_MIN 64
#define SAVES	 16

size_t pack(struct packer *p, const uint8_t *raw, size_t length)
{
	if (length < PACK_MIN || length > VRR_PAYLOAD_MAX)
		return 0;
	size_t bound = HEAD + (size_t)LZ4_compressBound((int)length);
	if (p->capacity < bound) {
		uint8_t *bigger = realloc(p->room, bound);
		if (!bigger)
			return 0;
		p->room = bigger;
		p->capacity = bound;
	}
	int packed = LZ4_compress_default((const char *)raw, (char *)p->room + HEAD, (int)length, (int)(bound - HEAD));
	if (packed <= 0 || HEAD + (size_t)packed > length - length / SAVES)
		return 0;
	uint32_t head[2] = {(uint32_t)length, XXH32(p->room + HEAD, (size_t)packed, 0)};
	memcpy(p->room, head, HEAD);
	return HEAD + (size_t)packed;
}

void pack_free(struct packer *p)
{
	free(p->room);
	memset(p, 0, sizeof(*p));
}
