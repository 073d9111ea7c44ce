#include "brief.h"
#include "fds.h"
#include "guard.h"
#include "process.h"
#include "stream.h"
#include "vfork.h"

/* A handler's frame is at least this far below the call that it interrupts: the signal frame alone is larger. */
#define FRAME_SLACK 512
#define FRAME_NEAR  (64 << 10)
/* An answer that fits in less than this is not split over two records. */
#define SPLIT_LEAST 4096
/* Less room than this is not worth a piece. */
#define SPLIT_SPACE 256

static void publish(const struct rec_part *p, int op, int flags, int state, uint32_t end)
{
	release(head_at(p->segment, p->at), rec_head(end - p->at, op, flags, state));
}

static void fixed_part(struct vrr_record *r, int fd, uint32_t handle, uint64_t a, uint64_t b)
{
	r->enter = r->leave = 0;
	r->ret = 0;
	r->a = a;
	r->b = b;
	r->fd = fd;
	r->handle = handle;
	r->value = 0;
}

/* Calls that were left by longjmp(). */
static void abandon(struct stream *s, const void *frame)
{
	while (s->waiting) {
		struct pending *p = &s->pending[s->waiting - 1];
		uintptr_t above = (uintptr_t)frame + FRAME_SLACK - (uintptr_t)p->frame;
		if (above >= FRAME_NEAR)
			return;
		s->waiting--;
		rec_abandon(p->record);
	}
}

static bool room_for(struct stream *s, uint32_t room)
{
	return s->end - s->used >= (room < SPLIT_LEAST ? room : SPLIT_LEAST) || ring_next_segment(s);
}

static void note_dropped(struct thread *t, struct stream *s)
{
	struct rec_part p = {s->segment, s->used, 0, 0};
	struct vrr_record *r = (void *)head_at(p.segment, p.at);
	fixed_part(r, -1, 0, VRR_LOSS_QUOTA, t->dropped);
	t->dropped = 0;
	r->enter = r->leave = ring_now();
	s->used += sizeof *r;
	end_at(p.segment, s->used);
	publish(&p, VRR_OP_LOST, 0, VRR_STATE_DONE, s->used);
}

/* No segment yet, or not enough room in it, or something was dropped. */
static bool begin_slowly(struct thread *t, struct stream *s, uint32_t room)
{
	if (ring_damaged) {
		ring_lost(VRR_LOSS_RECORDER_GONE, 1);
		return false;
	}
	if (!room_for(s, room + (t->dropped ? (uint32_t)sizeof(struct vrr_record) : 0))) {
		if (relaxed(&ring->recording)) {
			t->dropped++;
			ring_lost(VRR_LOSS_QUOTA, 1);
		}
		return false;
	}
	if (t->dropped)
		note_dropped(t, s);
	return true;
}

/* Calls that later ones do not need: left out while the recording is paused. */
static bool pausable(int op)
{
	return op == VRR_OP_PREAD || op == VRR_OP_PWRITE || op == VRR_OP_READ || op == VRR_OP_WRITE ||
	       op == VRR_OP_POLL || op == VRR_OP_LOAD || op == VRR_OP_STORE;
}

__attribute__((cold, noinline)) static bool passes(int op)
{
	if (relaxed(&ring->recording) == VRR_RECORDING_OFF)
		return true;
	if (!pausable(op))
		return false;
	ring_lost(VRR_LOSS_PAUSED, 1);
	return true;
}

/* Another generation than the streams': a new process, or the child of vfork(). false: not to be recorded. */
__attribute__((cold, noinline)) static bool anew(uint32_t generation, int fd)
{
	if (!generation)
		process_forked();
	else if (vfork_on && vfork_child())
		return !vfork_gone(fd);
	else if (generation != ring_self.generation)
		ring_reset();
	return true;
}

/* Goes into our own code: the stream that this thread writes now, with `room` bytes in its segment; NULL: not recorded.
 */
static inline struct stream *go_in(const void *frame, int op, int fd, uint32_t room)
{
	if (unlikely(!ring) || (unlikely(relaxed(&ring->recording) != VRR_RECORDING_ON) && passes(op)))
		return NULL;
	struct thread *t = &ring_self;
	uint32_t generation = *process_generation;
	if (unlikely(generation != t->generation) && !anew(generation, fd))
		return NULL;
	uint32_t level = t->depth;
	if (unlikely(level >= LEVELS)) {
		ring_lost(VRR_LOSS_NESTING, 1);
		return NULL;
	}
	t->depth = level + 1;
	signal_fence();
	struct stream *s = &t->level[level];
	if (unlikely(s->waiting))
		abandon(s, frame);
	if (unlikely(s->end - s->used < room) && !begin_slowly(t, s, room)) {
		signal_fence();
		t->depth = level;
		return NULL;
	}
	/* Lines ahead of the writer, or the next record waits for them. */
	__builtin_prefetch((char *)s->segment + s->used + 256, 1);
	return s;
}

