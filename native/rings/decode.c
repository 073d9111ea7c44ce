/* One record becomes one row of `event`, with the rows it brings along. */
#include "drain.h"
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

struct call {
	uint8_t kind, arg, makes;
	uint16_t makes_at, request;
};
#define CALL(name, kind, request, arg, min, size, first, count, makes, at) {kind, arg, makes, at, request},
static const struct call calls[] = {VRR_CALLS(CALL)};
struct feature {
	uint16_t id, makes_at;
	uint8_t makes;
};
#define FEATURE(name, id, size, first, count, makes, at) {id, at, makes},
static const struct feature features[] = {VRR_FEATURES(FEATURE)};

static const struct call *find_call(uint8_t kind, uint64_t request)
{
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
			if (calls[i].request == request && calls[i].kind == kind)
				return &calls[i];
		if (kind != VRR_KIND_IOMMUFD)
			return NULL;
		kind = VRR_KIND_CONTAINER; /* iommufd takes the container's requests too */
	}
	return NULL;
}

static const struct feature *find_feature(int64_t flags)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
		if (features[i].id == (flags & VFIO_DEVICE_FEATURE_MASK))
			return &features[i];
	return NULL;
}

static int32_t s32_at(const struct bytes *b, size_t at)
{
	int32_t v = -1;
	if (b && at + sizeof(v) <= b->length)
		memcpy(&v, b->data + at, sizeof(v));
	return v;
}

/* What an open() that failed was meant to open. */
static uint8_t kind_of_path(const struct bytes *path)
{
	static const struct {
		const char *prefix;
		uint8_t exact, kind;
	} paths[] = {
#define PATH(prefix, exact, kind) {prefix, exact, kind},
		VRR_PATHS(PATH)};
	for (size_t i = 0; path && i < sizeof(paths) / sizeof(*paths); i++) {
		size_t n = strlen(paths[i].prefix), length = strnlen((const char *)path->data, path->length);
		if (length >= n && !memcmp(path->data, paths[i].prefix, n) && (!paths[i].exact || length == n))
			return paths[i].kind;
	}
	return 0;
}

static bool moves_bytes(uint8_t op)
{
	return op == VRR_OP_PREAD || op == VRR_OP_PWRITE || op == VRR_OP_READ || op == VRR_OP_WRITE;
}
/* SQLite keeps small magnitudes in fewer bytes: as a signed integer of its width, no value takes more than its width.
 */
static int64_t narrow(const struct vrr_record *record, uint8_t op)
{
	uint64_t n = op == VRR_OP_PREAD || op == VRR_OP_READ ? (uint64_t)record->ret : record->b;
	if (!moves_bytes(op) || n > 4)
		return (int64_t)record->value;
	return n == 4	? (int32_t)record->value
	       : n == 2 ? (int16_t)record->value
	       : n == 1 ? (int8_t)record->value
			: (int64_t)record->value;
}
static bool in_region(uint8_t op)
{
	return op == VRR_OP_PREAD || op == VRR_OP_PWRITE || op == VRR_OP_MMAP || op == VRR_OP_LOAD ||
	       op == VRR_OP_STORE;
}
static bool makes_handle(uint8_t op)
{
	return op == VRR_OP_OPEN || op == VRR_OP_ATTACH || op == VRR_OP_EVENTFD || op == VRR_OP_IOCTL ||
	       op == VRR_OP_RECVMSG;
}

/* Whether the bytes are the program's data, which --payload may leave out, rather than what decoding needs. */
static enum payload_mode mode_of(const struct drain *drain, uint8_t op, uint16_t where)
{
	if (op == VRR_OP_DMA)
		return drain->ring.header->dma == VRR_DMA_PAGES ? PAYLOAD_FULL : PAYLOAD_HASH;
	if (where >= VRR_WHERE_ARRAY ? where == VRR_WHERE_ARG && moves_bytes(op) : op == VRR_OP_IOCTL)
		return drain->payload_mode;
	return PAYLOAD_FULL;
}

static void memory_row(struct drain *drain, const struct bytes *b, int64_t payload, uint8_t phase)
{
	struct memory_row *row = ROW(&drain->batch, memory);
	if (row)
		*row = (struct memory_row){drain->next_event, b->where, phase, payload, b->total};
}

/* The answer is not in the ring where it equals the question; after a call that returned the trace has both. */
static bool unchanged(const struct drain *drain, const struct bytes *in)
{
	return in->phase == VRR_PHASE_IN && !gathered(drain, in->where, VRR_PHASE_OUT);
}

