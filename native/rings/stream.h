/* Streams: the segments of one thread, in order, and how far each is drained. */
#ifndef VFIO_RR_STREAM_H
#define VFIO_RR_STREAM_H
#include "intern.h"
#include "ring.h"

struct part {
	uint64_t ticket;
	uint32_t segment, number, pos;
};
/* `part` is an index into the stream's parts. */
struct place {
	uint32_t part, pos;
};
/* A call that the records behind it returned before: a signal's handler made them while it waited. */
struct open_call {
	struct place place;
	struct vrr_record *record;
};

struct stream {
	uint32_t id, pid, tid, level;
	uint32_t thread;		    /* row, 0 none yet */
	struct part *parts;		    /* ascending numbers */
	uint32_t count, capacity, expected; /* expected: number of parts[0] */
	struct place frontier;		    /* all before it is in the batch, except the open calls */
	struct open_call *open;
	uint32_t open_count, open_capacity;
	bool visible; /* its pid and tid mean the same thread here: not another namespace's */
	bool dead;    /* nothing more comes: the thread is gone, or has become another program */
	bool broken;  /* a record that cannot be one: nothing after it is read */
	struct site last_site;
	uint32_t last_site_id;
};

struct ticket_at {
	uint64_t ticket;
	uint32_t segment;
};
struct tickets {
	struct ticket_at *list;
	size_t count, capacity;
};

struct streams {
	struct ring *ring;
	struct stream **list; /* by id; NULL where none is known */
	size_t count;
	uint64_t seen;		/* tickets below are known or pending */
	bool misled;		/* the header's counters make no sense */
	int64_t spoilt;		/* how often that was met, or a segment that has no place in a stream */
	struct tickets pending; /* taken, but the writer has not set the segment up yet */
	struct tickets drained; /* closed and read to the end; to be given back after COMMIT */
};

enum head { HEAD_NONE, HEAD_ENTERED, HEAD_DONE, HEAD_BROKEN };

/* Finds the segments that a ring has when it is opened. bytes_of tells how far a ticket is drained, 0 not at all. */
int streams_open(struct streams *all, struct ring *ring, uint32_t (*bytes_of)(void *, uint64_t), void *context);
/* A call of an opened ring that was stepped over (see open_call). */
int streams_know_open(struct streams *all, uint64_t ticket, uint32_t pos);
/* Finds the segments taken since. */
int streams_discover(struct streams *all);
void streams_close(struct streams *all);
/* The record at `place`, moving on over segment ends. */
enum head stream_at(const struct streams *all, const struct stream *stream, struct place *place,
		    struct vrr_record **record);
/* Moves the frontier to a record that is no continuation, stepping over entered calls that others follow, and over
 * those that returned after what follows them. -1: out of memory. */
int stream_look(const struct streams *all, struct stream *stream, enum head *state, struct vrr_record **record);
/* Has records that cannot be reached: a segment before them is missing, or was never closed. */
bool stream_torn(const struct streams *all, const struct stream *stream);
/* Marks the streams of threads that are gone. A thread killed or ended by exec closes nothing. */
void streams_check(struct streams *all);
/* Of a dead stream, all of it is in the batch. */
int stream_bury(struct streams *all, struct stream *stream);
/* Drops the segments in front that hold nothing more. */
int stream_trim(struct streams *all, struct stream *stream);

static inline uint32_t record_size(uint64_t head)
{
	return (uint32_t)head;
}
static inline uint8_t record_op(uint64_t head)
{
	return (uint8_t)(head >> 32);
}
static inline uint8_t record_flags(uint64_t head)
{
	return (uint8_t)(head >> 40);
}
static inline uint16_t record_state(uint64_t head)
{
	return (uint16_t)(head >> 48);
}
#endif
