/*
 * The ring's two sides in one process, for ThreadSanitizer: WRITERS threads record made-up calls by the interposer's
 * writer while the main thread drains them by the extension's reader, both through one mapping of one file.
 *
 *   race FILE CALLS [NEST]      NEST 0: no calls inside others
 *
 * Each writer notes the order in which its calls returned; what the reader gives must be that, each call once, with its
 * bytes. Prints what was found wrong, then a line of sums; exits with 1 if anything was.
 *
 * The reader's ring_open, ring_now and ring_close are compiled under other names (Makefile), since the writer has its own.
 */
#include "brief.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "guard.h"
#include "race.h"
#include "real.h"
#include "vfork.h"

#define ROUNDS	3     /* threads that a writer is, one after the other */
#define LONGEST 40000 /* more than two segments */
#define HZ	2000000000

/* ---- what the writer has around it in a recorded program ---- */

static volatile uint32_t generation = 1;
volatile uint32_t *process_generation = &generation;
uint32_t process_pid;
uint8_t guard_bare;
struct real real;
void real_find(void)
{
}
/* The reader's own mapping: a race between two addresses would not be seen. */
static void *same_mapping(void *at, size_t n, int prot, int flags, int fd, off64_t offset)
{
	(void)at, (void)prot, (void)flags, (void)fd, (void)offset;
	void *map = reader_map(n);
	return map ? map : MAP_FAILED;
}
uint32_t process_tid(void)
{
	return (uint32_t)gettid();
}
void process_watch_thread(void *token)
{
	(void)token;
}
void process_forked(void)
{
}
__thread bool vfork_on;
uint32_t vfork_pid(void)
{
	return process_pid;
}
bool vfork_child(void)
{
	return false;
}
bool vfork_gone(int fd)
{
	(void)fd;
	return false;
}
bool guard_touch(void *page)
{
	__atomic_fetch_add((uint8_t *)page, 0, __ATOMIC_RELAXED);
	return true;
}
int64_t trigger_failed(void)
{
	return -1;
}

/* ---- writers ---- */

struct writer {
	pthread_t thread;
	uint32_t number, calls, made, returned, dropped, cut;
	uint32_t *order;  /* calls in the order of their return, without those that were dropped */
	uint16_t *length; /* bytes that each call carried; 0: its value */
	bool *shortened;  /* and was told that they are not all there */
};
static struct writer writers[WRITERS];
static _Thread_local struct writer *me;
static _Thread_local unsigned inside; /* calls that the running one may have within */
static bool nests = true;

static uint64_t name_of(uint32_t writer, uint32_t call)
{
	return (uint64_t)(writer + 1) << 32 | call; /* none is 0 */
}
static void brief_call(void);

/* As a signal's handler does: further down the stack than its frame is large. */
static __attribute__((noinline)) void handler(void)
{
	volatile char frame[2048];
	frame[0] = 0;
	if (!nests || !inside)
		return;
	inside--;
	brief_call();
	frame[1] = frame[0];
}

/* The writer's copies of the program's memory, and a place in the middle of a record. */
size_t guard_copy(void *to, const void *from, size_t n)
{
	memcpy(to, from, n / 2);
	handler();
	memcpy((char *)to + n / 2, (const char *)from + n / 2, n - n / 2);
	return 0;
}