static void keep_bytes(struct drain *drain, uint8_t op, bool answered, struct event_row *event)
{
	for (size_t i = 0; i < drain->bytes_count; i++) {
		const struct bytes *b = &drain->bytes[i];
		int64_t payload = payload_of(drain, b, mode_of(drain, op, b->where));
		bool both = answered && op == VRR_OP_IOCTL && unchanged(drain, b);
		if (b->where == VRR_WHERE_ARG || b->where == VRR_WHERE_PATH) {
			if (b->phase == VRR_PHASE_IN || b->where == VRR_WHERE_PATH)
				event->inp = payload;
			else
				event->outp = payload;
			if (both && b->where == VRR_WHERE_ARG)
				event->outp = payload;
			if (b->length == b->total)
				continue;
		}
		memory_row(drain, b, payload, b->phase);
		if (both && b->where < VRR_WHERE_ARRAY)
			memory_row(drain, b, payload, VRR_PHASE_OUT);
	}
}

static uint32_t site_id(struct drain *drain, struct stream *stream, const struct site *site)
{
	bool fresh;
	if (stream->last_site_id && !memcmp(&stream->last_site, site, sizeof(*site)))
		return stream->last_site_id;
	uint32_t id = intern_site(&drain->intern, site, &fresh);
	stream->last_site = *site;
	stream->last_site_id = id;
	if (fresh && id) {
		struct site_row *row = ROW(&drain->batch, site);
		if (row) {
			row->id = id;
			row->site = *site;
		}
	}
	if (!id)
		drain->batch.out_of_memory = true;
	return id;
}

/* The descriptor that an ioctl made: its result, or in its answer. */
static int64_t ioctl_made(const struct call *call, const struct feature *feature, const struct vrr_record *record,
			  const struct bytes *in, const struct bytes *out, bool returned)
{
	uint16_t at = feature ? feature->makes_at : call ? call->makes_at : VRR_NOWHERE;
	if (at != VRR_NOWHERE && at != VRR_AT_RETURN)
		return s32_at(out ? out : in, at);
	return returned ? record->ret : -1;
}

static const struct feature *feature_asked(uint8_t kind, const struct vrr_record *record, const struct bytes *in)
{
	if (kind != VRR_KIND_DEVICE || record->a != VFIO_DEVICE_FEATURE || !in)
		return NULL;
	return find_feature((uint32_t)s32_at(in, offsetof(struct vfio_device_feature, flags)));
}

static bool tells_region(uint8_t kind, const struct vrr_record *record, bool returned)
{
	return returned && record->ret >= 0 && kind == VRR_KIND_DEVICE && record->a == VFIO_DEVICE_GET_REGION_INFO;
}

static bool is_note(uint8_t op)
{
	return op == VRR_OP_PROCESS || op == VRR_OP_ATTACH || op == VRR_OP_MORE || op == VRR_OP_LOST ||
	       op == VRR_OP_DMA || op == VRR_OP_KVM;
}

/* The call that asked for the dump that is being made. */
static void look_for_cause(struct drain *drain, const struct stream *stream, const struct vrr_record *record)
{
	if (stream->tid != drain->cause.tid || is_note(record_op(record->head)))
		return;
	if (!drain->cause.error) {
		if (record->leave <= drain->cause.tick)
			drain->cause.event = drain->next_event;
	} else if (!drain->cause.event && record->leave >= drain->cause.tick && record->ret == -drain->cause.error) {
		drain->cause.event = drain->next_event;
	}
}

int let_go(struct drain *drain, struct stream *stream, struct place place, const struct vrr_record *record,
	   bool returned)
{
	uint64_t head = __atomic_load_n(&record->head, __ATOMIC_ACQUIRE);
	uint8_t op = record_op(head), flags = record_flags(head), kind = 0;
	drain->let_go += !is_note(op);
	bool known = op != VRR_OP_PROCESS && stream->id < drain->thread_slots && drain->threads[stream->id];
	uint32_t made = flags & VRR_FLAG_INLINE || !makes_handle(op) ? 0 : (uint32_t)record->value;
	if (op == VRR_OP_IOCTL) {
		const struct handle *handle = handle_at(drain, record->handle);
		kind = handle ? handle->kind : 0;
	}
	bool tells = op == VRR_OP_IOCTL && tells_region(kind, record, returned);
	if (known && !made && !tells)
		return 0;
	if (gather(drain, stream, place, record))
		return -1;
	thread_of(drain, stream, record);
	const struct bytes *in = gathered(drain, VRR_WHERE_ARG, VRR_PHASE_IN);
	const struct bytes *out = gathered(drain, VRR_WHERE_ARG, VRR_PHASE_OUT);
	if (tells)
		region_told(drain, record->handle, out ? out : in);
	if (made) {
		int64_t fd = op == VRR_OP_IOCTL	   ? ioctl_made(find_call(kind, record->a),
								feature_asked(kind, record, in), record, in, out, returned)
			     : op == VRR_OP_ATTACH ? record->fd
			     : returned		   ? record->ret
						   : -1;
		handle_made(drain, made, (uint8_t)(record->value >> 32), record, pid_process(drain, stream->pid), fd);
	}
	return drain->batch.out_of_memory ? -1 : 0;
}

