/*
 * What an ioctl reads and writes: the argument and the memory behind its pointers, before and after, by the schema's
 * tables. What the schema does not know is kept as raw bytes.
 */
#ifndef VFIO_RR_CAPTURE_H
#define VFIO_RR_CAPTURE_H
#include "ring.h"

struct capture_call { /* a row of VRR_CALLS */
	uint8_t known, arg;
	uint16_t min, size, first, pointers;
	uint16_t makes, makes_at;
};
struct capture_memory {
	const void *address;
	uint64_t size;
	const void *before; /* its chunk, if in one piece */
	size_t kept;
	uint16_t at;
	uint8_t dir;
};
struct capture {
	const struct capture_call *call;
	const void *argument;
	uint64_t size; /* of the argument; 0: none to keep */
	const void *before;
	size_t kept;
	uint32_t makes, makes_at;
	uint32_t flags; /* VFIO_DEVICE_FEATURE's */
	unsigned have;	/* bytes of head that could be read */
	unsigned memories;
	_Alignas(8) uint8_t head[64];
	struct capture_memory memory[2];
	char string[256];
};

/** What the schema has about a request on a descriptor of that kind; never NULL. */
const struct capture_call *capture_call(uint32_t kind, unsigned long request);
/** Nothing lies behind its argument, and it makes no descriptor. */
static inline bool capture_bare(const struct capture_call *call)
{
	return call->known && call->arg <= VRR_ARG_VALUE && !call->makes;
}
/** Looks at the argument of such a request. */
void capture_plan(struct capture *c, const struct capture_call *call, uint32_t kind, unsigned long request,
		  const void *argument);
/** Bytes of record that the plan needs: all of it, and the answer's part. */
size_t capture_room(const struct capture *c, bool answer);
void capture_before(struct capture *c, struct rec *r);
void capture_after(struct capture *c, struct rec *r, bool succeeded);
/** A field of the argument as it is now; false: not there. */
bool capture_field(const struct capture *c, size_t at, void *to, size_t size);

#endif
