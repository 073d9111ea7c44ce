/* Mapped regions whose loads and stores have effects: nothing is mapped there, each access faults, is decoded, and goes
 * to the server as a read or write of its width. Instructions that are not plain moves are the program's own fault. */
#define _GNU_SOURCE
#include "play.h"
#include "interposer/registers.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

DECLARE_NEXT(sigaction);
DECLARE_NEXT(munmap);
DECLARE_NEXT(mprotect);
DECLARE_NEXT(mmap);

#define RANGES 256
struct range {
	uintptr_t start, end; /* start 0: free; stored last */
	uint64_t offset;      /* of start, in the device file */
	struct played what;
	int fd, prot;
};
static struct range ranges[RANGES];
static int top;			/* slots below it may be in use */
static bool changing;		/* spin lock of those who change the table */
static bool handling;		/* our SIGSEGV handler is in place */
static struct sigaction theirs; /* what the program wants for SIGSEGV */

static void lock(void)
{
	while (__atomic_test_and_set(&changing, __ATOMIC_ACQUIRE))
		;
}
static void unlock(void)
{
	__atomic_clear(&changing, __ATOMIC_RELEASE);
}

static struct range *find(uintptr_t at)
{
	int n = __atomic_load_n(&top, __ATOMIC_ACQUIRE);
	for (int i = 0; i < n; i++) {
		uintptr_t start = __atomic_load_n(&ranges[i].start, __ATOMIC_ACQUIRE);
		if (start && at >= start && at < ranges[i].end)
			return &ranges[i];
	}
	return NULL;
}

static bool add(struct range r)
{
	int i = 0;
	lock();
	while (i < RANGES && ranges[i].start)
		i++;
	if (i < RANGES) {
		uintptr_t start = r.start;
		r.start = 0;
		ranges[i] = r;
		__atomic_store_n(&ranges[i].start, start, __ATOMIC_RELEASE);
		if (i >= top)
			__atomic_store_n(&top, i + 1, __ATOMIC_RELEASE);
	}
	unlock();
	return i < RANGES;
}

#if defined(__x86_64__)

/* What the bus gives for a read that fails: all ones. */
static uint64_t load(const struct range *r, uintptr_t at, int width)
{
	struct play_request q = {.op = VRR_PLAY_OP_PREAD, .handle = r->what.handle, .fd = r->fd};
	struct play_answer answer;
	uint64_t value = ~0ull;
	q.a = r->offset + (at - r->start);
	q.b = (uint64_t)width;
	play_ask(&q, NULL, 0, &answer);
	if (answer.reply.ret == width && answer.reply.length == (uint32_t)width)
		memcpy(&value, answer.data, (size_t)width);
	return width < 8 ? value & ((1ull << (8 * width)) - 1) : value;
}

static void store(const struct range *r, uintptr_t at, int width, uint64_t value)
{
	struct play_request q = {.op = VRR_PLAY_OP_PWRITE, .handle = r->what.handle, .fd = r->fd};
	struct play_answer answer;
	q.a = r->offset + (at - r->start);
	q.b = (uint64_t)width;
	play_ask(&q, &value, (size_t)width, &answer);
}

#define WRITE_FAULT 2 /* page fault error code, bit 1 */
static bool emulate(uintptr_t at, ucontext_t *c)
{
	struct range *r = find(at);
	bool write = c->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT;
	struct insn i;
	if (!r || !(r->prot & (write ? PROT_WRITE : PROT_READ)))
		return false;
	i = insn_decode((const uint8_t *)c->uc_mcontext.gregs[REG_RIP]);
	if (i.kind == INSN_UNKNOWN || i.width == 0 || at + i.width > r->end)
		return false;
	if (i.kind == INSN_LOAD)
		registers_load(c, &i, load(r, at, i.width));
	else if (i.kind == INSN_STORE)
		store(r, at, i.width, (uint64_t)*registers_at(c, i.reg) >> (i.high ? 8 : 0));
	else
		store(r, at, i.width, i.immediate);
	c->uc_mcontext.gregs[REG_RIP] += i.length;
	return true;
}