int decode(struct drain *drain, struct stream *stream, struct place place, const struct vrr_record *record,
	   bool returned)
{
	const struct ring *ring = &drain->ring;
	uint64_t head = __atomic_load_n(&record->head, __ATOMIC_ACQUIRE);
	uint8_t op = record_op(head), flags = record_flags(head);
	bool plain = record_size(head) == sizeof(*record) && !(flags & VRR_FLAG_MORE) && returned;
	if (plain)
		drain->bytes_count = 0;
	else if (gather(drain, stream, place, record))
		return -1;
	uint32_t thread = thread_of(drain, stream, record);

	struct site site = {NO_NUMBER,	NO_NUMBER,
			    NO_NUMBER,	NO_NUMBER,
			    thread,	record->handle,
			    record->fd, 0,
			    op,		(uint8_t)(flags & ~VRR_FLAG_MORE),
			    0};
	bool is_inline = flags & VRR_FLAG_INLINE;
	uint32_t made = is_inline ? 0 : (uint32_t)record->value;
	uint8_t made_kind = is_inline ? 0 : (uint8_t)(record->value >> 32);
	struct handle *handle = handle_at(drain, record->handle);
	if (handle)
		site.kind = handle->kind;
	if (!site.handle && op != VRR_OP_IOCTL && made) {
		site.handle = made;
		site.kind = made_kind;
	}
	if (!site.kind && op == VRR_OP_OPEN && !plain)
		site.kind = kind_of_path(gathered(drain, VRR_WHERE_PATH, VRR_PHASE_IN));
	if (!site.kind)
		site.kind = op != VRR_OP_IOCTL && made_kind  ? made_kind
			    : site.handle || record->fd >= 0 ? VRR_KIND_UNKNOWN
							     : VRR_KIND_NONE;

	struct event_row event = {
		.dur = NO_NUMBER, .a = (int64_t)record->a, .ret = NO_NUMBER, .inp = NO_NUMBER, .outp = NO_NUMBER};
	event.t = ring_nanos(ring, ring->header->clock_start, record->enter);
	if (returned) {
		event.dur = ring_nanos(ring, record->enter, record->leave);
		event.ret = record->ret;
	}
	event.has_val = is_inline;
	event.val = is_inline ? narrow(record, op) : 0;
	const struct bytes *in = plain ? NULL : gathered(drain, VRR_WHERE_ARG, VRR_PHASE_IN);
	const struct bytes *out = plain ? NULL : gathered(drain, VRR_WHERE_ARG, VRR_PHASE_OUT);
	int64_t made_fd = returned ? record->ret : -1;
	if (op == VRR_OP_IOCTL) {
		const struct call *call = find_call(site.kind, record->a);
		site.request = (int64_t)record->a;
		event.a = !in && !out && (!call || call->arg != VRR_ARG_NONE) ? (int64_t)record->b : NO_NUMBER;
		if (site.kind == VRR_KIND_DEVICE && record->a == VFIO_DEVICE_FEATURE && in)
			site.feature = (uint32_t)s32_at(in, offsetof(struct vfio_device_feature, flags));
		made_fd = ioctl_made(call, feature_asked(site.kind, record, in), record, in, out, returned);
		if (tells_region(site.kind, record, returned))
			region_told(drain, record->handle, out ? out : in);
	} else {
		site.length = (int64_t)record->b;
		if (op == VRR_OP_READ || op == VRR_OP_WRITE)
			event.a = NO_NUMBER;
		const struct region *region = in_region(op) ? region_at(drain, record->handle, record->a) : NULL;
		if (region) {
			site.region = region->index;
			event.a = (int64_t)(record->a - region->offset);
		}
	}
	if (op == VRR_OP_ATTACH)
		made_fd = record->fd;
	if (!plain)
		keep_bytes(drain, op, returned, &event);
	if (made && makes_handle(op))
		handle_made(drain, made, made_kind, record, pid_process(drain, stream->pid), made_fd);
	event.site = site_id(drain, stream, &site);
	struct event_row *row = ROW(&drain->batch, event);
	if (!row || drain->batch.out_of_memory)
		return -1;
	*row = event;
	if (drain->cause.tick)
		look_for_cause(drain, stream, record);
	drain->batch.has_payloads |= event.inp != NO_NUMBER || event.outp != NO_NUMBER;
	drain->next_event++;
	return 0;
}
