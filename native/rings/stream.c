#define _GNU_SOURCE
#include "stream.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* gcc 12 loses sight of what hangs in an array that was reallocated. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"

static void *grown(void *list, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return list;
	size_t more = *capacity ? *capacity * 2 : 16;
	void *bigger = realloc(list, more * size);
	if (bigger)
		*capacity = more;
	return bigger;
}

static int tickets_add(struct tickets *t, uint64_t ticket, uint32_t segment)
{
	struct ticket_at *list = grown(t->list, t->count, &t->capacity, sizeof(*list));
	if (!list)
		return -1;
	t->list = list;
	t->list[t->count++] = (struct ticket_at){ticket, segment};
	return 0;
}

static bool there(const struct stream *stream)
{
	return !syscall(SYS_tgkill, stream->pid, stream->tid, 0) || errno == EPERM;
}

void streams_check(struct streams *all)
{
	for (size_t i = 0; i < all->count; i++) {
		struct stream *stream = all->list[i];
		if (stream && stream->count && stream->visible && !stream->dead)
			stream->dead = !there(stream);
	}
}

/* Streams are numbered from the ring's header, so they can be looked up by number. */
#define STREAM_MAX (1u << 22)

static struct stream *stream_of(struct streams *all, uint32_t id, const struct vrr_segment *s)
{
	if (id >= all->count) {
		size_t more = id + 64;
		struct stream **list = realloc(all->list, more * sizeof(*list));
		if (!list)
			return NULL;
		memset(list + all->count, 0, (more - all->count) * sizeof(*list));
		all->list = list;
		all->count = more;
	}
	struct stream *stream = all->list[id];
	if (!stream && (stream = calloc(1, sizeof(*stream)))) {
		stream->id = id;
		stream->pid = s->pid;
		stream->tid = s->tid;
		stream->level = s->level;
		stream->frontier.pos = sizeof(*s);
		stream->visible = there(stream);
		all->list[id] = stream;
	}
	return stream;
}

static int push_open(struct stream *stream, struct place place, struct vrr_record *record)
{
	size_t capacity = stream->open_capacity;
	struct open_call *open = grown(stream->open, stream->open_count, &capacity, sizeof(*open));
	if (!open)
		return -1;
	stream->open = open;
	stream->open_capacity = (uint32_t)capacity;
	stream->open[stream->open_count++] = (struct open_call){place, record};
	return 0;
}

/* Another segment was read in that place, or is being read. */
static bool taken_already(const struct stream *stream, uint32_t number)
{
	uint32_t first = stream->expected;
	return number < first ||
	       (stream->count && stream->parts[0].number == first && number - first <= stream->frontier.part);
}

static int adopt(struct streams *all, uint64_t ticket, uint32_t segment, uint32_t pos)
{
	const struct vrr_segment *s = ring_segment(all->ring, segment);
	uint32_t id = s->stream, number = s->part;
	struct stream *stream = id < STREAM_MAX ? stream_of(all, id, s) : NULL;
	if (id < STREAM_MAX && !stream)
		return -1;
	if (!stream || taken_already(stream, number)) {
		all->spoilt++;
		return 0;
	}
	if (stream->count == stream->capacity) {
		uint32_t more = stream->capacity ? stream->capacity * 2 : 4;
		struct part *bigger = realloc(stream->parts, more * sizeof(*bigger));
		if (!bigger)
			return -1;
		stream->parts = bigger;
		stream->capacity = more;
	}
	uint32_t i = stream->count++;
	for (; i > 0 && stream->parts[i - 1].number > number; i--)
		stream->parts[i] = stream->parts[i - 1];
	if (pos < sizeof(*s))
		pos = sizeof(*s);
	stream->parts[i] = (struct part){ticket, segment, number, pos};
	return 0;
}

/* 1: the writer of `ticket` has set its segment up. 0: not yet. -1: the segment has a later ticket. */
static int ready(const struct streams *all, uint64_t ticket, uint32_t segment)
{
	uint64_t now = __atomic_load_n(&ring_segment(all->ring, segment)->ticket, __ATOMIC_ACQUIRE);
	return now == ticket + 1 ? 1 : now > ticket + 1 ? -1 : 0;
}

int streams_discover(struct streams *all)
{
	struct ring *ring = all->ring;
	uint64_t taken = __atomic_load_n(&ring->header->taken, __ATOMIC_ACQUIRE);
	uint64_t given = __atomic_load_n(&ring->header->given, __ATOMIC_RELAXED);
	size_t kept = 0;
	/* A program may write where it should not: what was taken was given, and nobody had it. */
	if (taken > given || taken - all->seen > ring->segment_count) {
		all->spoilt += !all->misled;
		all->misled = true;
	}
	if (all->misled)
		taken = given - all->seen <= ring->segment_count ? given : all->seen;
	for (; all->seen < taken; all->seen++) {
		uint32_t segment = __atomic_load_n(&ring->queue[all->seen % ring->segment_count], __ATOMIC_RELAXED);
		if (segment < ring->segment_count && tickets_add(&all->pending, all->seen, segment))
			return -1;
	}
	for (size_t i = 0; i < all->pending.count; i++) {
		struct ticket_at t = all->pending.list[i];
		int state = ready(all, t.ticket, t.segment);
		if (state > 0 && adopt(all, t.ticket, t.segment, 0))
			return -1;
		if (state == 0)
			all->pending.list[kept++] = t;
	}
	all->pending.count = kept;
	return 0;
}

