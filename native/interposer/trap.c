#include "trap.h"

#include "dma.h"

#include "fds.h"
#include "insn.h"
#include "real.h"
#include "registers.h"
#include "ring.h"

#define RANGES 512 /* mapped regions at a time; more are left untrapped and counted */
#define PAGE   4096ul

struct range {
	uintptr_t start; /* 0: not to be found. Stored last, with release */
	uintptr_t at;	 /* the same, for who has taken it */
	unsigned taken;	 /* by a call that ends it if it succeeds; 0 and no start: free */
	size_t size;
	char *alias;
	uint64_t offset; /* file offset of start */
	uint32_t entry;
	int fd, prot;
};

bool trap_on;
static struct range ranges[RANGES];
static int top;	      /* slots below it may be in use */
static bool changing; /* spin lock of the writers; readers take none */

#define OPERAND 64 /* bytes; longer ones are rare */
#define OPENED	2  /* an instruction has two operands in memory at most */
#define STEPS	8  /* under way in one thread, each in a signal handler that interrupted the one before */
#define NEAR	64 /* what the stepped instruction itself may move the stack pointer by */

/* A single step that is under way. One that a handler left by longjmp() stays until its place is needed. */
struct step {
	uintptr_t ip, sp;
	bool write, moves;
	uint8_t base, opened;
	uint64_t moved, delta;
	struct {
		uintptr_t page;
		size_t size;
	} open[OPENED];
	struct range range;
	uint64_t offset;
};
static __thread struct {
	struct step step[STEPS];
	unsigned count;
} steps __attribute__((tls_model("initial-exec")));

static void lock(void)
{
	while (__atomic_test_and_set(&changing, __ATOMIC_ACQUIRE))
		;
}
static void unlock(void)
{
	__atomic_clear(&changing, __ATOMIC_RELEASE);
}

/* A copy, since others may end the range meanwhile. */
static bool find(uintptr_t at, struct range *copy)
{
	int n = __atomic_load_n(&top, __ATOMIC_ACQUIRE);
	for (int i = 0; i < n; i++) {
		uintptr_t start = __atomic_load_n(&ranges[i].start, __ATOMIC_ACQUIRE);
		if (!start || at < start)
			continue;
		*copy = ranges[i];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&ranges[i].start, __ATOMIC_RELAXED) == start && at - start < copy->size)
			return true;
	}
	return false;
}

static bool add(struct range r)
{
	lock();
	int i = 0;
	while (i < RANGES && (ranges[i].start || ranges[i].taken))
		i++;
	if (i < RANGES) {
		r.start = r.taken = 0;
		ranges[i] = r;
		__atomic_store_n(&ranges[i].start, r.at, __ATOMIC_RELEASE);
		if (i >= top)
			__atomic_store_n(&top, i + 1, __ATOMIC_RELEASE);
	}
	unlock();
	return i < RANGES;
}

/* [from, to) of it. The alias of the whole serves its parts, by address arithmetic. */
static struct range part(struct range r, uintptr_t from, uintptr_t to)
{
	r.alias += from - r.at;
	r.offset += from - r.at;
	r.at = from;
	r.size = to - from;
	return r;
}

bool trap_guard(void *address, size_t length, int prot, int fd, uint32_t entry, uint64_t offset)
{
	size_t size = (length + PAGE - 1) & ~(PAGE - 1);
	int saved = errno;
	char *alias = REAL(mmap64)(NULL, size, prot, MAP_SHARED, fd, (off64_t)offset);

	if (alias == MAP_FAILED || REAL(mprotect)(address, size, PROT_NONE) != 0)
		goto untrapped;
	if (add((struct range){0, (uintptr_t)address, 0, size, alias, offset, entry, fd, prot}))
		return errno = saved, true;
	REAL(mprotect)(address, size, prot);
untrapped:
	if (alias != MAP_FAILED)
		REAL(munmap)(alias, size);
	errno = saved;
	return false;
}