static inline void go_out(void)
{
	signal_fence();
	ring_self.depth--;
}

/* The call is made now, outside our own code. */
static inline void set_waiting(struct stream *s, struct vrr_record *record, const void *frame)
{
	if (likely(s->waiting < PENDING))
		s->pending[s->waiting++] = (struct pending){record, frame};
	go_out();
}

/* Back from the call, in our own code again; false: the record is not ours to complete any more. */
static inline bool set_returned(struct stream *s, const struct vrr_record *record, uint32_t generation)
{
	if (unlikely(*process_generation != generation) &&
	    (generation != VFORKED || ring_self.generation != VFORKED || !*process_generation))
		return false; /* a signal handler forked meanwhile, and this is the child */
	if (likely(s->waiting && s->pending[s->waiting - 1].record == record)) {
		s->waiting--;
	} else {
		/* Above it is what a handler left by longjmp(); not there: it was itself taken for abandoned. */
		uint32_t i = s->waiting;
		while (i && s->pending[i - 1].record != record)
			i--;
		if (i)
			s->waiting = i - 1;
		else if (s->waiting < PENDING)
			return false;
	}
	ring_self.depth++;
	signal_fence();
	return true;
}

/* ---- records without chunks, where brief.h leaves them to us ---- */

__attribute__((cold)) struct brief rec_brief(int op, int fd, uint32_t entry, uint64_t a, uint64_t b, uint64_t value,
					     int flags)
{
	const void *here = stack_here();
	struct stream *s = go_in(here, op, fd, sizeof(struct vrr_record));
	if (!s)
		return (struct brief){0};
	uint32_t at = s->used;
	struct vrr_record *record = (void *)head_at(s->segment, at);
	s->used = at + (uint32_t)sizeof *record;
	end_at(s->segment, s->used);
	brief_shown(record, op, fd, entry, a, b, value, flags);
	struct brief brief = {record, s, ring_self.generation, (uint8_t)op};
	set_waiting(s, record, here);
	return brief;
}

__attribute__((cold)) void rec_brief_end(struct brief b, uint64_t now, int64_t ret, uint64_t value, int flags)
{
	struct vrr_record *record = b.record;
	if (!set_returned(b.stream, record, b.generation))
		return;
	brief_done(record, now, b.op, ret, value, flags);
	go_out();
}

/* ---- records ---- */

void rec_begin(struct rec *r, int op, int fd, uint32_t entry, uint64_t a, uint64_t b, uint32_t room)
{
	struct stream *s = go_in(r, op, fd, room + (uint32_t)sizeof(struct vrr_record));
	r->record = NULL;
	if (unlikely(!s))
		return;
	r->stream = s;
	r->generation = ring_self.generation;
	r->parts = 0;
	r->op = (uint8_t)op;
	r->flags = 0;
	r->entered = false;
	r->main = (struct rec_part){s->segment, s->used, s->used + (uint32_t)sizeof(struct vrr_record),
				    ring_segment_size};
	r->more.segment = NULL;
	r->record = (void *)head_at(s->segment, s->used);
	fixed_part(r->record, fd, fds_handle(entry), a, b);
}

/* An empty chunk header says that the rest of the record is room. */
static void end_chunks(const struct rec_part *p)
{
	if (p->limit - p->fill >= sizeof(struct vrr_chunk))
		memset(head_at(p->segment, p->fill), 0, sizeof(struct vrr_chunk));
}

/* Leaves `reserve` bytes behind what is written and shows the record. */
static void show_entered(struct rec *r, size_t reserve)
{
	struct rec_part *p = &r->main;
	size_t left = ring_segment_size - p->fill;
	p->limit = p->fill + (uint32_t)(reserve < left ? reserve & ~(size_t)7 : left);
	end_chunks(p);
	r->stream->used = p->limit;
	end_at(p->segment, p->limit);
	r->entered = true;
	r->record->enter = ring_now();
	publish(p, r->op, r->flags, VRR_STATE_ENTERED, p->limit);
}

static void end_more(struct rec *r)
{
	struct rec_part *p = &r->more;
	if (!p->segment)
		return;
	r->stream->used = p->fill;
	end_at(p->segment, p->fill);
	publish(p, VRR_OP_MORE, 0, VRR_STATE_DONE, p->fill);
	p->segment = NULL;
}

/* Goes on in a continuation. */
static bool next_part(struct rec *r)
{
	struct stream *s = r->stream;
	if (!r->entered) {
		r->flags |= VRR_FLAG_MORE;
		show_entered(r, 0);
	}
	end_more(r);
	if (!room_for(s, SPLIT_LEAST)) {
		r->flags |= VRR_FLAG_SHORT;
		ring_lost(VRR_LOSS_TOO_BIG, 1);
		return false;
	}
	r->flags |= VRR_FLAG_MORE;
	r->more = (struct rec_part){s->segment, s->used, s->used + (uint32_t)sizeof(struct vrr_record),
				    ring_segment_size};
	struct vrr_record *m = (void *)head_at(s->segment, s->used);
	fixed_part(m, r->record->fd, r->record->handle, ++r->parts, 0);
	m->enter = m->leave = r->record->enter;
	return true;
}

