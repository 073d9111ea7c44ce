/* The reader of race.c's test: the drain as the extension has it, without the database. */
#include "race.h"
#include <stdlib.h>
#include <string.h>

#include "drain.h"

#define WINDOW 48
#define BATCH  4096

static struct drain d;
/* By number. */
static struct payload *payloads;
static uint8_t *site_ops;
static size_t payload_room, site_room;
static int64_t batches;

static uint32_t nothing_drained(void *context, uint64_t ticket)
{
	(void)context, (void)ticket;
	return 0;
}

const char *reader_start(const char *path)
{
	const char *wrong = ring_open(&d.ring, path, WINDOW);
	if (wrong)
		return wrong;
	d.open = true;
	d.next_thread = d.next_process = 1;
	d.next_event = 1;
	if (intern_init(&d.intern) || streams_open(&d.streams, &d.ring, nothing_drained, NULL))
		return "does not fit memory";
	return ring_start(&d.ring) ? "has no room" : NULL;
}

void *reader_map(size_t size)
{
	return size == d.ring.size ? d.ring.map : NULL;
}

static void *with_room(void *list, size_t *room, size_t number, size_t size)
{
	if (number < *room)
		return list;
	*room = number * 2 + 64;
	list = realloc(list, *room * size);
	if (!list)
		abort();
	return list;
}

static void take_payload(const struct payload_row *row)
{
	payloads = with_room(payloads, &payload_room, (size_t)row->id, sizeof(*payloads));
	struct payload p = {0, (size_t)row->size};
	for (size_t i = 0; i < 8 && i < p.length; i++)
		p.name |= (uint64_t)row->bytes[i] << 8 * i;
	for (size_t i = 8; i < p.length && p.name; i++)
		if (row->bytes[i] != byte_of(p.name, i))
			p.name = 0;
	payloads[row->id] = p;
}

bool reader_step(bool finish)
{
	int64_t n = drain_batch(&d, BATCH, finish ? HASTE_FINISH : drain_scarce(&d) ? HASTE_SOON : HASTE_NONE);
	if (n < 0)
		abort();
	batches += n > 0;
	for (size_t i = 0; i < d.batch.payload.count; i++)
		take_payload(&d.batch.payload.list[i]);
	for (size_t i = 0; i < d.batch.site.count; i++) {
		const struct site_row *row = &d.batch.site.list[i];
		site_ops = with_room(site_ops, &site_room, (size_t)row->id, 1);
		site_ops[row->id] = row->site.op;
	}
	for (size_t i = 0; i < d.batch.event.count; i++) {
		const struct event_row *e = &d.batch.event.list[i];
		if (site_ops[e->site] == VRR_OP_LOST) /* the writer's note, no call */
			continue;
		int64_t bytes = e->inp != NO_NUMBER ? e->inp : e->outp;
		struct told told = {(uint64_t)e->a, (uint64_t)e->val,	e->ret,
				    e->t + e->dur,  bytes != NO_NUMBER, e->has_val};
		take_event(&told, told.has_bytes ? payloads[bytes] : (struct payload){0, 0});
	}
	drain_done(&d);
	return n > 0;
}

struct sums reader_sums(void)
{
	return (struct sums){batches, d.late, d.damaged, d.unfinished};
}
