#define _GNU_SOURCE
#include "ring.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A writer waits when it finds no segment; at 100 ns a record and 64 bytes each, one of 1 MiB lasts 1.6 ms. */
#define UPKEEP_BUSY_NS 1000000
#define UPKEEP_IDLE_NS 20000000
#define STUCK_NS       1000000000
#define HUNG_NS	       3000000000
#define AT_ONCE	       (64u << 20) /* bytes given before the program starts */

static uint64_t monotonic(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t ring_now(const struct ring *ring)
{
#if defined(__x86_64__)
	if (ring->tsc)
		return __builtin_ia32_rdtsc();
#endif
	(void)ring;
	return monotonic();
}

int64_t ring_nanos(const struct ring *ring, uint64_t from, uint64_t to)
{
	bool negative = to < from;
	uint64_t ticks = negative ? from - to : to - from;
	int64_t ns = (int64_t)(uint64_t)((unsigned __int128)ticks * ring->tick_mult >> 60);
	return negative ? -ns : ns;
}

uint64_t ring_ticks(const struct ring *ring, uint64_t nanos)
{
	return (uint64_t)((unsigned __int128)nanos * ring->clock_hz / 1000000000u);
}

/* ---- a file that is cut off underneath ---- */

#define GUARDED 4 /* rings that one process has open; more are not guarded */
static struct ring *guarded[GUARDED];
static struct sigaction bus_before;

/* Puts a page of zeros where the file has none any more, so that the recorder lives to say so. */
static void on_bus(int signal, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr;
	(void)context;
	for (size_t i = 0; i < GUARDED; i++) {
		struct ring *ring = __atomic_load_n(&guarded[i], __ATOMIC_ACQUIRE);
		if (!ring || at < ring->map || at >= ring->map + ring->size)
			continue;
		__atomic_store_n(&ring->cut, true, __ATOMIC_RELEASE);
		void *page = (void *)((uintptr_t)at & ~(uintptr_t)4095);
		if (mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page)
			return;
	}
	sigaction(signal, &bus_before, NULL); /* none of ours: it happens again, to whoever was there before */
}

static void guard(struct ring *ring)
{
	static bool installed;
	if (!__atomic_exchange_n(&installed, true, __ATOMIC_ACQ_REL)) {
		struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
		sigaction(SIGBUS, &act, &bus_before);
	}
	for (size_t i = 0; i < GUARDED; i++) {
		struct ring *none = NULL;
		if (__atomic_compare_exchange_n(&guarded[i], &none, ring, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return;
	}
}

static void unguard(const struct ring *ring)
{
	for (size_t i = 0; i < GUARDED; i++)
		if (guarded[i] == ring)
			__atomic_store_n(&guarded[i], NULL, __ATOMIC_RELEASE);
}

static bool allocate(struct ring *ring, uint32_t segment)
{
	if (ring->allocated[segment])
		return true;
	/* tmpfs that is full would answer the program's store with SIGBUS: no page, no ticket. A file that was cut off
	 * meanwhile must not grow again: what is gone would be zeros, which nobody misses. */
	off_t at = (off_t)((uint8_t *)ring_segment(ring, segment) - ring->map);
	if (fallocate(ring->fd, FALLOC_FL_KEEP_SIZE, at, ring->segment_size) && errno != EOPNOTSUPP)
		return false;
	ring->allocated[segment] = 1;
	return true;
}

/* Gives idle segments until `window` are free for the taking. */
static void give(struct ring *ring, uint32_t window)
{
	struct vrr_ring *h = ring->header;
	uint64_t given = h->given;
	while (ring->idle_count && given - __atomic_load_n(&h->taken, __ATOMIC_RELAXED) < window) {
		uint32_t segment = ring->idle[ring->idle_count - 1];
		if (!allocate(ring, segment))
			break;
		ring->idle_count--;
		/* A writer may still look at the slot, for a ticket that it does not get. */
		__atomic_store_n(&ring->queue[given % ring->segment_count], segment, __ATOMIC_RELAXED);
		__atomic_store_n(&h->populated, given + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&h->given, ++given, __ATOMIC_RELEASE);
	}
}

void ring_give_back(struct ring *ring, uint32_t segment)
{
	/* Zero first: a recorder that comes after must not read the old records again (see idle_segments). */
	__atomic_store_n(&ring_segment(ring, segment)->ticket, 0, __ATOMIC_RELEASE);
	pthread_mutex_lock(&ring->lock);
	ring->allocated[segment] = 1;
	ring->idle[ring->idle_count++] = segment;
	pthread_mutex_unlock(&ring->lock);
}

static void *upkeep(void *arg)
{
	struct ring *ring = arg;
	uint64_t taken = 0, stuck_since = 0, turned = monotonic(), turns = 0;
	/* Of a file that was cut off, nothing is given: it would grow again. */
	while (!__atomic_load_n(&ring->stop, __ATOMIC_RELAXED) && !__atomic_load_n(&ring->cut, __ATOMIC_ACQUIRE)) {
		uint64_t now = __atomic_load_n(&ring->header->taken, __ATOMIC_RELAXED);
		/* More threads than segments: without a heartbeat those that wait give up, and count what they drop. */
		if (!__atomic_load_n(&ring->stuck, __ATOMIC_RELAXED))
			stuck_since = monotonic();
		if (monotonic() - stuck_since < STUCK_NS && monotonic() - turned < HUNG_NS)
			__atomic_add_fetch(&ring->header->heartbeat, 1, __ATOMIC_RELAXED);
		pthread_mutex_lock(&ring->lock);
		give(ring, ring->window);
		pthread_mutex_unlock(&ring->lock);
		uint64_t turn = __atomic_load_n(&ring->turns, __ATOMIC_RELAXED);
		if (turn != turns || ring->header->given > __atomic_load_n(&ring->header->taken, __ATOMIC_RELAXED)) {
			turns = turn;
			turned = monotonic();
		}
		struct timespec pause = {0, now == taken ? UPKEEP_IDLE_NS : UPKEEP_BUSY_NS};
		taken = now;
		/* Short sleeps while few are left, long ones only with a window in hand. */
		if (ring->header->given - now < ring->window / 2)
			pause.tv_nsec = UPKEEP_BUSY_NS;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int ring_start(struct ring *ring)
{
	/* What the program has to go on with if we are killed at once; the rest while it loads. */
	uint32_t first = AT_ONCE / ring->segment_size;
	give(ring, ring->window < first ? ring->window : first);
	if (ring->header->given == ring->header->taken && ring->header->taken == 0)
		return -1;
	if (pthread_create(&ring->upkeep, NULL, upkeep, ring))
		return -1;
	ring->upkeep_runs = true;
	return 0;
}

static const char *check(const struct vrr_ring *h, size_t size)
{
	if (h->magic != VRR_RING_MAGIC)
		return "is not a ring file";
	if (h->version != VRR_RING_VERSION)
		return "is of another version; use the vfio-rr that recorded it";
	if (h->segment_size < 4096 || h->segment_size % 4096 || !h->segment_count || h->header_size % 8 ||
	    h->header_size < sizeof(*h) + (size_t)h->segment_count * sizeof(uint32_t) ||
	    h->header_size + (size_t)h->segment_count * h->segment_size > size)
		return "is damaged: its header's sizes do not fit the file";
	if (h->clock_hz < 100000000 || h->given < h->taken || h->given - h->taken > h->segment_count)
		return "is damaged: its header's counters make no sense";
	return NULL;
}

/* Collects the segments that nobody holds. What a recorder killed at any point leaves, by the header's ticket:
 * 0 and in a slot of the queue: given already, perhaps taken by a writer that has not yet said so. Not 0: in use, or
 * drained and not yet given back (the database knows which, see prime.c). Else idle. */
static int idle_segments(struct ring *ring)
{
	uint32_t n = ring->segment_count;
	const struct vrr_ring *h = ring->header;
	uint8_t *held = calloc(n, 1);
	ring->idle = malloc(n * sizeof(*ring->idle));
	ring->allocated = calloc(n, 1);
	if (!held || !ring->idle || !ring->allocated) {
		free(held);
		return -1;
	}
	for (uint64_t t = h->given > n ? h->given - n : 0; t < h->given; t++)
		if (ring->queue[t % n] < n)
			held[ring->queue[t % n]] = 1;
	for (uint32_t s = n; s-- > 0;) {
		uint64_t ticket = 0;
		/* pread: a load through the map would allocate the page of a hole in tmpfs. */
		off_t at = (off_t)((uint8_t *)ring_segment(ring, s) - ring->map);
		if (pread(ring->fd, &ticket, sizeof(ticket), at) != sizeof(ticket))
			ticket = 0;
		if (ticket || held[s])
			ring->allocated[s] = 1;
		else
			ring->idle[ring->idle_count++] = s;
	}
	free(held);
	return 0;
}

const char *ring_open(struct ring *ring, const char *path, uint32_t window)
{
	struct stat st;
	const char *wrong = NULL;
	memset(ring, 0, sizeof(*ring));
	ring->fd = open(path, O_RDWR | O_CLOEXEC);
	if (ring->fd < 0)
		return errno == ENOENT	 ? "does not exist"
		       : errno == EACCES ? "may not be read and written by this user"
					 : "cannot be opened";
	if (flock(ring->fd, LOCK_EX | LOCK_NB))
		wrong = "is in use by another recorder";
	else if (fstat(ring->fd, &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(struct vrr_ring))
		wrong = "is not a ring file";
	if (!wrong) {
		ring->size = (size_t)st.st_size;
		ring->map = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
		if (ring->map == MAP_FAILED) {
			ring->map = NULL;
			wrong = "cannot be mapped";
		} else {
			guard(ring);
		}
	}
	struct vrr_ring h;
	if (!wrong) {
		ring->header = (struct vrr_ring *)ring->map;
		memcpy(&h, ring->map, sizeof(h));
		wrong = check(&h, ring->size);
	}
	if (!wrong) {
		ring->segments = ring->map + h.header_size;
		ring->segment_size = h.segment_size;
		ring->segment_count = h.segment_count;
		ring->tsc = h.clock == VRR_CLOCK_TSC;
		ring->clock_hz = h.clock_hz;
		ring->queue = (uint32_t *)(ring->map + sizeof(struct vrr_ring));
		ring->window = window < ring->segment_count ? window : ring->segment_count;
		ring->tick_mult = (uint64_t)(((unsigned __int128)1000000000u << 60) / h.clock_hz);
		pthread_mutex_init(&ring->lock, NULL);
		if (idle_segments(ring))
			wrong = "is too large for this host's memory";
	}
	if (wrong)
		ring_close(ring);
	return wrong;
}

void ring_close(struct ring *ring)
{
	if (ring->upkeep_runs) {
		__atomic_store_n(&ring->stop, true, __ATOMIC_RELAXED);
		pthread_join(ring->upkeep, NULL);
	}
	free(ring->idle);
	free(ring->allocated);
	unguard(ring);
	if (ring->map)
		munmap(ring->map, ring->size);
	if (ring->fd >= 0)
		close(ring->fd);
	memset(ring, 0, sizeof(*ring));
	ring->fd = -1;
}
