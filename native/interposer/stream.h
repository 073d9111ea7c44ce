/* A thread's streams: what ring.c hands segments to and record.c writes records into. Private to these
 * two and brief.h. */
#ifndef VFIO_RR_STREAM_H
#define VFIO_RR_STREAM_H
#include "ring.h"

#define LEVELS	4 /* signal handlers inside our own code, inside one another */
#define PENDING 8 /* calls of one stream that wait at the same time: a handler's inside the interrupted one's */

struct pending {
	struct vrr_record *record;
	const void *frame; /* where on the stack the call was made */
};
struct stream {
	struct vrr_segment *segment;
	uint32_t used; /* offset of the next record */
	uint32_t end;  /* of the segment; 0 while there is none */
	uint32_t id, part;
	uint32_t waiting;
	struct pending pending[PENDING];
};
struct thread {
	uint32_t depth; /* how many of our critical sections this thread is in */
	uint32_t generation;
	uint64_t dropped; /* calls not recorded since the last that was */
	struct stream level[LEVELS];
};
extern __thread struct thread ring_self;
extern uint32_t ring_segment_size;
extern bool ring_damaged; /* the file was cut off underneath us */

/** Closes the stream's segment and takes the next; false: none comes, the call is not recorded. */
bool ring_next_segment(struct stream *s);

/** A record's head: its first word, by which it is published. */
static inline uint64_t rec_head(uint32_t size, int op, int flags, int state)
{
	return size | (uint64_t)op << 32 | (uint64_t)flags << 40 | (uint64_t)state << 48;
}

/** A call that never returns: says so, so that its segment can go back. */
static inline void rec_abandon(struct vrr_record *r)
{
	uint64_t was = __atomic_load_n(&r->head, __ATOMIC_RELAXED);
	__atomic_store_n(&r->head, (was & 0x0000ffffffffffffull) | (uint64_t)VRR_STATE_DONE << 48, __ATOMIC_RELEASE);
}

#define acquire(p)     __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define relaxed(p)     __atomic_load_n(p, __ATOMIC_RELAXED)
#define release(p, v)  __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define signal_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)

static inline uint64_t *head_at(struct vrr_segment *segment, uint32_t at)
{
	return (uint64_t *)((char *)segment + at);
}
/* Nothing follows: a reader must see that before it sees the record that ends here. */
static inline void end_at(struct vrr_segment *segment, uint32_t at)
{
	if (at < ring_segment_size)
		__atomic_store_n(head_at(segment, at), 0, __ATOMIC_RELAXED);
}

#endif
