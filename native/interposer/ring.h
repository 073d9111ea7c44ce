/*
 * The ring file's writer: records of calls, in segments that belong to one thread (schema/event.ts has the layout).
 *
 *	struct rec r;
 *	rec_begin(&r, VRR_OP_PREAD, fd, entry, offset, length, room);	may leave r.record NULL: then nothing is
 *recorded rec_chunk(&r, VRR_WHERE_ARG, VRR_PHASE_IN, source, n, total);	before the call: what goes in
 *	rec_enter(&r, reserve);						visible as ENTERED; reserve: room for the answer
 *	… the call …
 *	rec_leave(&r, ret);						ret is -errno on failure
 *	rec_chunk(&r, …, VRR_PHASE_OUT, …);
 *	rec_end(&r, value);						visible as DONE
 *
 * Contract: no system call, no allocation, no lock. A writer waits only when all segments are in use and the recorder
 * lives. Signal handlers may interrupt any point and record calls themselves: while we are inside our own code they
 * write a stream of the next level. errno may be changed by a fault in rec_chunk only through the program's handlers.
 */
#ifndef VFIO_RR_RING_H
#define VFIO_RR_RING_H
#include "libc.h"
#include "schema.h"
#include "trigger.h"

struct rec_part {
	struct vrr_segment *segment;
	uint32_t at, fill, limit; /* the record's start, end of what is written, end of what it may use */
};
struct rec {
	struct vrr_record *record; /* NULL: not recorded */
	struct stream *stream;
	struct rec_part main, more; /* more.segment: the continuation being written */
	uint32_t generation;
	uint32_t parts;
	uint8_t op, flags;
	bool entered;
	void *data; /* the last chunk's bytes, if they are in one piece */
};

/** A record that has no chunks. */
struct brief {
	struct vrr_record *record; /* NULL: not recorded */
	struct stream *stream;
	uint32_t generation;
	uint8_t op;
};

extern struct vrr_ring *ring;  /* NULL: pass everything through */
extern uint32_t ring_capacity; /* bytes of a segment that one record may fill */

/** Maps the ring file that the environment names; false: none, or not usable. */
bool ring_open(const char *path);
/** Maps the pages of the segments that are taken first, while system calls are allowed. */
void ring_populate(void);
/** Clock of the ring, in ticks. */
uint64_t ring_now(void);
void ring_lost(int loss, uint64_t count);
/** A number for an open file; 0 when there is no ring. */
uint32_t ring_handle(void);
/** SIGBUS on a page of the ring: put memory of our own there, so that the program lives on. */
bool ring_fault(void *address);
/** Takes the process's name after fork: its streams start anew. */
void ring_reset(void);
/** The streams of this thread get no more records. */
void ring_thread_ends(void *unused);
/** This thread's streams start anew under another generation; those that it had stay open. */
void ring_part(uint32_t generation);
/** The streams of this thread are over, with calls that will not return. */
void ring_close(void);

/** The same for a call whose bytes fit the record itself, through brief.h: shown as ENTERED at once, then as DONE. */
struct brief rec_brief(int op, int fd, uint32_t entry, uint64_t a, uint64_t b, uint64_t value, int flags);
void rec_brief_end(struct brief b, uint64_t now, int64_t ret, uint64_t value, int flags);

void rec_begin(struct rec *r, int op, int fd, uint32_t entry, uint64_t a, uint64_t b, uint32_t room);
/** Appends bytes of the program's (fault-safe). total: how many there were. Returns bytes kept. */
size_t rec_chunk(struct rec *r, int where, int phase, const void *source, size_t n, uint64_t total);
/** The same for one piece of several that make one run of bytes; last: no more follow. */
size_t rec_piece(struct rec *r, int where, int phase, const void *source, size_t n, uint64_t total, bool last);
/** Takes the last chunk back, if it is in one piece. */
void rec_unchunk(struct rec *r);
void rec_enter(struct rec *r, size_t reserve);
void rec_leave(struct rec *r, int64_t ret);
void rec_end(struct rec *r, uint64_t value);
/** A record of something that is over already. */
void rec_note(int op, int fd, uint32_t entry, uint64_t a, uint64_t b, int64_t ret, uint64_t value, int flags,
	      const char *path);

static inline size_t rec_size(size_t bytes)
{
	return sizeof(struct vrr_chunk) + ((bytes + 7) & ~(size_t)7);
}
static inline int64_t rec_result(int64_t ret)
{
	return unlikely(ret == -1) ? trigger_failed() : ret;
}

#endif