int streams_open(struct streams *all, struct ring *ring, uint32_t (*bytes_of)(void *, uint64_t), void *context)
{
	memset(all, 0, sizeof(*all));
	all->ring = ring;
	uint32_t n = ring->segment_count;
	uint64_t taken = __atomic_load_n(&ring->header->taken, __ATOMIC_ACQUIRE);
	bool *known = calloc(n, sizeof(*known));
	if (!known)
		return -1;
	for (uint32_t s = 0; s < n; s++) {
		uint64_t ticket = 0;
		/* pread: see idle_segments in ring.c. */
		if (pread(ring->fd, &ticket, sizeof(ticket), (uint8_t *)ring_segment(ring, s) - ring->map) !=
		    sizeof(ticket))
			continue;
		if (!ticket || ticket > taken)
			continue;
		if (adopt(all, ticket - 1, s, bytes_of(context, ticket - 1))) {
			free(known);
			return -1;
		}
		known[s] = true;
	}
	for (uint64_t t = taken > n ? taken - n : 0; t < taken; t++) {
		uint32_t segment = ring->queue[t % n];
		/* Not adopted above: also when its writer has set it up since. */
		if (segment < n && !known[segment] && ready(all, t, segment) >= 0 &&
		    tickets_add(&all->pending, t, segment)) {
			free(known);
			return -1;
		}
	}
	free(known);
	all->seen = taken;
	for (size_t i = 0; i < all->count; i++) {
		struct stream *stream = all->list[i];
		if (!stream || !stream->count)
			continue;
		stream->expected = stream->parts[0].number;
		stream->frontier.pos = stream->parts[0].pos;
	}
	return 0;
}

int streams_know_open(struct streams *all, uint64_t ticket, uint32_t pos)
{
	for (size_t i = 0; i < all->count; i++) {
		struct stream *stream = all->list[i];
		for (uint32_t p = 0; stream && p < stream->count; p++)
			if (stream->parts[p].ticket == ticket &&
			    pos + sizeof(struct vrr_record) <= all->ring->segment_size) {
				uint8_t *segment = (uint8_t *)ring_segment(all->ring, stream->parts[p].segment);
				return push_open(stream, (struct place){p, pos}, (struct vrr_record *)(segment + pos));
			}
	}
	return 0;
}

void streams_close(struct streams *all)
{
	for (size_t i = 0; i < all->count; i++) {
		if (!all->list[i])
			continue;
		free(all->list[i]->parts);
		free(all->list[i]->open);
		free(all->list[i]);
	}
	free(all->list);
	free(all->pending.list);
	free(all->drained.list);
	memset(all, 0, sizeof(*all));
}

static bool closed(const struct vrr_segment *s)
{
	return __atomic_load_n(&s->closed, __ATOMIC_ACQUIRE) != 0;
}

enum head stream_at(const struct streams *all, const struct stream *stream, struct place *place,
		    struct vrr_record **record)
{
	const struct ring *ring = all->ring;
	while (place->part < stream->count) {
		const struct part *part = &stream->parts[place->part];
		struct vrr_segment *s = ring_segment(ring, part->segment);
		if (place->pos + sizeof(**record) <= ring->segment_size) {
			struct vrr_record *r = (struct vrr_record *)((uint8_t *)s + place->pos);
			bool last = closed(s); /* before the head: all that is published before closing is seen */
			uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
			if (head) {
				uint32_t size = record_size(head), state = record_state(head);
				*record = r;
				if (size < sizeof(*r) || size % 8 || size > ring->segment_size - place->pos)
					return HEAD_BROKEN;
				return state == VRR_STATE_DONE	    ? HEAD_DONE
				       : state == VRR_STATE_ENTERED ? HEAD_ENTERED
								    : HEAD_BROKEN;
			}
			if (!last)
				return HEAD_NONE;
		} else if (!closed(s)) {
			return HEAD_NONE;
		}
		if (place->part + 1 == stream->count || stream->parts[place->part + 1].number != part->number + 1)
			return HEAD_NONE;
		place->part++;
		place->pos = stream->parts[place->part].pos;
	}
	return HEAD_NONE;
}