static uint32_t begun(size_t length)
{
	uint32_t call = me->made++;
	me->length[call] = (uint16_t)length;
	return call;
}
/* The writer says of a call at once that it is not recorded; only then may it be missing. */
static void back(uint32_t call, const void *record)
{
	if (!record)
		me->dropped++;
	else
		__atomic_store_n(&me->order[me->returned++], call, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void brief_call(void)
{
	uint32_t call = begun(0);
	uint64_t name = name_of(me->number, call);
	struct brief b = brief_enter(VRR_OP_PREAD, (int)me->number, 0, name, 8, 0, 0);
	handler();
	back(call, b.record); /* before it can be read */
	brief_leave(&b, 8, mixed(name), VRR_FLAG_INLINE);
}

static void ended(struct rec *r, uint32_t call)
{
	me->shortened[call] = r->record && r->flags & VRR_FLAG_SHORT;
	me->cut += me->shortened[call];
	rec_end(r, 0);
}

static void fill(uint8_t *bytes, uint64_t name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_of(name, i);
}

static void write_call(size_t n)
{
	static _Thread_local uint8_t bytes[LONGEST];
	uint32_t call = begun(n);
	uint64_t name = name_of(me->number, call);
	struct rec r;
	fill(bytes, name, n);
	rec_begin(&r, VRR_OP_PWRITE, (int)me->number, 0, name, n, (uint32_t)rec_size(n));
	rec_chunk(&r, VRR_WHERE_ARG, VRR_PHASE_IN, bytes, n, n);
	rec_enter(&r, 0);
	handler();
	rec_leave(&r, (int64_t)n);
	back(call, r.record);
	ended(&r, call);
}

/* Room for `asked` bytes is kept, `n` come. */
static void read_call(size_t asked, size_t n)
{
	static _Thread_local uint8_t bytes[LONGEST];
	uint32_t call = begun(n), room = (uint32_t)rec_size(asked);
	uint64_t name = name_of(me->number, call);
	struct rec r;
	rec_begin(&r, VRR_OP_PREAD, (int)me->number, 0, name, asked, room);
	rec_enter(&r, room);
	handler();
	fill(bytes, name, n);
	rec_leave(&r, (int64_t)n);
	back(call, r.record);
	rec_chunk(&r, VRR_WHERE_ARG, VRR_PHASE_OUT, bytes, n, n);
	ended(&r, call);
}

static void one_call(uint64_t random)
{
	size_t n = 9 + (random >> 8) % 600;
	inside = random >> 4 & 3;
	if (random >> 40 & 1)
		inside = 0;
	switch (random % 16) {
	case 0 ... 7:
		return brief_call();
	case 8 ... 10:
		return write_call(n);
	case 11 ... 13:
		return read_call(n + (random >> 20) % 500, n);
	case 14:
		return write_call(9 + (random >> 8) % (random >> 60 ? 3000 : LONGEST - 9));
	default:
		n = 9 + (random >> 8) % (random >> 60 ? 3000 : LONGEST - 9);
		return read_call(n + (LONGEST - n) / 2, n);
	}
}

static void *write_round(void *arg)
{
	me = arg;
	uint64_t random = mixed(0x5eed + me->number * 977 + me->made);
	for (uint32_t until = me->made + me->calls / ROUNDS; me->made + 4 < until;)
		one_call(random = mixed(random + me->made));
	ring_thread_ends(NULL);
	return NULL;
}

/* A thread that ends and one that begins are threads of their own, with streams of their own. */
static void *write_all(void *arg)
{
	struct writer *w = arg;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, write_round, w) || pthread_join(thread, NULL))
			abort();
	}
	return NULL;
}

/* ---- what the reader gives ---- */

static struct {
	uint32_t seen[WRITERS];
	int64_t events, briefs, wrong, misplaced, disordered;
	int64_t last_end;
} found;

static void wrong(const char *what, uint64_t name)
{
	if (found.wrong++ < 10)
		printf("writer %u, call %u: %s\n", (unsigned)(name >> 32) - 1, (unsigned)name, what);
}

void take_event(const struct told *e, struct payload bytes)
{
	uint32_t writer = (uint32_t)(e->name >> 32) - 1, call = (uint32_t)e->name;
	found.events++;
	if (writer >= WRITERS || call >= writers[writer].calls)
		return wrong("no such call", e->name);
	struct writer *w = &writers[writer];
	uint32_t place = found.seen[writer]++;
	if (place >= w->calls)
		return wrong("more calls than were made", e->name);
	found.misplaced += __atomic_load_n(&w->order[place], __ATOMIC_RELAXED) != call;
	if (e->end + 2 < found.last_end) /* start and length are rounded, each by itself */
		found.disordered++;
	else
		found.last_end = e->end;
	size_t n = w->length[call]; /* written before the record that we read */
	found.briefs += n == 0;
	if (e->ret != (int64_t)(n ? n : 8))
		wrong("its result", e->name);
	if (!n && (!e->has_value || e->value != mixed(e->name)))
		wrong("its value", e->name);
	if (n && !e->has_bytes)
		wrong("without its bytes", e->name);
	else if (n && (bytes.name != e->name || (w->shortened[call] ? bytes.length >= n : bytes.length != n)))
		wrong(bytes.name ? "other bytes" : "spoilt bytes", e->name);
}

