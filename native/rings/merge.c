/* The streams in one order: that in which calls returned. */
#include "drain.h"
#include <stdlib.h>
#include <string.h>

/* A call's end is stamped, then stored: a thread that loses its processor in between publishes a stamp older than what
 * others published meanwhile. Records wait this long for such, less when writers wait for segments; what comes later
 * still is kept and counted (`late`). */
#define HOLD_BACK_NS	    100000000
#define HOLD_BACK_SHORT_NS  5000000
/* How often to look for threads that are gone; each leaves a segment behind. */
#define CHECK_NS	    250000000
/* New payload bytes after which a batch is full: bounds the transaction's time, and the ring space it holds. */
#define BATCH_PAYLOAD_BYTES (32u << 20)

struct candidate {
	struct stream *stream;
	uint64_t key; /* leave of its next record; UINT64_MAX: none */
	struct vrr_record *record;
	struct place place;
	int32_t open; /* index of the open call that is next, -1: the frontier */
};

/* Sets the stream's next record. *barrier: no record that returned after it may go, because one that returned before is
 * still being written. */
static int look(struct drain *drain, struct candidate *c, uint64_t *barrier)
{
	enum head state;
	struct stream *stream = c->stream;
	c->key = UINT64_MAX;
	if (stream->broken)
		return 0;
	if (stream_look(&drain->streams, stream, &state, &c->record))
		return -1;
	if (state == HEAD_BROKEN) {
		stream->broken = true;
		drain->damaged++;
	}
	if (state == HEAD_DONE) {
		/* leave 0: never came back (longjmp, cancelled thread); its place is where it was entered. */
		c->key = c->record->leave ? c->record->leave : c->record->enter;
		c->place = stream->frontier;
		c->open = -1;
	} else if (state == HEAD_ENTERED) {
		uint64_t leave = __atomic_load_n(&c->record->leave, __ATOMIC_RELAXED);
		if (leave && leave < *barrier)
			*barrier = leave;
	}
	for (uint32_t i = 0; i < stream->open_count; i++) {
		struct vrr_record *r = stream->open[i].record;
		bool done = record_state(__atomic_load_n(&r->head, __ATOMIC_ACQUIRE)) == VRR_STATE_DONE;
		uint64_t leave = __atomic_load_n(&r->leave, __ATOMIC_RELAXED);
		uint64_t key = leave ? leave : r->enter;
		if (!done && leave && leave < *barrier)
			*barrier = leave;
		if (done && key < c->key) {
			c->key = key;
			c->record = r;
			c->place = stream->open[i].place;
			c->open = (int32_t)i;
		}
	}
	return 0;
}

static void pass(struct candidate *c)
{
	struct stream *stream = c->stream;
	if (c->open < 0)
		stream->frontier.pos += record_size(__atomic_load_n(&c->record->head, __ATOMIC_ACQUIRE));
	else
		stream->open[c->open] = stream->open[--stream->open_count];
}

static int merge(struct drain *drain, struct candidate *list, size_t count, int64_t max, uint64_t until, bool finish)
{
	struct batch *batch = &drain->batch;
	uint64_t barrier = UINT64_MAX;
	while (count && (int64_t)batch->event.count < max && batch->payload_bytes < BATCH_PAYLOAD_BYTES) {
		struct candidate *first = &list[0];
		uint64_t second = UINT64_MAX;
		for (size_t i = 1; i < count; i++)
			if (list[i].key < first->key) {
				second = first->key;
				first = &list[i];
			} else if (list[i].key < second) {
				second = list[i].key;
			}
		if (first->key == UINT64_MAX)
			break;
		do {
			if (first->key > until)
				return 0;
			if (first->key < drain->last_leave)
				drain->late++;
			else
				drain->last_leave = first->key;
			if (decode(drain, first->stream, first->place, first->record, first->record->leave != 0))
				return -1;
			pass(first);
			if (look(drain, first, &barrier))
				return -1;
			if (barrier < until && !finish)
				until = barrier;
		} while (first->key <= second && first->key != UINT64_MAX && (int64_t)batch->event.count < max &&
			 batch->payload_bytes < BATCH_PAYLOAD_BYTES);
	}
	return 0;
}

static int by_enter(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	return x->record->enter < y->record->enter ? -1 : x->record->enter > y->record->enter;
}

/* Nobody writes any more: calls that were entered and never returned. */
static int unfinished(struct drain *drain, const struct candidate *streams, size_t count)
{
	size_t total = 0, n = 0;
	for (size_t i = 0; i < count; i++)
		total += streams[i].stream->open_count + 1;
	struct candidate *list = calloc(total, sizeof(*list));
	if (!list)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct stream *stream = streams[i].stream;
		for (uint32_t k = 0; k < stream->open_count; k++)
			list[n++] = (struct candidate){stream, 0, stream->open[k].record, stream->open[k].place,
						       (int32_t)k};
		struct vrr_record *record;
		enum head state;
		if (!stream->broken && !stream_look(&drain->streams, stream, &state, &record) && state == HEAD_ENTERED)
			list[n++] = (struct candidate){stream, 0, record, stream->frontier, -1};
	}
	qsort(list, n, sizeof(*list), by_enter);
	int wrong = 0;
	for (size_t i = 0; i < n && !wrong; i++) {
		wrong = decode(drain, list[i].stream, list[i].place, list[i].record, false);
		drain->unfinished++;
	}
	for (size_t i = 0; i < n && !wrong; i++) {
		list[i].stream->open_count = 0;
		if (list[i].open < 0)
			pass(&list[i]);
	}
	free(list);
	return wrong;
}