bool stream_torn(const struct streams *all, const struct stream *stream)
{
	uint32_t first = stream->count && stream->parts[0].number != stream->expected ? 0 : stream->frontier.part + 1;
	for (uint32_t p = first; p < stream->count; p++) {
		const uint8_t *segment = (uint8_t *)ring_segment(all->ring, stream->parts[p].segment);
		if (__atomic_load_n((const uint64_t *)(segment + sizeof(struct vrr_segment)), __ATOMIC_ACQUIRE))
			return true;
	}
	return false;
}

/* Whether a call that a signal's handler made inside this one follows it: that one returned first. */
static bool holds_another(const struct streams *all, const struct stream *stream, struct place next, uint64_t leave)
{
	struct vrr_record *record;
	enum head state;
	while ((state = stream_at(all, stream, &next, &record)) != HEAD_NONE && state != HEAD_BROKEN) {
		uint64_t head = __atomic_load_n(&record->head, __ATOMIC_ACQUIRE);
		if (record_op(head) != VRR_OP_MORE)
			return record->enter < leave;
		next.pos += record_size(head);
	}
	return false;
}

/* Whether something may follow a call that is entered. It may get shorter when it is done with nothing behind it, and
 * then bytes of the next one lie there: what is read counts only if the call is still as long after it. So no race. */
__attribute__((noinline, no_sanitize("thread"))) static bool followed(const struct streams *all,
								      const struct stream *stream, struct place next)
{
	const uint8_t *segment = (uint8_t *)ring_segment(all->ring, stream->parts[next.part].segment);
	return next.pos + sizeof(struct vrr_record) > all->ring->segment_size ||
	       __atomic_load_n((const uint64_t *)(segment + next.pos), __ATOMIC_ACQUIRE);
}

int stream_look(const struct streams *all, struct stream *stream, enum head *state, struct vrr_record **record)
{
	*state = HEAD_NONE;
	if (!stream->count || stream->parts[0].number != stream->expected)
		return 0;
	for (;;) {
		struct vrr_record *follower;
		*state = stream_at(all, stream, &stream->frontier, record);
		if (*state == HEAD_NONE || *state == HEAD_BROKEN)
			return 0;
		uint64_t head = __atomic_load_n(&(*record)->head, __ATOMIC_ACQUIRE);
		struct place next = {stream->frontier.part, stream->frontier.pos + record_size(head)};
		if (record_state(head) == VRR_STATE_DONE) {
			*state = HEAD_DONE;
			if (record_op(head) != VRR_OP_MORE) {
				if (!holds_another(all, stream, next, (*record)->leave))
					return 0;
				if (push_open(stream, stream->frontier, *record))
					return -1;
			}
		} else {
			bool more = followed(all, stream, next);
			if (__atomic_load_n(&(*record)->head, __ATOMIC_ACQUIRE) != head)
				continue;
			enum head after = more ? stream_at(all, stream, &next, &follower) : HEAD_NONE;
			if (after == HEAD_NONE || after == HEAD_BROKEN)
				return 0;
			if (push_open(stream, stream->frontier, *record))
				return -1;
		}
		stream->frontier = next;
	}
}

static int drop_parts(struct streams *all, struct stream *stream, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (tickets_add(&all->drained, stream->parts[i].ticket, stream->parts[i].segment))
			return -1;
	stream->count -= n;
	memmove(stream->parts, stream->parts + n, stream->count * sizeof(*stream->parts));
	stream->expected += n;
	stream->frontier.part -= n;
	for (uint32_t i = 0; i < stream->open_count; i++)
		stream->open[i].place.part -= n;
	return 0;
}

int stream_bury(struct streams *all, struct stream *stream)
{
	stream->open_count = 0;
	if (drop_parts(all, stream, stream->count))
		return -1;
	stream->frontier = (struct place){0, sizeof(struct vrr_segment)};
	return 0;
}

int stream_trim(struct streams *all, struct stream *stream)
{
	const struct ring *ring = all->ring;
	if (!stream->count || stream->broken || stream->parts[0].number != stream->expected)
		return 0;
	uint32_t keep = stream->frontier.part;
	for (uint32_t i = 0; i < stream->open_count; i++)
		if (stream->open[i].place.part < keep)
			keep = stream->open[i].place.part;
	if (keep && drop_parts(all, stream, keep))
		return -1;
	if (stream->count > 1 || stream->open_count || stream->frontier.part)
		return 0;
	/* The last one goes when its writer has closed it. */
	const struct vrr_segment *s = ring_segment(ring, stream->parts[0].segment);
	uint32_t pos = stream->frontier.pos;
	if (!closed(s) || (pos + sizeof(struct vrr_record) <= ring->segment_size &&
			   __atomic_load_n((const uint64_t *)((const uint8_t *)s + pos), __ATOMIC_ACQUIRE)))
		return 0;
	if (drop_parts(all, stream, 1))
		return -1;
	stream->frontier = (struct place){0, sizeof(*s)};
	return 0;
}