/* ---- */

static void make_file(const char *path)
{
	uint32_t queue = sizeof(struct vrr_ring) + SEGMENTS * 4, header = (queue + SEGMENT - 1) / SEGMENT * SEGMENT;
	struct vrr_ring h = {
		.magic = VRR_RING_MAGIC,
		.version = VRR_RING_VERSION,
		.header_size = header,
		.segment_size = SEGMENT,
		.segment_count = SEGMENTS,
		.clock = VRR_CLOCK_TSC,
		.clock_hz = HZ,
		.clock_start = __builtin_ia32_rdtsc(),
		.recorder_pid = (uint32_t)getpid(),
		.recording = VRR_RECORDING_ON,
		.next_handle = 1,
		.next_stream = 1,
	};
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, &h, sizeof h) != sizeof h || ftruncate(fd, header + (off_t)SEGMENTS * SEGMENT))
		abort();
	close(fd);
}

static atomic_bool done;
static void *write_everything(void *unused)
{
	for (int i = 0; i < WRITERS; i++)
		if (pthread_create(&writers[i].thread, NULL, write_all, &writers[i]))
			abort();
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	atomic_store(&done, true);
	return unused;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	nests = argc < 4 || atoi(argv[3]);
	uint32_t calls = (uint32_t)atoi(argv[2]);
	make_file(argv[1]);
	const char *bad = reader_start(argv[1]);
	if (bad) {
		printf("%s %s\n", argv[1], bad);
		return 2;
	}
	process_pid = (uint32_t)getpid();
	real.open64 = open64;
	real.close = close;
	real.mmap64 = same_mapping;
	if (!ring_open(argv[1]))
		return 2;
	for (uint32_t i = 0; i < WRITERS; i++) {
		writers[i].number = i;
		writers[i].calls = calls;
		writers[i].order = calloc(calls, sizeof(uint32_t));
		writers[i].length = calloc(calls, sizeof(uint16_t));
		writers[i].shortened = calloc(calls, sizeof(bool));
	}
	pthread_t all;
	if (pthread_create(&all, NULL, write_everything, NULL))
		abort();
	while (!atomic_load(&done))
		reader_step(false);
	pthread_join(all, NULL);
	while (reader_step(true))
		;
	uint32_t returned = 0, dropped = 0, cut = 0;
	for (uint32_t i = 0; i < WRITERS; i++) {
		returned += writers[i].returned;
		dropped += writers[i].dropped;
		cut += writers[i].cut;
		if (found.seen[i] != writers[i].returned)
			wrong("calls are missing or doubled", name_of(i, found.seen[i]));
	}
	uint64_t lost = 0;
	for (size_t i = 0; i < sizeof ring->lost / sizeof *ring->lost; i++)
		lost += ring->lost[i];
	struct sums read = reader_sums();
	printf("%u calls, %lld events, %lld brief, %lld batches, %llu segments, %llu waits, %u dropped, %u cut, %llu "
	       "lost; "
	       "%lld wrong, %lld misplaced, %lld disordered, %lld late, %lld damaged, %lld unfinished\n",
	       returned, (long long)found.events, (long long)found.briefs, (long long)read.batches,
	       (unsigned long long)ring->taken, (unsigned long long)ring->waits, dropped, cut, (unsigned long long)lost,
	       (long long)found.wrong, (long long)found.misplaced, (long long)found.disordered, (long long)read.late,
	       (long long)read.damaged, (long long)read.unfinished);
	return found.wrong || found.disordered > read.late || (found.misplaced && !read.late) ||
	       lost != dropped + cut || read.damaged || read.unfinished || found.events != returned;
}
