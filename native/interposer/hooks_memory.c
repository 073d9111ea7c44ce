/*
 * Mappings of VFIO descriptors, and memory that devices reach. Their ranges are kept, so that what happens to them
 * later is recorded too.
 *
 * Contract: a program that maps nothing of VFIO pays one comparison per munmap() and mprotect().
 */
#include "dma.h"
#include "fds.h"
#include "guard.h"
#include "mappings.h"
#include "real.h"
#include "ring.h"
#include "trap.h"

/* Mapped at one time; more are recorded when made, but not when ended, which is counted. */
#define PINNED	 1024
#define MAPPINGS (PINNED + 512) /* the rest are for regions alone */

struct mapping {
	uintptr_t start, end; /* start 0: free; 1: being written */
	uint32_t made;	      /* its number, as pieces keep it */
	bool untold;	      /* a region whose accesses would be counted as MAPPED, if it allowed any */
	uint32_t entry;
	uint32_t pinned; /* memory given to devices, at iova: its serial; a device's own memory: DEVICES */
	uint64_t iova;
};
#define DEVICES UINT32_MAX
static struct mapping mappings[MAPPINGS];
static unsigned mappings_top; /* slots below it may be in use */

static uint32_t made; /* mappings so far */

static void add(uintptr_t start, size_t length, struct mapping m)
{
	for (unsigned i = 0; i < (m.pinned ? PINNED : MAPPINGS); i++) {
		uintptr_t none = 0;
		if (!__atomic_compare_exchange_n(&mappings[i].start, &none, 1, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
			continue;
		m.start = 1;
		m.end = start + length;
		mappings[i] = m;
		__atomic_store_n(&mappings[i].start, start, __ATOMIC_RELEASE);
		unsigned top = __atomic_load_n(&mappings_top, __ATOMIC_RELAXED);
		while (top <= i && !__atomic_compare_exchange_n(&mappings_top, &top, i + 1, true, __ATOMIC_RELEASE,
								__ATOMIC_RELAXED))
			;
		return;
	}
	ring_lost(VRR_LOSS_TABLE_FULL, 1);
	if (m.pinned && dma_on)
		ring_lost(VRR_LOSS_DMA_LIMIT, length / 4096); /* never looked at */
}

static uint32_t number(void)
{
	return __atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
}

/* A mapping that the range touches; NULL: none. */
static struct mapping *touched(const void *address, size_t length, bool pinned_too)
{
	unsigned top = __atomic_load_n(&mappings_top, __ATOMIC_ACQUIRE);
	uintptr_t at = (uintptr_t)address;
	for (unsigned i = 0; i < top; i++) {
		uintptr_t start = __atomic_load_n(&mappings[i].start, __ATOMIC_ACQUIRE);
		if (start > 1 && at < mappings[i].end && start < at + length && (pinned_too || !mappings[i].pinned))
			return &mappings[i];
	}
	return NULL;
}

static uint32_t find(const void *address, size_t length, bool pinned_too)
{
	const struct mapping *m = touched(address, length, pinned_too);
	return m ? m->entry : 0;
}

/* What the range covers is mapped no more, of the mappings before `until`: others may have been made where it was; what
 * is left of a mapping on either side stays. */
static void cut(const void *address, size_t length, uint32_t until)
{
	unsigned top = __atomic_load_n(&mappings_top, __ATOMIC_ACQUIRE);
	uintptr_t at = (uintptr_t)address, to = at + ((length + 4095) & ~(size_t)4095);
	for (unsigned i = 0; i < top; i++) {
		uintptr_t start = __atomic_load_n(&mappings[i].start, __ATOMIC_ACQUIRE);
		if (start <= 1 || at >= mappings[i].end || start >= to || (int32_t)(mappings[i].made - until) >= 0 ||
		    !__atomic_compare_exchange_n(&mappings[i].start, &start, 1, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED))
			continue;
		struct mapping m = mappings[i];
		__atomic_store_n(&mappings[i].start, 0, __ATOMIC_RELEASE);
		if (start < at)
			add(start, at - start, m);
		if (m.end > to) {
			uintptr_t end = m.end;
			m.iova += m.pinned ? to - start : 0;
			add(to, end - to, m);
		}
	}
}

/* What a device has mapped is not read: its registers would notice. */
static uint32_t serial_of(const void *address, size_t size)
{
	static uint32_t serials;
	if (find(address, size, false))
		return DEVICES;
	return 1 + __atomic_fetch_add(&serials, 1, __ATOMIC_RELAXED) % 0x0ffffffe;
}

void mappings_pin(uint32_t entry, uint64_t address, uint64_t size, uint64_t iova)
{
	if (address > 1 && size && address + size > address)
		add((uintptr_t)address, (size_t)size,
		    (struct mapping){.made = number(),
				     .entry = entry,
				     .pinned = serial_of((void *)(uintptr_t)address, (size_t)size),
				     .iova = iova});
}

bool mappings_pinned(unsigned *at, struct pinned *pinned)
{
	unsigned top = __atomic_load_n(&mappings_top, __ATOMIC_ACQUIRE);
	while (*at < top) {
		const struct mapping *m = &mappings[(*at)++];
		uintptr_t start = __atomic_load_n(&m->start, __ATOMIC_ACQUIRE);
		if (start <= 1 || !m->pinned || m->pinned == DEVICES)
			continue;
		*pinned = (struct pinned){start, m->end, m->iova, m->entry, m->pinned};
		return true;
	}
	return false;
}

void mappings_unpin(uint32_t entry, uint64_t iova, uint64_t size)
{
	unsigned top = __atomic_load_n(&mappings_top, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < top; i++) {
		struct mapping *m = &mappings[i];
		uintptr_t start = __atomic_load_n(&m->start, __ATOMIC_ACQUIRE);
		if (start > 1 && m->pinned && fds_handle(m->entry) == fds_handle(entry) && m->iova >= iova &&
		    m->iova - iova + (m->end - start) <= size) {
			uintptr_t end = m->end;
			uint32_t serial = m->pinned;
			if (__atomic_compare_exchange_n(&m->start, &start, 0, false, __ATOMIC_ACQ_REL,
							__ATOMIC_RELAXED) &&
			    unlikely(dma_on))
				dma_forget(serial, start, end);
		}
	}
}

static int64_t address_result(const void *ret)
{
	return ret == MAP_FAILED ? -(int64_t)errno : (int64_t)(uintptr_t)ret;
}

/* Other memory came where mappings were. */
static void covered(const void *address, size_t length, uint32_t until)
{
	uint32_t entry = find(address, length, true);
	if (entry)
		rec_note(VRR_OP_MUNMAP, -1, entry, (uint64_t)(uintptr_t)address, length, 0, 0, 0, NULL);
	cut(address, length, until);
}

void *mmap64(void *address, size_t length, int prot, int flags, int fd, off64_t at)
{
	uint32_t entry = flags & MAP_ANONYMOUS ? 0 : fds_get(fd), until = made;
	unsigned taken = unlikely(trap_on && flags & MAP_FIXED) ? trap_take(address, length) : 0;
	if (likely(!fds_recorded(entry))) {
		void *ret = REAL(mmap64)(address, length, prot, flags, fd, at);
		if (unlikely(taken))
			trap_settle(taken, ret != MAP_FAILED);
		if (unlikely(mappings_top && flags & MAP_FIXED && ret != MAP_FAILED))
			covered(ret, length, until);
		return ret;
	}
	uint64_t how[] = {(uint64_t)(uintptr_t)address, length, (uint64_t)(unsigned)prot, (uint64_t)(unsigned)flags,
			  (uint64_t)at};
	struct rec r;
	rec_begin(&r, VRR_OP_MMAP, fd, entry, (uint64_t)at, length, (uint32_t)rec_size(sizeof how));
	rec_chunk(&r, VRR_WHERE_ARRAY, VRR_PHASE_IN, how, sizeof how, sizeof how);
	rec_enter(&r, 0);
	void *ret = REAL(mmap64)(address, length, prot, flags, fd, at);
	rec_leave(&r, address_result(ret));
	if (unlikely(taken))
		trap_settle(taken, ret != MAP_FAILED);
	if (ret != MAP_FAILED) {
		if (flags & MAP_FIXED)
			cut(ret, length, until);
		bool seen = fds_kind(entry) != VRR_KIND_DEVICE ||
			    (trap_on && flags & MAP_SHARED && trap_guard(ret, length, prot, fd, entry, (uint64_t)at));
		bool untold = !seen && prot == PROT_NONE;
		if (!seen && !untold)
			ring_lost(VRR_LOSS_MAPPED, 1);
		add((uintptr_t)ret, length, (struct mapping){.made = number(), .untold = untold, .entry = entry});
	}
	rec_end(&r, 0);
	return ret;
}

void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t at)
{
	return mmap64(address, length, prot, flags, fd, at);
}

int munmap(void *address, size_t length)
{
	uint32_t entry = unlikely(mappings_top) ? find(address, length, true) : 0, until = made;
	unsigned taken = unlikely(trap_on) ? trap_take(address, length) : 0;
	if (likely(!entry)) {
		int ret = REAL(munmap)(address, length);
		if (unlikely(taken))
			trap_settle(taken, ret == 0);
		return ret;
	}
	struct rec r;
	rec_begin(&r, VRR_OP_MUNMAP, -1, entry, (uint64_t)(uintptr_t)address, length, 0);
	rec_enter(&r, 0);
	int ret = REAL(munmap)(address, length);
	rec_leave(&r, rec_result(ret));
	if (taken)
		trap_settle(taken, ret == 0);
	if (ret == 0)
		cut(address, length, until);
	rec_end(&r, 0);
	return ret;
}

void *mremap(void *old, size_t old_length, size_t new_length, int flags, ...)
{
	va_list list;
	va_start(list, flags);
	void *wanted = flags & MREMAP_FIXED ? va_arg(list, void *) : NULL;
	va_end(list);
	unsigned covers = unlikely(trap_on && wanted) ? trap_take(wanted, new_length) : 0;
	uint32_t until = made;
	const struct mapping *m = unlikely(mappings_top) ? touched(old, old_length, false) : NULL;
	struct mapping moved = m ? *m : (struct mapping){0};
	uint32_t entry = unlikely(mappings_top) ? find(old, old_length, true) : 0;
	if (likely(!entry)) {
		void *ret = REAL(mremap)(old, old_length, new_length, flags, wanted);
		if (unlikely(covers))
			trap_settle(covers, ret != MAP_FAILED);
		if (unlikely(mappings_top && wanted && ret != MAP_FAILED))
			covered(ret, new_length, until);
		return ret;
	}
	uint64_t how[] = {(uint64_t)(uintptr_t)old, old_length, new_length, (uint64_t)(unsigned)flags,
			  (uint64_t)(uintptr_t)wanted};
	struct rec r;
	rec_begin(&r, VRR_OP_MREMAP, -1, entry, (uint64_t)(uintptr_t)old, old_length, (uint32_t)rec_size(sizeof how));
	rec_chunk(&r, VRR_WHERE_ARRAY, VRR_PHASE_IN, how, sizeof how, sizeof how);
	rec_enter(&r, 0);
	unsigned taken = trap_on ? trap_take(old, old_length) : 0;
	if (taken)
		trap_open(taken);
	void *ret = REAL(mremap)(old, old_length, new_length, flags, wanted);
	rec_leave(&r, address_result(ret));
	if (taken)
		trap_settle(taken, ret != MAP_FAILED);
	if (covers)
		trap_settle(covers, ret != MAP_FAILED);
	if (ret != MAP_FAILED) {
		if (taken) /* not guarded where it went to */
			ring_lost(VRR_LOSS_MAPPED, 1);
		if (wanted)
			covered(ret, new_length, until);
		cut(old, old_length, until);
		if (m) {
			moved.made = number();
			add((uintptr_t)ret, new_length, moved);
		}
	}
	rec_end(&r, 0);
	return ret;
}

int mprotect(void *address, size_t length, int prot)
{
	struct mapping *m = unlikely(mappings_top) ? touched(address, length, false) : NULL;
	if (likely(!m))
		return REAL(mprotect)(address, length, prot);
	uint64_t how[] = {(uint64_t)(uintptr_t)address, length, (uint64_t)(unsigned)prot};
	struct rec r;
	rec_begin(&r, VRR_OP_MPROTECT, -1, m->entry, (uint64_t)(uintptr_t)address, length,
		  (uint32_t)rec_size(sizeof how));
	rec_chunk(&r, VRR_WHERE_ARRAY, VRR_PHASE_IN, how, sizeof how, sizeof how);
	rec_enter(&r, 0);
	int ret = trap_on && trap_protect(address, length, prot) ? 0 : REAL(mprotect)(address, length, prot);
	rec_leave(&r, rec_result(ret));
	if (ret == 0 && prot != PROT_NONE && __atomic_exchange_n(&m->untold, false, __ATOMIC_RELAXED))
		ring_lost(VRR_LOSS_MAPPED, 1);
	rec_end(&r, 0);
	return ret;
}