static int bury(struct drain *drain, struct candidate *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stream *stream = list[i].stream;
		uint64_t barrier = UINT64_MAX;
		if (!stream->dead || list[i].key != UINT64_MAX || stream->broken)
			continue;
		/* Once more: its last records may have come after we looked. */
		if (look(drain, &list[i], &barrier))
			return -1;
		if (list[i].key == UINT64_MAX &&
		    (unfinished(drain, &list[i], 1) || stream_bury(&drain->streams, stream)))
			return -1;
	}
	return 0;
}

static int positions(struct drain *drain)
{
	struct streams *all = &drain->streams;
	for (size_t i = 0; i < all->count; i++) {
		struct stream *stream = all->list[i];
		if (!stream || !stream->count)
			continue;
		if (stream_trim(all, stream))
			return -1;
		for (uint32_t p = 0; p < stream->count && p <= stream->frontier.part; p++) {
			struct drained_row *row = ROW(&drain->batch, drained);
			if (!row)
				return -1;
			*row = (struct drained_row){(int64_t)stream->parts[p].ticket, stream->frontier.pos,
						    p < stream->frontier.part};
			if (row->state)
				row->bytes = all->ring->segment_size;
		}
		for (uint32_t k = 0; k < stream->open_count; k++) {
			struct drained_row *row = ROW(&drain->batch, drained);
			if (!row)
				return -1;
			const struct place *at = &stream->open[k].place;
			*row = (struct drained_row){(int64_t)stream->parts[at->part].ticket, at->pos, 2};
		}
	}
	for (size_t i = 0; i < all->drained.count; i++) {
		struct drained_row *row = ROW(&drain->batch, drained);
		if (!row)
			return -1;
		*row = (struct drained_row){(int64_t)all->drained.list[i].ticket, all->ring->segment_size, 1};
	}
	return 0;
}

bool drain_scarce(const struct drain *drain)
{
	const struct vrr_ring *h = drain->ring.header;
	uint64_t given = __atomic_load_n(&h->given, __ATOMIC_RELAXED),
		 taken = __atomic_load_n(&h->taken, __ATOMIC_RELAXED);
	return given - taken < drain->ring.window / 16 + 1;
}

static bool writers_wait(const struct drain *drain)
{
	const struct vrr_ring *h = drain->ring.header;
	return __atomic_load_n(&h->given, __ATOMIC_RELAXED) == __atomic_load_n(&h->taken, __ATOMIC_RELAXED);
}

int64_t drain_batch(struct drain *drain, int64_t max, enum haste haste)
{
	bool finish = haste == HASTE_FINISH;
	struct streams *all = &drain->streams;
	if (drain->prepared) {
		/* The same batch again: a reader has the trace locked. It may do so for ever, the program may not wait
		 * so. */
		__atomic_store_n(&drain->ring.stuck, writers_wait(drain), __ATOMIC_RELAXED);
		return (int64_t)drain->batch.event.count;
	}
	batch_clear(&drain->batch);
	drain->batch.first_event = drain->next_event;
	bool scarce = haste == HASTE_SOON || drain_scarce(drain);
	uint64_t now = ring_now(&drain->ring);
	uint64_t hold = ring_ticks(&drain->ring, scarce ? HOLD_BACK_SHORT_NS : HOLD_BACK_NS);
	uint64_t until = finish ? UINT64_MAX - 1 : now > hold ? now - hold : 0;
	/* Time first, then the tickets, then the heads: what comes after is younger than `until`. */
	if (streams_discover(all))
		return -1;
	if (scarce || now - drain->checked > ring_ticks(&drain->ring, CHECK_NS)) {
		drain->checked = now;
		streams_check(all);
	}
	size_t count = 0;
	for (size_t i = 0; i < all->count; i++)
		count += all->list[i] && all->list[i]->count;
	struct candidate *list = calloc(count ? count : 1, sizeof(*list));
	if (!list)
		return -1;
	int wrong = 0;
	size_t n = 0;
	uint64_t barrier = UINT64_MAX;
	for (size_t i = 0; i < all->count && !wrong; i++)
		if (all->list[i] && all->list[i]->count) {
			list[n].stream = all->list[i];
			wrong = look(drain, &list[n++], &barrier);
		}
	if (!finish && barrier < until)
		until = barrier;
	if (!wrong)
		wrong = merge(drain, list, n, max, until, finish);
	if (!wrong && finish && !drain->batch.event.count)
		wrong = unfinished(drain, list, n);
	if (!wrong && !finish)
		wrong = bury(drain, list, n);
	free(list);
	if (!wrong)
		wrong = positions(drain);
	if (wrong)
		return -1;
	drain->prepared = drain->batch.event.count || all->drained.count;
	__atomic_store_n(&drain->ring.stuck, writers_wait(drain) && !drain->prepared, __ATOMIC_RELAXED);
	return (int64_t)drain->batch.event.count;
}

void drain_done(struct drain *drain)
{
	struct streams *all = &drain->streams;
	for (size_t i = 0; i < all->drained.count; i++)
		ring_give_back(&drain->ring, all->drained.list[i].segment);
	all->drained.count = 0;
	batch_clear(&drain->batch);
	drain->prepared = false;
}
