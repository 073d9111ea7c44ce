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

static void break_off(struct drain *drain, struct stream *stream)
{
	drain->broken += !stream->broken;
	stream->broken = true;
}

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
	if (state == HEAD_BROKEN)
		break_off(drain, stream);
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

/* One record into the batch; how far the stream came over ends of segments counts as freed. */
static int move(struct drain *drain, struct candidate *c, uint64_t *barrier)
{
	bool returned = c->record->leave != 0;
	uint32_t part = c->stream->frontier.part;
	if (c->key < drain->last_leave)
		drain->late++;
	else
		drain->last_leave = c->key;
	if (drain->letting_go ? let_go(drain, c->stream, c->place, c->record, returned)
			      : decode(drain, c->stream, c->place, c->record, returned))
		return -1;
	pass(c);
	if (look(drain, c, barrier))
		return -1;
	drain->freed += c->stream->frontier.part - part;
	return 0;
}

/* What a merge may move: records up to `until`, and while fewer than `free` segments are freed up to `until_free`.
 * regardless: also past calls that are still being written. */
struct bounds {
	int64_t max, free;
	uint64_t until, until_free;
	bool regardless;
};

static int merge(struct drain *drain, struct candidate *list, size_t count, struct bounds to)
{
	struct batch *batch = &drain->batch;
	uint64_t barrier = UINT64_MAX;
	int64_t moved = 0;
	while (count && moved < to.max && batch->payload_bytes < BATCH_PAYLOAD_BYTES) {
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
			if (first->key > to.until && (first->key > to.until_free || drain->freed >= to.free))
				return 0;
			if (move(drain, first, &barrier))
				return -1;
			moved++;
			if (!to.regardless && barrier < to.until_free)
				to.until_free = barrier;
			if (!to.regardless && barrier < to.until)
				to.until = barrier;
		} while (first->key <= second && first->key != UINT64_MAX && moved < to.max &&
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
		wrong = (drain->letting_go ? let_go : decode)(drain, list[i].stream, list[i].place, list[i].record,
							      false);
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

/* Nobody writes to it any more, and nothing of it could be moved. */
static bool tear(struct drain *drain, struct stream *stream)
{
	bool torn = !stream->broken && stream_torn(&drain->streams, stream);
	if (torn)
		break_off(drain, stream);
	return torn;
}

static int bury(struct drain *drain, struct candidate *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stream *stream = list[i].stream;
		uint64_t barrier = UINT64_MAX;
		if (!stream->dead || list[i].key != UINT64_MAX || stream->broken)
			continue;
		/* Once more: its last segments and records may have come after we looked. */
		if (streams_discover(&drain->streams) || look(drain, &list[i], &barrier))
			return -1;
		if (list[i].key == UINT64_MAX &&
		    (unfinished(drain, &list[i], 1) || (!tear(drain, stream) && stream_bury(&drain->streams, stream))))
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
	return __atomic_load_n(&h->given, __ATOMIC_RELAXED) <= __atomic_load_n(&h->taken, __ATOMIC_RELAXED);
}

/* Every stream's next record, in a list to be freed; NULL: no memory. */
static struct candidate *candidates(struct drain *drain, size_t *n, uint64_t *barrier)
{
	struct streams *all = &drain->streams;
	size_t count = 0;
	if (streams_discover(all))
		return NULL;
	drain->damaged += all->spoilt - drain->spoilt;
	drain->spoilt = all->spoilt;
	for (size_t i = 0; i < all->count; i++)
		count += all->list[i] && all->list[i]->count;
	struct candidate *list = calloc(count ? count : 1, sizeof(*list));
	for (size_t i = 0; i < all->count && list; i++)
		if (all->list[i] && all->list[i]->count) {
			list[*n].stream = all->list[i];
			if (look(drain, &list[(*n)++], barrier)) {
				free(list);
				return NULL;
			}
		}
	return list;
}

static void check_threads(struct drain *drain, uint64_t now, bool at_once)
{
	if (!at_once && now - drain->checked <= ring_ticks(&drain->ring, CHECK_NS))
		return;
	drain->checked = now;
	streams_check(&drain->streams);
}

static void turn(struct drain *drain)
{
	__atomic_fetch_add(&drain->ring.turns, 1, __ATOMIC_RELAXED);
}

/* Nothing was moved: do writers wait in vain? */
static void note_stuck(struct drain *drain, uint64_t now)
{
	bool stuck = writers_wait(drain) && !drain->prepared;
	if (!stuck)
		drain->stuck_since = 0;
	else if (!drain->stuck_since)
		drain->stuck_since = now;
	__atomic_store_n(&drain->ring.stuck, stuck, __ATOMIC_RELAXED);
}

/* A writer that waits for a segment in the middle of a call's bytes holds back what returned after that call, and so
 * perhaps the segment that it waits for. */
static bool held_by_waiting(const struct drain *drain, uint64_t now)
{
	return drain->stuck_since && now - drain->stuck_since > ring_ticks(&drain->ring, HOLD_BACK_NS);
}

static bool is_cut(const struct drain *drain)
{
	return __atomic_load_n(&drain->ring.cut, __ATOMIC_ACQUIRE);
}

/* The ring was cut off: what this batch has of it may be zeros, which look like any damage, and nothing comes any more.
 * Each stream that was being read has lost something; if the cut came while the last of them was buried, that one. */
static int64_t give_up(struct drain *drain)
{
	batch_clear(&drain->batch);
	drain->prepared = false;
	drain->damaged = drain->damaged_before;
	for (size_t i = 0; i < drain->streams.count; i++)
		if (drain->streams.list[i] && drain->streams.list[i]->count)
			break_off(drain, drain->streams.list[i]);
	drain->broken += !drain->broken;
	return 0;
}

/* false: there is none, the ring was cut off. */
static bool begin_batch(struct drain *drain)
{
	drain->damaged_before = drain->damaged;
	if (is_cut(drain))
		return false;
	batch_clear(&drain->batch);
	return true;
}

int64_t drain_batch(struct drain *drain, int64_t max, enum haste haste)
{
	bool finish = haste == HASTE_FINISH;
	struct streams *all = &drain->streams;
	turn(drain);
	if (drain->prepared) {
		/* The same batch again: a reader has the trace locked. It may do so for ever, the program may not wait
		 * so. */
		__atomic_store_n(&drain->ring.stuck, writers_wait(drain), __ATOMIC_RELAXED);
		return (int64_t)drain->batch.event.count;
	}
	if (!begin_batch(drain))
		return give_up(drain);
	drain->batch.first_event = drain->next_event;
	bool scarce = haste == HASTE_SOON || drain_scarce(drain);
	uint64_t now = ring_now(&drain->ring);
	uint64_t hold = ring_ticks(&drain->ring, scarce ? HOLD_BACK_SHORT_NS : HOLD_BACK_NS);
	uint64_t until = finish ? UINT64_MAX - 1 : now > hold ? now - hold : 0;
	uint64_t barrier = UINT64_MAX;
	size_t n = 0;
	if (drain->limit && drain->limit < until)
		until = drain->limit;
	/* Time first, then the tickets, then the heads: what comes after is younger than `until`. */
	struct candidate *list = candidates(drain, &n, &barrier);
	if (!list)
		return -1;
	check_threads(drain, now, scarce);
	drain->held = barrier < drain->limit;
	bool regardless = finish || held_by_waiting(drain, now);
	if (!regardless && barrier < until)
		until = barrier;
	struct bounds to = {max, 0, until, until, regardless};
	int wrong = merge(drain, list, n, to);
	if (!wrong && finish && !drain->batch.event.count)
		wrong = unfinished(drain, list, n);
	for (size_t i = 0; i < n && !wrong && finish && !drain->batch.event.count; i++)
		tear(drain, list[i].stream);
	if (!wrong && !finish && !is_cut(drain)) /* else what is not read yet would look like nothing */
		wrong = bury(drain, list, n);
	free(list);
	if (!wrong)
		wrong = positions(drain);
	if (is_cut(drain))
		return give_up(drain);
	if (wrong)
		return -1;
	drain->prepared = drain->batch.event.count || all->drained.count;
	note_stuck(drain, now);
	return (int64_t)drain->batch.event.count;
}

uint32_t drain_in_use(struct drain *drain)
{
	struct ring *ring = &drain->ring;
	pthread_mutex_lock(&ring->lock);
	uint64_t free =
		ring->idle_count + ring->header->given - __atomic_load_n(&ring->header->taken, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&ring->lock);
	return free < ring->segment_count ? ring->segment_count - (uint32_t)free : 0;
}

int64_t drain_let_go(struct drain *drain, int64_t max, uint64_t age, uint32_t keep)
{
	turn(drain);
	if (drain->prepared)
		return 0;
	if (!begin_batch(drain))
		return give_up(drain);
	uint64_t now = ring_now(&drain->ring), barrier = UINT64_MAX;
	uint64_t old = ring_ticks(&drain->ring, age), hold = ring_ticks(&drain->ring, HOLD_BACK_SHORT_NS);
	int64_t before = drain->let_go, excess = (int64_t)drain_in_use(drain) - keep;
	size_t n = 0;
	bool regardless = held_by_waiting(drain, now);
	struct bounds to = {max, excess, now > old ? now - old : 0, now > hold ? now - hold : 0, regardless};
	check_threads(drain, now, false);
	struct candidate *list = candidates(drain, &n, &barrier);
	if (!list)
		return -1;
	if (!regardless && barrier < to.until)
		to.until = barrier;
	if (!regardless && barrier < to.until_free)
		to.until_free = barrier;
	drain->letting_go = true;
	drain->freed = 0;
	int wrong = merge(drain, list, n, to) || bury(drain, list, n) || positions(drain);
	drain->letting_go = false;
	free(list);
	if (is_cut(drain))
		return give_up(drain);
	if (wrong)
		return -1;
	drain->prepared = drain->let_go > before || drain->streams.drained.count;
	note_stuck(drain, now);
	return drain->let_go - before;
}

void drain_restart(struct drain *drain)
{
	intern_free(&drain->intern);
	if (intern_init(&drain->intern))
		drain->batch.out_of_memory = true;
	for (size_t i = 0; i < drain->streams.count; i++)
		if (drain->streams.list[i])
			drain->streams.list[i]->last_site_id = 0;
	drain->next_event = 1;
	drain->let_go = drain->late = drain->unfinished = 0;
	drain->limit = 0;
	memset(&drain->cause, 0, sizeof(drain->cause));
}

void drain_done(struct drain *drain)
{
	struct streams *all = &drain->streams;
	turn(drain);
	for (size_t i = 0; i < all->drained.count; i++)
		ring_give_back(&drain->ring, all->drained.list[i].segment);
	all->drained.count = 0;
	batch_clear(&drain->batch);
	drain->prepared = false;
}
