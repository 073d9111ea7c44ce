/* The ring file as the recorder holds it (layout: schema/event.ts). One recorder at a time: the file is locked. A
 * thread of the ring's own gives writers segments whose pages are there already, and moves the heartbeat, so neither
 * depends on how long a transaction takes. */
#ifndef VFIO_RR_RING_H
#define VFIO_RR_RING_H
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "schema.h"

struct ring {
	int fd;
	uint8_t *map;
	size_t size;
	struct vrr_ring *header;
	/* Of the header as it was when it was checked: a program may write over it since. */
	uint32_t *queue;
	uint8_t *segments;
	uint32_t segment_size, segment_count, window;
	bool tsc;
	uint64_t clock_hz, tick_mult; /* ns per tick, times 2^60 */
	pthread_mutex_t lock;
	pthread_t upkeep;
	bool upkeep_runs, stop;
	/* Set by the drain: writers wait, and nothing it could do gives them a segment. */
	bool stuck;
	/* The file was cut off underneath, or cannot have a page: what was read since is not to be believed. */
	bool cut;
	/* Moves with every batch that is prepared or done: still while the drain hangs in a write to the disk. */
	uint64_t turns;
	/* Segments nobody holds: allocated ones first, then fresh ones. */
	uint32_t *idle;
	uint32_t idle_count;
	uint8_t *allocated;
};

/* NULL, or what is wrong, as a sentence's end. */
const char *ring_open(struct ring *ring, const char *path, uint32_t window);
void ring_close(struct ring *ring);
/* Starts the thread that gives segments; a ring that is only read to its end needs none. */
int ring_start(struct ring *ring);
/* A drained segment becomes idle; its records are in the database. */
void ring_give_back(struct ring *ring, uint32_t segment);

static inline struct vrr_segment *ring_segment(const struct ring *ring, uint32_t segment)
{
	return (struct vrr_segment *)(ring->segments + (size_t)segment * ring->segment_size);
}
uint64_t ring_now(const struct ring *ring);
int64_t ring_nanos(const struct ring *ring, uint64_t from, uint64_t to);
uint64_t ring_ticks(const struct ring *ring, uint64_t nanos);
#endif
