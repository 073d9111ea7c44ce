/* Puts the chunks of a record together. */
#include "drain.h"
#include <stdlib.h>
#include <string.h>

static struct bytes *add(struct drain *drain)
{
	if (drain->bytes_count == drain->bytes_capacity) {
		size_t more = drain->bytes_capacity ? drain->bytes_capacity * 2 : 16;
		struct bytes *bigger = realloc(drain->bytes, more * sizeof(*bigger));
		if (!bigger)
			return NULL;
		drain->bytes = bigger;
		drain->bytes_capacity = more;
	}
	struct bytes *b = &drain->bytes[drain->bytes_count++];
	memset(b, 0, sizeof(*b));
	return b;
}

static int append(struct drain *drain, struct bytes *b, const uint8_t *data, uint32_t length)
{
	if (b->length + length > b->room) {
		size_t room = b->room ? b->room * 2 : b->total <= VRR_PAYLOAD_MAX ? b->total : VRR_PAYLOAD_MAX;
		if (room < b->length + length)
			room = b->length + length;
		uint8_t *bigger = batch_alloc(&drain->batch, room);
		if (!bigger)
			return -1;
		memcpy(bigger, b->data, b->length);
		b->data = bigger;
		b->room = room;
	}
	memcpy(b->data + b->length, data, length);
	b->length += length;
	return 0;
}

static int chunks(struct drain *drain, const struct vrr_record *record, uint32_t size)
{
	uint8_t *at = (uint8_t *)(uintptr_t)(record + 1), *end = (uint8_t *)(uintptr_t)record + size;
	while ((size_t)(end - at) >= sizeof(struct vrr_chunk)) {
		struct vrr_chunk c;
		memcpy(&c, at, sizeof(c));
		uint8_t *data = at + sizeof(c);
		if (!c.where && !c.length && !c.total)
			break; /* room that the answer did not need */
		if (c.length > (size_t)(end - data)) {
			drain->damaged++;
			break;
		}
		struct bytes *b = NULL;
		for (size_t i = drain->bytes_count; i-- > 0 && !b;)
			if (drain->bytes[i].goes_on && drain->bytes[i].where == c.where &&
			    drain->bytes[i].phase == c.phase)
				b = &drain->bytes[i];
		if (b) {
			if (append(drain, b, data, c.length))
				return -1;
		} else {
			b = add(drain);
			if (!b)
				return -1;
			b->where = c.where;
			b->phase = c.phase;
			b->total = c.total;
			b->data = data;
			b->length = c.length;
		}
		b->goes_on = c.flags & VRR_CHUNK_CONTINUED;
		size_t step = ((size_t)c.length + 7) & ~(size_t)7;
		if (step > (size_t)(end - data))
			break;
		at = data + step;
	}
	return 0;
}

int gather(struct drain *drain, const struct stream *stream, struct place place, const struct vrr_record *record)
{
	uint64_t head = __atomic_load_n(&record->head, __ATOMIC_ACQUIRE);
	drain->bytes_count = 0;
	if (chunks(drain, record, record_size(head)))
		return -1;
	if (!(record_flags(head) & VRR_FLAG_MORE) && record_state(head) == VRR_STATE_DONE)
		return 0;
	/* Its continuations lie between it and the first call entered after it returned, perhaps in segments that were
	 * taken after we looked for new ones. */
	if (streams_discover(&drain->streams))
		return -1;
	place.pos += record_size(head);
	for (;;) {
		struct vrr_record *next;
		enum head state = stream_at(&drain->streams, stream, &place, &next);
		if (state == HEAD_NONE || state == HEAD_BROKEN)
			return 0;
		uint64_t word = __atomic_load_n(&next->head, __ATOMIC_ACQUIRE);
		if (record_op(word) == VRR_OP_MORE) {
			if (next->enter == record->enter && state == HEAD_DONE &&
			    chunks(drain, next, record_size(word)))
				return -1;
		} else if (record->leave && next->enter > record->leave) {
			return 0;
		}
		place.pos += record_size(word);
	}
}

const struct bytes *gathered(const struct drain *drain, uint16_t where, uint8_t phase)
{
	for (size_t i = 0; i < drain->bytes_count; i++)
		if (drain->bytes[i].where == where && drain->bytes[i].phase == phase)
			return &drain->bytes[i];
	return NULL;
}

int64_t payload_of(struct drain *drain, const struct bytes *b, enum payload_mode mode)
{
	struct hash128 hash, key;
	bool fresh;
	if (!b)
		return NO_NUMBER;
	hash = mode == PAYLOAD_NONE ? (struct hash128){b->length, 0} : hash_bytes(b->data, b->length);
	/* The same bytes may be kept whole in one place and only hashed in another. */
	key = (struct hash128){hash.low, hash.high ^ (uint64_t)mode};
	uint32_t id = intern_payload(&drain->intern, &key, &fresh);
	if (!id) {
		drain->batch.out_of_memory = true;
		return NO_NUMBER;
	}
	if (fresh) {
		struct payload_row *row = ROW(&drain->batch, payload);
		if (!row)
			return NO_NUMBER;
		row->id = id;
		row->size = (int64_t)b->length;
		row->hash = hash;
		row->bytes = b->data;
		row->codec = mode == PAYLOAD_FULL   ? VRR_CODEC_RAW
			     : mode == PAYLOAD_HASH ? VRR_CODEC_HASH
						    : VRR_CODEC_NONE;
		if (mode == PAYLOAD_FULL)
			drain->batch.payload_bytes += b->length;
	}
	return id;
}
