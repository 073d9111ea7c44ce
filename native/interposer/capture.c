#include "capture.h"

#include <linux/vfio.h>

#include "guard.h"

#define KINDS	  (VRR_KIND_UNKNOWN + 1)
#define FIRST	  VFIO_BASE
#define NUMBERS	  64
#define RAW_MAX	  4096 /* of a structure that the schema does not know and that states its size */
#define RAW_LEAST 64

static const struct capture_call calls[KINDS][NUMBERS] = {
#define ROW(name, kind, request, arg, min, size, first, pointers, makes, makes_at) \
	[kind][(request & 0xff) - FIRST] = {1, arg, min, size, first, pointers, makes, makes_at},
	VRR_CALLS(ROW)
#undef ROW
};
static const struct capture_call features[] = {
#define ROW(name, id, size, first, pointers, makes, makes_at) \
	[id] = {1, VRR_ARG_STRUCT, 8, size, first, pointers, makes, makes_at},
	VRR_FEATURES(ROW)
#undef ROW
};
static const struct vrr_pointer pointers[] = VRR_POINTERS;
static const struct capture_call unknown;

static bool of_vfio(unsigned long request)
{
	return _IOC_TYPE(request) == VFIO_TYPE;
}

const struct capture_call *capture_call(uint32_t kind, unsigned long request)
{
	unsigned nr = (unsigned)(request & 0xff) - FIRST;
	if (!of_vfio(request) || nr >= NUMBERS || kind >= KINDS)
		return &unknown;
	const struct capture_call *call = &calls[kind][nr];
	/* Either can be the other: iommufd takes a container's requests, and can stand at /dev/vfio/vfio. */
	if (!call->known && kind == VRR_KIND_IOMMUFD)
		call = &calls[VRR_KIND_CONTAINER][nr];
	if (!call->known && kind == VRR_KIND_CONTAINER)
		call = &calls[VRR_KIND_IOMMUFD][nr];
	return call;
}

static uint64_t field(const struct capture *c, unsigned at, unsigned size, bool *ok)
{
	uint64_t value = 0;
	if (size > 8 || at + size > c->have)
		*ok = false;
	else
		memcpy(&value, c->head + at, size);
	return value;
}

bool capture_field(const struct capture *c, size_t at, void *to, size_t size)
{
	return at + size <= c->size && !guard_copy(to, (const char *)c->argument + at, size);
}

static uint64_t memory_size(const struct capture *c, const struct vrr_pointer *p, bool *ok)
{
	uint64_t x = p->x_size ? field(c, p->x_at, p->x_size, ok) : 1;
	uint64_t y = p->y_size ? field(c, p->y_at, p->y_size, ok) : 1;
	if (p->rule == 1) {
		uint64_t bits = y ? x / y + (x % y != 0) : 0;
		return (bits / 64 + (bits % 64 != 0)) * 8;
	}
	uint64_t size;
	if (__builtin_mul_overflow(x, y, &size) || __builtin_mul_overflow(size, p->scale, &size))
		return UINT64_MAX;
	return size;
}

static void plan_memory(struct capture *c, const struct capture_call *call)
{
	for (unsigned i = 0; i < call->pointers && c->memories < 2; i++) {
		const struct vrr_pointer *p = &pointers[call->first + i];
		bool ok = true;
		if (p->when_mask && ((uint32_t)field(c, p->when_at, 4, &ok) & p->when_mask) != p->when_equals)
			continue;
		uint64_t address = field(c, p->at, 8, &ok), size = memory_size(c, p, &ok);
		if (ok && size && address)
			c->memory[c->memories++] = (struct capture_memory){
				.address = (const void *)(uintptr_t)address, .size = size, .at = p->at, .dir = p->dir};
	}
}

static void plan_unknown(struct capture *c, unsigned long request)
{
	uint32_t size = 0;
	if (!of_vfio(request)) {
		c->size = _IOC_DIR(request) != _IOC_NONE ? _IOC_SIZE(request) : 0;
		return;
	}
	if (guard_copy(&size, c->argument, sizeof size))
		return;
	c->size = size >= sizeof size && size <= RAW_MAX ? size : RAW_LEAST;
}

