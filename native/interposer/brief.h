/*
 * Records of calls whose bytes fit the record itself, for the hooks of such calls to have inline: register accesses and
 * ioctls without a structure, which come by the million.
 *
 *	struct brief b = brief_enter(VRR_OP_PREAD, fd, entry, offset, length, 0, 0);	visible as ENTERED
 *	… the call …
 *	brief_leave(&b, ret, value, flags);						visible as DONE
 *
 * What is not the common case (no segment yet, no room in it, a signal handler's call inside another, fork) is
 * record.c's, by the same rules; the contract is ring.h's.
 */
#ifndef VFIO_RR_BRIEF_H
#define VFIO_RR_BRIEF_H
#include "fds.h"
#include "process.h"
#include "stream.h"

/* Where on the stack we are, about. */
static inline const void *stack_here(void)
{
	const void *here;
#if defined(__x86_64__)
	__asm__("mov %%rsp, %0" : "=r"(here));
#else
	__asm__("mov %0, sp" : "=r"(here));
#endif
	return here;
}

static inline __attribute__((always_inline)) void brief_shown(struct vrr_record *record, int op, int fd, uint32_t entry,
							      uint64_t a, uint64_t b, uint64_t value, int flags)
{
	record->enter = ring_now();
	record->leave = 0;
	record->ret = 0;
	record->a = a;
	record->b = b;
	record->fd = fd;
	record->handle = fds_handle(entry);
	record->value = value;
	release(&record->head, rec_head(sizeof *record, op, flags, VRR_STATE_ENTERED));
}

static inline __attribute__((always_inline)) void brief_done(struct vrr_record *record, uint64_t now, int op,
							     int64_t ret, uint64_t value, int flags)
{
	__atomic_store_n(&record->leave, now, __ATOMIC_RELAXED); /* looked at before the record is done */
	record->ret = ret;
	record->value = value;
	release(&record->head, rec_head(sizeof *record, op, flags, VRR_STATE_DONE));
}

static inline __attribute__((always_inline)) struct brief brief_enter(int op, int fd, uint32_t entry, uint64_t a,
								      uint64_t b, uint64_t value, int flags)
{
	struct vrr_ring *r = ring;
	struct thread *t = &ring_self;
	struct stream *s = &t->level[0];
	if (unlikely(!r) || unlikely(relaxed(&r->recording) != VRR_RECORDING_ON) ||
	    unlikely(*process_generation != t->generation) || unlikely(t->depth | s->waiting))
		return rec_brief(op, fd, entry, a, b, value, flags);
	t->depth = 1;
	signal_fence();
	/* Not before: a handler that records appends to the stream until then. */
	uint32_t generation = t->generation, at = s->used;
	if (unlikely(s->end - at < sizeof(struct vrr_record))) {
		signal_fence();
		t->depth = 0;
		return rec_brief(op, fd, entry, a, b, value, flags);
	}
	struct vrr_record *record = (void *)head_at(s->segment, at);
	/* Lines ahead of the writer, or the next record waits for them. */
	__builtin_prefetch((char *)record + 256, 1);
	s->used = at += (uint32_t)sizeof *record;
	if (likely(at < s->end)) /* nothing follows: to be seen before this record */
		__atomic_store_n((uint64_t *)(record + 1), 0, __ATOMIC_RELAXED);
	brief_shown(record, op, fd, entry, a, b, value, flags);
	s->pending[0] = (struct pending){record, stack_here()};
	s->waiting = 1;
	signal_fence();
	t->depth = 0;
	return (struct brief){record, s, generation, (uint8_t)op};
}

static inline __attribute__((always_inline)) void brief_leave(const struct brief *b, int64_t ret, uint64_t value,
							      int flags)
{
	struct vrr_record *record = b->record;
	struct stream *s = b->stream;
	if (unlikely(!record))
		return;
	uint64_t now = ring_now();
	if (unlikely(*process_generation != b->generation) || unlikely(s->waiting != 1) ||
	    unlikely(s->pending[0].record != record)) {
		rec_brief_end(*b, now, ret, value, flags);
		return;
	}
	/* A handler that comes from here on appends to the stream, and nothing of ours is in its way. */
	s->waiting = 0;
	signal_fence();
	brief_done(record, now, b->op, ret, value, flags);
}

#endif