/* What is left of a range beside what happens to a part of it; found before the whole is not. */
static void keep(struct range r, uintptr_t from, uintptr_t to)
{
	if (from >= to || add(part(r, from, to)))
		return;
	REAL(mprotect)((void *)from, to - from, r.prot);
	ring_lost(VRR_LOSS_MAPPED, 1);
}

/* A range that [from, to) touches, now with the caller alone; the loop goes on at *i. */
static struct range *claim(int *i, uintptr_t from, uintptr_t to, unsigned by)
{
	for (; *i < __atomic_load_n(&top, __ATOMIC_ACQUIRE); ++*i) {
		struct range *r = &ranges[*i];
		uintptr_t start = __atomic_load_n(&r->start, __ATOMIC_ACQUIRE);
		unsigned none = 0;
		if (!start || start >= to || start + r->size <= from ||
		    !__atomic_compare_exchange_n(&r->taken, &none, by, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		if (r->start == start)
			return r;
		__atomic_store_n(&r->taken, 0, __ATOMIC_RELEASE);
	}
	return NULL;
}

static unsigned new_token(void)
{
	static unsigned tokens;
	return __atomic_add_fetch(&tokens, 1, __ATOMIC_RELAXED) | 1u << 31;
}

unsigned trap_take(void *address, size_t length)
{
	uintptr_t from = (uintptr_t)address & ~(PAGE - 1);
	uintptr_t to = ((uintptr_t)address + length + PAGE - 1) & ~(PAGE - 1);
	unsigned token = new_token(), took = 0;
	int saved = errno, i = 0;

	if (!length)
		return 0;
	for (struct range *r; (r = claim(&i, from, to, token)); i++) {
		uintptr_t first = from > r->at ? from : r->at, last = to < r->at + r->size ? to : r->at + r->size;
		struct range whole = *r;
		keep(whole, whole.at, first);
		keep(whole, last, whole.at + whole.size);
		__atomic_store_n(&r->start, 0, __ATOMIC_RELEASE);
		struct range taken = part(whole, first, last);
		taken.start = 0;
		*r = taken;
		took = token;
	}
	errno = saved;
	return took;
}

void trap_open(unsigned token)
{
	int saved = errno;
	for (int i = 0; i < __atomic_load_n(&top, __ATOMIC_ACQUIRE); i++)
		if (ranges[i].taken == token)
			REAL(mprotect)((void *)ranges[i].at, ranges[i].size, ranges[i].prot);
	errno = saved;
}

void trap_settle(unsigned token, bool over)
{
	int saved = errno;
	for (int i = 0; i < __atomic_load_n(&top, __ATOMIC_ACQUIRE); i++) {
		struct range *r = &ranges[i];
		if (__atomic_load_n(&r->taken, __ATOMIC_ACQUIRE) != token)
			continue;
		/* A mmap() that failed may have unmapped what was there (before Linux 6.12). */
		if (!over && REAL(mprotect)((void *)r->at, r->size, PROT_NONE) == 0)
			__atomic_store_n(&r->start, r->at, __ATOMIC_RELEASE);
		else
			REAL(munmap)(r->alias, r->size);
		__atomic_store_n(&r->taken, 0, __ATOMIC_RELEASE);
	}
	errno = saved;
}

bool trap_protect(void *address, size_t length, int prot)
{
	uintptr_t from = (uintptr_t)address, to = (from + length + PAGE - 1) & ~(PAGE - 1);
	unsigned token = new_token();
	bool ours = false;
	int i = 0;

	for (struct range *r; (r = claim(&i, from, to, token)); i++) {
		uintptr_t first = from > r->at ? from : r->at, last = to < r->at + r->size ? to : r->at + r->size;
		struct range whole = *r, changed = part(whole, first, last);
		/* A load or store through the alias must not fault in the handler. */
		if (!(prot & ~whole.prot) || !REAL(mprotect)(changed.alias, changed.size, whole.prot | prot)) {
			ours = true;
			changed.prot = prot;
			if (changed.size == whole.size) {
				r->prot = prot;
			} else if (add(changed)) {
				keep(whole, whole.at, first);
				keep(whole, last, whole.at + whole.size);
				__atomic_store_n(&r->start, 0, __ATOMIC_RELEASE);
			} else {
				/* No room for parts: all of it allows what either does. */
				REAL(mprotect)(whole.alias, whole.size, whole.prot | prot);
				r->prot = whole.prot | prot;
			}
		}
		__atomic_store_n(&r->taken, 0, __ATOMIC_RELEASE);
	}
	return ours;
}

void *trap_alias(const void *address, size_t length)
{
	struct range r;

	if (!trap_on || !find((uintptr_t)address, &r) || (uintptr_t)address + length > r.at + r.size)
		return (void *)(uintptr_t)address;
	return r.alias + ((uintptr_t)address - r.at);
}

#if defined(__x86_64__)

static uint64_t load(const volatile void *at, int width)
{
	switch (width) {
	case 1:
		return *(const volatile uint8_t *)at;
	case 2:
		return *(const volatile uint16_t *)at;
	case 4:
		return *(const volatile uint32_t *)at;
	default:
		return *(const volatile uint64_t *)at;
	}
}

static void store(volatile void *at, int width, uint64_t value)
{
	switch (width) {
	case 1:
		*(volatile uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)at = value;
	}
}

static uint64_t narrow(uint64_t value, int width)
{
	return width >= 8 ? value : value & ((1ull << (8 * width)) - 1);
}

static void emulate(ucontext_t *c, const struct insn *i, const struct range *r, uintptr_t at)
{
	volatile void *alias = r->alias + (at - r->at);
	bool is_load = i->kind == INSN_LOAD;
	struct rec rec;
	uint64_t value = i->immediate;

	if (i->kind == INSN_STORE)
		value = i->high ? (uint64_t)*registers_at(c, i->reg) >> 8 : (uint64_t)*registers_at(c, i->reg);
	value = narrow(value, i->width);
	if (unlikely(dma_on) && !is_load)
		dma_written(r->entry, r->offset + (at - r->at), i->width);
	rec_begin(&rec, is_load ? VRR_OP_LOAD : VRR_OP_STORE, r->fd, r->entry, r->offset + (at - r->at), i->width, 0);
	rec.flags |= VRR_FLAG_INLINE;
	if (rec.record && !is_load)
		rec.record->value = value; /* in the trace even if the store never comes back */
	rec_enter(&rec, 0);
	if (is_load)
		value = load(alias, i->width);
	else
		store(alias, i->width, value);
	rec_leave(&rec, i->width);
	rec_end(&rec, value);
	if (is_load)
		registers_load(c, i, value);
	c->uc_mcontext.gregs[REG_RIP] += i->length;
}

#define TRAP_FLAG   0x100 /* EFLAGS.TF */
#define WRITE_FAULT 2	  /* page fault error code, bit 1 */

static void close_pages(struct step *s)
{
	while (s->opened) {
		s->opened--;
		REAL(mprotect)((void *)s->open[s->opened].page, s->open[s->opened].size, PROT_NONE);
	}
}

/* Those above it were left by longjmp(). */
static void drop_above(unsigned count)
{
	while (steps.count > count)
		close_pages(&steps.step[--steps.count]);
}

/* The step that the instruction is in already: its other operand faults, or a page that an inner step has closed. */
static struct step *same_step(ucontext_t *c)
{
	const greg_t *g = c->uc_mcontext.gregs;
	for (unsigned i = steps.count; i--;) {
		struct step *s = &steps.step[i];
		if (s->ip != (uintptr_t)g[REG_RIP] || s->sp != (uintptr_t)g[REG_RSP])
			continue;
		bool stale = s->moves && (uint64_t)*registers_at(c, s->base) != s->moved;
		drop_above(stale ? i : i + 1);
		return stale ? NULL : s;
	}
	return NULL;
}

/* Another instruction faults: in a handler, from whose end on the pages fault again, or after one was left. */
static void close_others(const ucontext_t *c)
{
	for (unsigned i = 0; i < steps.count; i++)
		if (steps.step[i].ip != (uintptr_t)c->uc_mcontext.gregs[REG_RIP])
			close_pages(&steps.step[i]);
}

static struct step *new_step(void)
{
	if (steps.count == STEPS) {
		close_pages(&steps.step[0]);
		memmove(&steps.step[0], &steps.step[1], (STEPS - 1) * sizeof steps.step[0]);
		steps.count--;
	}
	return memset(&steps.step[steps.count++], 0, sizeof steps.step[0]);
}

static void open_page(struct step *s, const struct range *r, uintptr_t at)
{
	uintptr_t page = at & ~(PAGE - 1);
	/* An operand that goes on in the next page; a longer one faults again there. */
	bool crosses = at + OPERAND > page + PAGE && 2 * PAGE <= r->at + r->size - page;
	size_t size = crosses ? 2 * PAGE : PAGE;

	REAL(mprotect)((void *)page, size, r->prot);
	for (unsigned i = 0; i < s->opened; i++)
		if (s->open[i].page == page) {
			s->open[i].size = size > s->open[i].size ? size : s->open[i].size;
			return;
		}
	ring_lost(VRR_LOSS_MAPPED, 1);
	if (s->opened == OPENED)
		close_pages(s); /* those that are needed fault again */
	s->open[s->opened].page = page;
	s->open[s->opened++].size = size;
}

static void single_step(ucontext_t *c, const struct insn *i, const struct range *r, uintptr_t at)
{
	struct step *s = same_step(c);

	if (s) {
		open_page(s, r, at);
		c->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
		return;
	}
	s = new_step();
	s->ip = (uintptr_t)c->uc_mcontext.gregs[REG_RIP];
	s->sp = (uintptr_t)c->uc_mcontext.gregs[REG_RSP];
	s->write = c->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT;
	s->range = *r;
	s->offset = r->offset + (at - r->at);
	s->base = i->base;
	s->moves = i->base != INSN_NONE && i->base != 4; /* a base register, and not the stack's */
	if (s->moves) {
		s->delta = (uint64_t)r->alias - r->at;
		*registers_at(c, s->base) += (greg_t)s->delta;
		s->moved = (uint64_t)*registers_at(c, s->base);
	} else {
		open_page(s, r, at);
	}
	c->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

bool trap_fault(const siginfo_t *info, ucontext_t *c)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	struct range r;

	if (!trap_on || !find(at, &r))
		return false;
	bool write = c->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT;
	if (!(r.prot & (write ? PROT_WRITE : PROT_READ)))
		return false; /* the program's own mapping forbids it */
	int saved = errno;
	if (unlikely(steps.count))
		close_others(c);
	struct insn i = insn_decode((const uint8_t *)c->uc_mcontext.gregs[REG_RIP]);
	if (i.kind != INSN_UNKNOWN && at + i.width <= r.at + r.size)
		emulate(c, &i, &r, at);
	else
		single_step(c, &i, &r, at);
	errno = saved;
	return true;
}

bool trap_stepped(ucontext_t *c)
{
	uintptr_t sp = (uintptr_t)c->uc_mcontext.gregs[REG_RSP];
	unsigned i = steps.count;

	while (i && sp - steps.step[i - 1].sp + NEAR > 2 * NEAR)
		i--;
	if (!i)
		return false;
	int saved = errno;
	struct step *s = &steps.step[i - 1];
	drop_above(i);
	c->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	if (s->moves && (uint64_t)*registers_at(c, s->base) == s->moved)
		*registers_at(c, s->base) -= (greg_t)s->delta; /* unless the instruction loaded it anew */
	close_pages(s);
	struct step done = *s;
	steps.count = i - 1;
	rec_note(done.write ? VRR_OP_STORE : VRR_OP_LOAD, done.range.fd, done.range.entry, done.offset, 0, 0, 0,
		 VRR_FLAG_SHORT, NULL);
	errno = saved;
	return true;
}

#else

bool trap_fault(const siginfo_t *info, ucontext_t *c)
{
	(void)info, (void)c;
	return false;
}
bool trap_stepped(ucontext_t *c)
{
	(void)c;
	return false;
}

#endif