/* One chunk of what fits into the part. Returns bytes kept. */
static inline size_t put(struct rec *r, struct rec_part *p, int where, int phase, const void *source, size_t length,
			 uint64_t total, int flags)
{
	struct vrr_chunk *c = (void *)head_at(p->segment, p->fill);
	size_t missed = guard_copy(c + 1, source, length);
	length -= missed;
	c->length = (uint32_t)length;
	c->total = (uint32_t)(total < UINT32_MAX ? total : UINT32_MAX);
	c->where = (uint16_t)where;
	c->phase = (uint8_t)phase;
	c->flags = (uint8_t)(missed ? 0 : flags);
	c->pad = 0;
	p->fill += (uint32_t)rec_size(length);
	r->data = c + 1;
	return length;
}

size_t rec_piece(struct rec *r, int where, int phase, const void *source, size_t n, uint64_t total, bool last)
{
	if (!r->record)
		return 0;
	struct rec_part *p = r->more.segment ? &r->more : &r->main;
	size_t kept = 0;
	if (likely(rec_size(n) <= p->limit - p->fill)) {
		kept = put(r, p, where, phase, source, n, total, last ? 0 : VRR_CHUNK_CONTINUED);
	} else {
		while (kept < n) {
			p = r->more.segment ? &r->more : &r->main;
			size_t space = p->limit - p->fill, length = n - kept;
			bool whole = rec_size(length) <= space;
			if (!whole && space < SPLIT_SPACE) {
				if (!next_part(r))
					break;
				continue;
			}
			if (!whole)
				length = space - sizeof(struct vrr_chunk);
			size_t got = put(r, p, where, phase, (const char *)source + kept, length, total,
					 whole && last ? 0 : VRR_CHUNK_CONTINUED);
			kept += got;
			if (got < length)
				break;
		}
		r->data = NULL;
	}
	if (kept < n)
		r->flags |= VRR_FLAG_SHORT;
	return kept;
}

size_t rec_chunk(struct rec *r, int where, int phase, const void *source, size_t n, uint64_t total)
{
	if (r->record && n < total)
		r->flags |= VRR_FLAG_SHORT;
	return rec_piece(r, where, phase, source, n, total, true);
}

void rec_unchunk(struct rec *r)
{
	struct rec_part *p = r->more.segment ? &r->more : &r->main;
	if (r->data)
		p->fill = (uint32_t)((char *)r->data - (char *)p->segment - sizeof(struct vrr_chunk));
	r->data = NULL;
}

void rec_enter(struct rec *r, size_t reserve)
{
	if (!r->record)
		return;
	struct stream *s = r->stream;
	if (likely(!r->entered))
		show_entered(r, reserve);
	else
		end_more(r);
	set_waiting(s, r->record, r);
}

void rec_leave(struct rec *r, int64_t ret)
{
	if (!r->record)
		return;
	uint64_t now = ring_now();
	if (unlikely(!set_returned(r->stream, r->record, r->generation))) {
		r->record = NULL;
		return;
	}
	r->record->ret = ret;
	__atomic_store_n(&r->record->leave, now, __ATOMIC_RELEASE);
}

void rec_end(struct rec *r, uint64_t value)
{
	if (!r->record)
		return;
	struct stream *s = r->stream;
	struct rec_part *p = &r->main;
	end_more(r);
	r->record->value = value;
	bool trim = p->fill < p->limit && s->segment == p->segment && s->used == p->limit;
	if (trim) {
		s->used = p->limit = p->fill;
		end_at(p->segment, p->fill);
	} else if (p->fill < p->limit) {
		end_chunks(p);
	}
	publish(p, r->op, r->flags, VRR_STATE_DONE, p->limit);
#ifndef __x86_64__
	if (trim) /* what comes next may overwrite where a reader of the longer record looks */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
	go_out();
}

void rec_note(int op, int fd, uint32_t entry, uint64_t a, uint64_t b, int64_t ret, uint64_t value, int flags,
	      const char *path)
{
	size_t length = path ? strlen(path) : 0;
	struct rec r;
	rec_begin(&r, op, fd, entry, a, b, path ? (uint32_t)rec_size(length) : 0);
	if (!r.record)
		return;
	r.flags |= (uint8_t)flags;
	if (path)
		rec_chunk(&r, VRR_WHERE_PATH, VRR_PHASE_IN, path, length, length);
	rec_enter(&r, 0);
	rec_leave(&r, ret);
	rec_end(&r, value);
}
