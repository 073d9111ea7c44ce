#include "stream.h"

#include <sys/stat.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include "real.h"
#include "guard.h"
#include "process.h"
#include "vfork.h"

#define GONE_AFTER 2 /* seconds of a standing heartbeat after which nobody is thought to drain */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
/* Enough for 256 thousand calls; the rest is mapped when it is first touched, some 10 ns a call. */
#define POPULATE ((size_t)16 << 20)

struct vrr_ring *ring;
uint32_t ring_capacity;
static size_t ring_bytes;
static uint32_t *queue;
uint32_t ring_segment_size;
static uint32_t segment_count;
static uint64_t header_size, clock_hz;
static bool clock_tsc;
static uint64_t full_until;		/* no pages could be had; worth another look at that time */
static uint64_t ours_populated;		/* tickets below it had their pages when this process started */
static uint64_t gone_beat = UINT64_MAX; /* heartbeat that was waited for in vain */
bool ring_damaged;
__thread struct thread ring_self;

bool ring_open(const char *path)
{
	int fd = REAL(open64)(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	struct stat st;
	struct vrr_ring *r = MAP_FAILED;
	if (fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof *r)
		r = REAL(mmap64)(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REAL(close)(fd);
	if (r == MAP_FAILED)
		return false;
	ring_bytes = (size_t)st.st_size;
	ring_segment_size = r->segment_size;
	uint64_t count = segment_count = r->segment_count;
	header_size = r->header_size;
	clock_hz = r->clock_hz;
	clock_tsc = r->clock == VRR_CLOCK_TSC;
	if (r->magic != VRR_RING_MAGIC || r->version != VRR_RING_VERSION || ring_segment_size < 4096 ||
	    ring_segment_size % 8 || !count || header_size < sizeof *r + count * 4 ||
	    header_size + count * ring_segment_size > ring_bytes) {
		REAL(munmap)(r, ring_bytes);
		return false;
	}
	queue = (uint32_t *)(r + 1);
	ring_capacity = ring_segment_size - sizeof(struct vrr_segment);
	release(&ring, r);
	return true;
}

void ring_populate(void)
{
	madvise(ring, ring_bytes, MADV_DONTDUMP);
	uint64_t first = relaxed(&ring->taken), given = acquire(&ring->given);
	uint64_t last = first + POPULATE / ring_segment_size;
	if (last > given)
		last = given;
	for (uint64_t at = first; at < last;) {
		/* Segments that lie one behind the other, as they do at the start, in one call. */
		uint32_t index = relaxed(&queue[at % segment_count]), run = 1;
		while (at + run < last && relaxed(&queue[(at + run) % segment_count]) == index + run)
			run++;
		char *segment = (char *)ring + header_size + (size_t)index * ring_segment_size;
		if (index >= segment_count || madvise(segment, (size_t)run * ring_segment_size, MADV_POPULATE_WRITE))
			break;
		ours_populated = at += run;
	}
}

uint64_t ring_now(void)
{
#ifdef __x86_64__
	if (likely(clock_tsc))
		return __rdtsc();
#endif
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void ring_lost(int loss, uint64_t count)
{
	if (ring)
		__atomic_fetch_add(&ring->lost[loss], count, __ATOMIC_RELAXED);
}

uint32_t ring_handle(void)
{
	return ring ? __atomic_fetch_add(&ring->next_handle, 1, __ATOMIC_RELAXED) : 0;
}

bool ring_fault(void *address)
{
	uintptr_t at = (uintptr_t)address, start = (uintptr_t)ring;
	if (!ring || at < start || at >= start + ring_bytes)
		return false;
	/* Written to a full tmpfs, or cut off: the rest of this thread's record goes nowhere, and later ones pass
	 * through. */
	uintptr_t page = at & ~(uintptr_t)4095;
	void *put = REAL(mmap64)((void *)page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				 -1, 0);
	if (put == MAP_FAILED)
		return false;
	ring_damaged = true; /* counted when the next call finds it: the header may be gone too */
	return true;
}

void ring_part(uint32_t generation)
{
	for (int i = 0; i < LEVELS; i++)
		memset(&ring_self.level[i], 0, sizeof ring_self.level[i]);
	ring_self.generation = generation;
	ring_self.dropped = 0;
}

void ring_reset(void)
{
	ring_part(*process_generation);
}

void ring_close(void)
{
	for (int i = 0; i < LEVELS; i++) {
		struct stream *s = &ring_self.level[i];
		while (s->waiting)
			rec_abandon(s->pending[--s->waiting].record);
		if (s->segment)
			release(&s->segment->closed, 1);
		s->segment = NULL;
		s->used = s->end = 0;
	}
}

void ring_thread_ends(void *unused)
{
	(void)unused;
	if (!ring || *process_generation != ring_self.generation)
		return;
	ring_close();
}

/* ---- segments ---- */

static bool wait_for_segment(uint64_t taken)
{
	uint64_t beat = relaxed(&ring->heartbeat), start = ring_now(), moved = start;
	if (beat == relaxed(&gone_beat))
		return false;
	__atomic_fetch_add(&ring->waits, 1, __ATOMIC_RELAXED);
	bool came = false;
	while (relaxed(&ring->recording)) {
		uint64_t now = ring_now(), again = relaxed(&ring->heartbeat);
		if ((came = acquire(&ring->given) > taken))
			break;
		if (again != beat) {
			beat = again;
			moved = now;
		} else if (now - moved > GONE_AFTER * clock_hz) {
			__atomic_store_n(&gone_beat, beat, __ATOMIC_RELAXED);
			break;
		}
		for (int i = 0; i < 64; i++) {
#ifdef __x86_64__
			_mm_pause();
#else
			__asm__ volatile("yield");
#endif
		}
	}
	__atomic_fetch_add(&ring->wait_ticks, ring_now() - start, __ATOMIC_RELAXED);
	return came;
}

static bool touch(struct vrr_segment *segment)
{
	if (guard_bare)
		return false;
	for (uint32_t at = 0; at < ring_segment_size; at += 4096)
		if (!guard_touch((char *)segment + at))
			return false;
	return true;
}

/* The oldest segment that was given and nobody took; NULL: none comes. */
static struct vrr_segment *take(uint64_t *ticket)
{
	uint64_t taken = relaxed(&ring->taken);
	for (;;) {
		if (!relaxed(&ring->recording) || ring_damaged)
			return NULL;
		if (unlikely(relaxed(&full_until)) && ring_now() < relaxed(&full_until))
			return NULL;
		if (taken >= acquire(&ring->given)) {
			if (!wait_for_segment(taken))
				return NULL;
			taken = relaxed(&ring->taken);
			continue;
		}
		uint32_t index = relaxed(&queue[taken % segment_count]);
		if (index >= segment_count)
			return NULL;
		struct vrr_segment *segment = (void *)((char *)ring + header_size + (size_t)index * ring_segment_size);
		if (taken >= relaxed(&ring->populated) && taken >= ours_populated && !touch(segment)) {
			__atomic_store_n(&full_until, ring_now() + clock_hz / 64, __ATOMIC_RELAXED);
			return NULL;
		}
		if (__atomic_compare_exchange_n(&ring->taken, &taken, taken + 1, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			*ticket = taken;
			return segment;
		}
	}
}

bool ring_next_segment(struct stream *s)
{
	if (s->segment)
		release(&s->segment->closed, 1);
	s->segment = NULL;
	s->used = s->end = 0;
	uint64_t ticket;
	struct vrr_segment *segment = take(&ticket);
	if (!segment)
		return false;
	if (!s->id) {
		s->id = __atomic_fetch_add(&ring->next_stream, 1, __ATOMIC_RELAXED);
		process_watch_thread(&ring_self);
	}
	segment->stream = s->id;
	segment->part = s->part++;
	segment->pid = unlikely(vfork_on) ? vfork_pid() : process_pid;
	segment->tid = process_tid();
	segment->level = (uint32_t)(s - ring_self.level);
	segment->closed = 0;
	end_at(segment, sizeof *segment);
	release(&segment->ticket, ticket + 1);
	s->used = sizeof *segment;
	s->end = ring_segment_size;
	s->segment = segment;
	return true;
}
