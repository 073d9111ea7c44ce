#include "trap.h"

#include "dma.h"

#include "fds.h"
#include "insn.h"
#include "real.h"
#include "ring.h"

#define RANGES 512 /* mapped regions at a time; more are left untrapped and counted */
#define PAGE   4096ul

struct range {
	uintptr_t start; /* 0: free. Stored last, with release */
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

/* A single step that is under way in this thread. */
struct step {
	bool active, opened, write;
	uint8_t base;
	uint64_t moved, delta;
	uintptr_t page;
	size_t open; /* bytes from it on */
	struct range range;
	uint64_t offset;
};
static __thread struct step step __attribute__((tls_model("initial-exec")));

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
		if (start && at - start < ranges[i].size)
			return &ranges[i];
	}
	return NULL;
}

static bool add(struct range r)
{
	lock();
	int i = 0;
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

bool trap_guard(void *address, size_t length, int prot, int fd, uint32_t entry, uint64_t offset)
{
	size_t size = (length + PAGE - 1) & ~(PAGE - 1);
	int saved = errno;
	char *alias = REAL(mmap64)(NULL, size, prot, MAP_SHARED, fd, (off64_t)offset);

	if (alias == MAP_FAILED || REAL(mprotect)(address, size, PROT_NONE) != 0)
		goto untrapped;
	if (add((struct range){(uintptr_t)address, size, alias, offset, entry, fd, prot}))
		return errno = saved, true;
	REAL(mprotect)(address, size, prot);
untrapped:
	if (alias != MAP_FAILED)
		REAL(munmap)(alias, size);
	errno = saved;
	return false;
}

/* The alias stays mapped for as long as any part of the range lives; parts share it by address arithmetic. */
void trap_forget(void *address, size_t length)
{
	uintptr_t from = (uintptr_t)address & ~(PAGE - 1);
	uintptr_t to = ((uintptr_t)address + length + PAGE - 1) & ~(PAGE - 1);
	int saved = errno;

	for (int i = 0; i < __atomic_load_n(&top, __ATOMIC_ACQUIRE); i++) {
		struct range r = ranges[i];
		uintptr_t end = r.start + r.size;
		if (!r.start || r.start >= to || end <= from)
			continue;
		__atomic_store_n(&ranges[i].start, 0, __ATOMIC_RELEASE);
		uintptr_t gone = from > r.start ? from : r.start, kept = to < end ? to : end;
		REAL(munmap)(r.alias + (gone - r.start), kept - gone);
		if (from > r.start)
			add((struct range){r.start, from - r.start, r.alias, r.offset, r.entry, r.fd, r.prot});
		if (end > to)
			add((struct range){to, end - to, r.alias + (to - r.start), r.offset + (to - r.start), r.entry,
					   r.fd, r.prot});
	}
	errno = saved;
}

bool trap_protect(void *address, size_t length, int prot)
{
	bool ours = false;

	for (int i = 0; i < __atomic_load_n(&top, __ATOMIC_ACQUIRE); i++) {
		struct range *r = &ranges[i];
		if (r->start && r->start < (uintptr_t)address + length && (uintptr_t)address < r->start + r->size) {
			/* A load or store through the alias must not fault in the handler. */
			if (prot & ~r->prot && REAL(mprotect)(r->alias, r->size, r->prot | prot))
				continue;
			r->prot = prot;
			ours = true;
		}
	}
	return ours;
}

void *trap_alias(const void *address, size_t length)
{
	struct range *r = trap_on ? find((uintptr_t)address) : NULL;

	if (!r || (uintptr_t)address + length > r->start + r->size)
		return (void *)(uintptr_t)address;
	return r->alias + ((uintptr_t)address - r->start);
}

#if defined(__x86_64__)

static greg_t *reg(ucontext_t *c, int n)
{
	static const int8_t gregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
	return &c->uc_mcontext.gregs[gregs[n & 15]];
}

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

static void loaded(ucontext_t *c, const struct insn *i, uint64_t value)
{
	greg_t *r = reg(c, i->reg);
	uint64_t wide = value;

	if (i->sign)
		wide = (uint64_t)((int64_t)(value << (64 - 8 * i->width)) >> (64 - 8 * i->width));
	uint64_t old = (uint64_t)*r, mask = i->target == 1 ? 0xff : 0xffff;
	if (i->high)
		*r = (greg_t)((old & ~0xff00ull) | (value & 0xff) << 8);
	else if (i->target >= 4)
		*r = (greg_t)narrow(wide, i->target); /* a 4-byte move clears the upper half */
	else
		*r = (greg_t)((old & ~mask) | (wide & mask));
}

static void emulate(ucontext_t *c, const struct insn *i, const struct range *r, uintptr_t at)
{
	volatile void *alias = r->alias + (at - r->start);
	bool is_load = i->kind == INSN_LOAD;
	struct rec rec;
	uint64_t value = i->immediate;

	if (i->kind == INSN_STORE)
		value = i->high ? (uint64_t)*reg(c, i->reg) >> 8 : (uint64_t)*reg(c, i->reg);
	value = narrow(value, i->width);
	if (unlikely(dma_on) && !is_load)
		dma_written(r->entry, r->offset + (at - r->start), i->width);
	rec_begin(&rec, is_load ? VRR_OP_LOAD : VRR_OP_STORE, r->fd, r->entry, r->offset + (at - r->start), i->width,
		  0);
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
		loaded(c, i, value);
	c->uc_mcontext.gregs[REG_RIP] += i->length;
}

#define TRAP_FLAG   0x100 /* EFLAGS.TF */
#define WRITE_FAULT 2	  /* page fault error code, bit 1 */

static void single_step(ucontext_t *c, const struct insn *i, const struct range *r, uintptr_t at)
{
	struct step *s = &step;

	s->active = true;
	s->write = c->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT;
	s->range = *r;
	s->offset = r->offset + (at - r->start);
	s->base = i->base;
	s->opened = i->base == INSN_NONE || i->base == 4; /* no base register, or the stack's */
	if (s->opened) {
		s->page = at & ~(PAGE - 1);
		s->open = 2 * PAGE <= r->start + r->size - s->page ? 2 * PAGE : PAGE;
		REAL(mprotect)((void *)s->page, s->open, r->prot);
		ring_lost(VRR_LOSS_MAPPED, 1);
	} else {
		s->delta = (uint64_t)r->alias - r->start;
		*reg(c, s->base) += (greg_t)s->delta;
		s->moved = (uint64_t)*reg(c, s->base);
	}
	c->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

bool trap_fault(const siginfo_t *info, ucontext_t *c)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	struct range *r = trap_on ? find(at) : NULL;

	if (!r || step.active)
		return false;
	bool write = c->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT;
	if (!(r->prot & (write ? PROT_WRITE : PROT_READ)))
		return false; /* the program's own mapping forbids it */
	int saved = errno;
	struct insn i = insn_decode((const uint8_t *)c->uc_mcontext.gregs[REG_RIP]);
	if (i.kind != INSN_UNKNOWN && at + i.width <= r->start + r->size)
		emulate(c, &i, r, at);
	else
		single_step(c, &i, r, at);
	errno = saved;
	return true;
}

bool trap_stepped(ucontext_t *c)
{
	struct step *s = &step;

	if (!s->active)
		return false;
	s->active = false;
	int saved = errno;
	c->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	if (s->opened)
		REAL(mprotect)((void *)s->page, s->open, PROT_NONE);
	else if ((uint64_t)*reg(c, s->base) == s->moved)
		*reg(c, s->base) -= (greg_t)s->delta; /* unless the instruction loaded it anew */
	rec_note(s->write ? VRR_OP_STORE : VRR_OP_LOAD, s->range.fd, s->range.entry, s->offset, 0, 0, 0, VRR_FLAG_SHORT,
		 NULL);
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