#else
static bool emulate(uintptr_t at, ucontext_t *c)
{
	(void)at;
	(void)c;
	return false;
}
#endif

/* A fault that is not ours: as if we were not there. */
static void fault(int nr, siginfo_t *info, void *context)
{
	int saved = errno;
	bool done = info->si_code > 0 && emulate((uintptr_t)info->si_addr, context);
	errno = saved;
	if (done)
		return;
	if (theirs.sa_flags & SA_SIGINFO)
		theirs.sa_sigaction(nr, info, context);
	else if (theirs.sa_handler != SIG_DFL && theirs.sa_handler != SIG_IGN)
		theirs.sa_handler(nr);
	else
		NEXT(sigaction)(nr, &theirs, NULL); /* the access is made again, and kills */
}

static void handle_faults(void)
{
	struct sigaction ours;
	if (__atomic_exchange_n(&handling, true, __ATOMIC_ACQ_REL))
		return;
	memset(&ours, 0, sizeof(ours));
	ours.sa_sigaction = fault;
	/* NODEFER: a handler of the recorder's may touch another trapped mapping. */
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
	NEXT(sigaction)(SIGSEGV, &ours, &theirs);
}

EXPORT int sigaction(int nr, const struct sigaction *restrict to, struct sigaction *restrict was)
{
	struct sigaction before = theirs;
	if (nr != SIGSEGV || !__atomic_load_n(&handling, __ATOMIC_ACQUIRE))
		return NEXT(sigaction)(nr, to, was);
	if (to)
		theirs = *to;
	if (was)
		*was = before;
	return 0;
}

void *play_trap(void *addr, size_t length, int prot, int flags, struct played what, int fd, uint64_t offset)
{
	int here = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE));
	char *mapped = NEXT(mmap)(addr, length, PROT_NONE, here, -1, 0);
	if (mapped == MAP_FAILED)
		return mapped;
	handle_faults();
	if (!add((struct range){(uintptr_t)mapped, (uintptr_t)mapped + length, offset, what, fd, prot})) {
		NEXT(munmap)(mapped, length);
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return mapped;
}

/* [addr, +length) is about to be something else. Parts that stay are kept as ranges of their own. */
void play_untrap(void *addr, size_t length)
{
	uintptr_t from = (uintptr_t)addr, to = from + length;
	for (int i = 0; i < __atomic_load_n(&top, __ATOMIC_ACQUIRE); i++) {
		struct range r = ranges[i];
		if (!r.start || r.start >= to || r.end <= from)
			continue;
		__atomic_store_n(&ranges[i].start, 0, __ATOMIC_RELEASE);
		if (from > r.start)
			add((struct range){r.start, from, r.offset, r.what, r.fd, r.prot});
		if (to < r.end)
			add((struct range){to, r.end, r.offset + (to - r.start), r.what, r.fd, r.prot});
		if (from <= r.start && to >= r.end) {
			struct play_request q = {.op = VRR_PLAY_OP_UNMAP, .handle = r.what.handle, .fd = -1};
			struct play_answer answer;
			play_ask(&q, NULL, 0, &answer);
		}
	}
}

EXPORT int munmap(void *addr, size_t length)
{
	if (__atomic_load_n(&top, __ATOMIC_RELAXED))
		play_untrap(addr, length);
	return NEXT(munmap)(addr, length);
}

/* Nothing is mapped under a trapped range, so only what the program may do there changes. A recorder's library that
 * guards the range itself takes all rights away: then its own handler sees the faults. */
EXPORT int mprotect(void *addr, size_t length, int prot)
{
	uintptr_t from = (uintptr_t)addr, to = from + length;
	bool ours = false;
	for (int i = 0; i < __atomic_load_n(&top, __ATOMIC_ACQUIRE); i++) {
		struct range *r = &ranges[i];
		if (!r->start || r->start >= to || r->end <= from)
			continue;
		r->prot = prot;
		ours = true;
	}
	return ours ? 0 : NEXT(mprotect)(addr, length, prot);
}