void capture_plan(struct capture *c, const struct capture_call *call, uint32_t kind, unsigned long request,
		  const void *argument)
{
	c->call = call;
	c->argument = argument;
	c->size = 0;
	c->before = NULL;
	c->makes = call->makes;
	c->makes_at = call->makes_at;
	c->flags = 0;
	c->have = c->memories = 0;
	if (!call->known)
		return plan_unknown(c, request);
	if (call->arg == VRR_ARG_SCALAR)
		c->size = call->size;
	if (call->arg == VRR_ARG_STRING) {
		ssize_t length = guard_string(c->string, argument, sizeof c->string);
		c->argument = c->string;
		c->size = length >= 0 ? (size_t)length + 1 : 0;
	}
	if (call->arg != VRR_ARG_STRUCT)
		return;
	/* Only what is looked at: most structures by their size alone. */
	unsigned look = call->pointers || call->makes || request == VFIO_DEVICE_FEATURE ? sizeof c->head : 4;
	c->have = look - (unsigned)guard_copy(c->head, argument, look);
	uint32_t size = 0;
	if (c->have >= 4)
		memcpy(&size, c->head, 4);
	c->size = size > call->min ? size : call->min;
	if (c->have > c->size)
		c->have = (unsigned)c->size;
	plan_memory(c, call);
	if (kind == VRR_KIND_DEVICE && request == VFIO_DEVICE_FEATURE) {
		bool ok = true;
		c->flags = (uint32_t)field(c, offsetof(struct vfio_device_feature, flags), 4, &ok);
		uint32_t id = c->flags & VFIO_DEVICE_FEATURE_MASK;
		if (ok && id < sizeof features / sizeof *features && features[id].known) {
			c->makes = features[id].makes;
			c->makes_at = features[id].makes_at;
			plan_memory(c, &features[id]);
		}
		/* A probe, and a GET of what SET makes, make nothing. */
		uint32_t asks = c->makes_at == VRR_AT_RETURN ? VFIO_DEVICE_FEATURE_GET : VFIO_DEVICE_FEATURE_SET;
		if (c->flags & VFIO_DEVICE_FEATURE_PROBE || !(c->flags & asks))
			c->makes = 0;
	}
}

static size_t limited(uint64_t size, uint64_t most)
{
	return (size_t)(size < most ? size : most);
}

size_t capture_room(const struct capture *c, bool answer)
{
	size_t argument = c->size ? rec_size(limited(c->size, VRR_ARG_MAX)) : 0, before = argument, after = argument;
	if (c->call->arg == VRR_ARG_STRING)
		after = 0;
	for (unsigned i = 0; i < c->memories; i++) {
		const struct capture_memory *m = &c->memory[i];
		if (m->dir & 1)
			before += rec_size(limited(m->size, VRR_ARG_MAX));
		if (m->dir & 2)
			after += rec_size(limited(m->size, VRR_PAYLOAD_MAX));
	}
	return answer ? after : before + after;
}

void capture_before(struct capture *c, struct rec *r)
{
	if (c->size) {
		c->kept =
			rec_chunk(r, VRR_WHERE_ARG, VRR_PHASE_IN, c->argument, limited(c->size, VRR_ARG_MAX), c->size);
		c->before = r->data;
	}
	for (unsigned i = 0; i < c->memories; i++) {
		struct capture_memory *m = &c->memory[i];
		if (!(m->dir & 1))
			continue;
		m->kept = rec_chunk(r, m->at, VRR_PHASE_IN, m->address, limited(m->size, VRR_ARG_MAX), m->size);
		m->before = r->data;
	}
}

/* Bytes that the call left as they were are in the record already. */
static void after(struct rec *r, int where, const void *address, size_t n, uint64_t total, const void *before,
		  size_t before_n)
{
	size_t kept = rec_chunk(r, where, VRR_PHASE_OUT, address, n, total);
	if (r->data && before && kept == before_n && !memcmp(r->data, before, kept))
		rec_unchunk(r);
}

void capture_after(struct capture *c, struct rec *r, bool succeeded)
{
	if (c->size && c->call->arg != VRR_ARG_STRING)
		after(r, VRR_WHERE_ARG, c->argument, limited(c->size, VRR_ARG_MAX), c->size, c->before, c->kept);
	for (unsigned i = 0; i < c->memories; i++) {
		struct capture_memory *m = &c->memory[i];
		if (m->dir & 2) /* a size that the kernel refused may be anything */
			after(r, m->at, m->address, limited(m->size, succeeded ? VRR_PAYLOAD_MAX : VRR_ARG_MAX),
			      m->size, m->before, m->kept);
	}
}
