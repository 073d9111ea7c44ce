#include "dma.h"

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "fds.h"
#include "guard.h"
#include "mappings.h"
#include "real.h"
#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

#define PAGE	4096
#define SMALL	(2u << 20) /* mappings up to it are looked at first: rings and buffers before a guest's memory */
#define PROBES	8
#define WINDOWS 64

bool dma_on, writes_looked_at;

/* What was kept last of a page. A page without an entry holds zeros, or was never kept. */
struct kept {
	uint64_t key, hash; /* key 0: free */
};
static struct kept *table;
static uint64_t table_size; /* a power of two */
static uint64_t limit, hash_of_zeros;

/* Writes that are points to look: ranges of device files. */
struct window {
	uint32_t handle; /* 0: free */
	int point;
	uint64_t start, end;
};
static struct window windows[WINDOWS];
static unsigned windows_used;

void dma_start(void)
{
	static const char zeros[PAGE];

	if (ring->dma == VRR_DMA_NONE)
		return;
	limit = ring->dma_limit;
	table_size = 1024;
	while (table_size < limit / PAGE * 4 && table_size < (uint64_t)1 << 32)
		table_size *= 2;
	void *got = REAL(mmap64)(NULL, table_size * sizeof *table, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (got == MAP_FAILED) {
		ring_lost(VRR_LOSS_DMA_LIMIT, 1);
		return;
	}
	madvise(got, table_size * sizeof *table, MADV_DONTDUMP);
	table = got;
	hash_of_zeros = XXH3_64bits(zeros, sizeof zeros);
	dma_on = true;
}

/* One for each page of each mapping, never 0: 36 bits of page number, then the mapping's serial. */
static uint64_t key_of(uint32_t serial, uintptr_t page)
{
	return (uint64_t)serial << 36 | (page / PAGE & 0xfffffffff);
}

static struct kept *home(uint64_t key, unsigned probe)
{
	return &table[((key * 0x9e3779b97f4a7c15u >> 24) + probe) & (table_size - 1)];
}

/* The page's entry; else a free one, or one that gives way. */
static struct kept *entry_of(uint64_t key)
{
	struct kept *free_one = NULL;
	for (unsigned i = 0; i < PROBES; i++) {
		struct kept *k = home(key, i);
		uint64_t found = __atomic_load_n(&k->key, __ATOMIC_RELAXED);
		if (found == key)
			return k;
		if (!found && !free_one)
			free_one = k;
	}
	return free_one ? free_one : home(key, 0);
}

static bool note(const struct pinned *p, uintptr_t page, size_t n, const char *bytes, int point)
{
	struct rec r;
	rec_begin(&r, VRR_OP_DMA, -1, p->entry, p->iova + (page - p->start), n, (uint32_t)rec_size(n));
	if (!r.record)
		return false;
	rec_chunk(&r, VRR_WHERE_ARG, VRR_PHASE_OUT, bytes, n, n);
	rec_enter(&r, 0);
	rec_leave(&r, point);
	rec_end(&r, 0);
	return true;
}

static void look_at(const struct pinned *p, uintptr_t page, size_t n, int point)
{
	/* A copy: the device may write meanwhile, and what is kept is to be what was hashed. */
	_Alignas(64) char bytes[PAGE];
	if (guard_copy(bytes, (const void *)page, n)) {
		ring_lost(VRR_LOSS_DMA_GONE, 1);
		return;
	}
	uint64_t key = key_of(p->serial, page), hash = XXH3_64bits(bytes, n);
	struct kept *k = entry_of(key);
	bool known = __atomic_load_n(&k->key, __ATOMIC_RELAXED) == key;
	if (hash == (known ? __atomic_load_n(&k->hash, __ATOMIC_RELAXED) : hash_of_zeros) ||
	    !note(p, page, n, bytes, point))
		return;
	__atomic_store_n(&k->hash, hash, __ATOMIC_RELAXED);
	__atomic_store_n(&k->key, key, __ATOMIC_RELAXED);
}

/* The part of a mapping that [iova, +size) covers; the rest of the budget. */
static uint64_t look_within(const struct pinned *p, uint64_t iova, uint64_t size, int point, uint64_t budget)
{
	uint64_t length = p->end - p->start, skip = iova > p->iova ? iova - p->iova : 0;
	if (skip >= length || (p->iova > iova && p->iova - iova >= size))
		return budget;
	uint64_t last = size - 1 > UINT64_MAX - iova ? UINT64_MAX : iova + size - 1;
	uintptr_t from = p->start + skip, to = last - p->iova >= length ? p->end : p->start + (last - p->iova) + 1;
	for (uintptr_t at = from; at < to;) {
		size_t n = PAGE - at % PAGE;
		if (n > to - at)
			n = to - at;
		if (budget < n) {
			ring_lost(VRR_LOSS_DMA_LIMIT, (to - at + PAGE - 1) / PAGE);
			return budget;
		}
		look_at(p, at, n, point);
		budget -= n;
		at += n;
	}
	return budget;
}

/* handle 0: of any container or iommufd. */
static void look(int point, uint32_t handle, uint64_t iova, uint64_t size)
{
	if (!size || __atomic_load_n(&ring->recording, __ATOMIC_RELAXED) != VRR_RECORDING_ON)
		return;
	int saved = errno;
	uint64_t budget = limit;
	for (int big = 0; big < 2; big++) {
		struct pinned p;
		for (unsigned at = 0; mappings_pinned(&at, &p);)
			if ((p.end - p.start > SMALL) == big && (!handle || fds_handle(p.entry) == handle))
				budget = look_within(&p, iova, size, point, budget);
	}
	errno = saved;
}

void dma_look(int point)
{
	look(point, 0, 0, UINT64_MAX);
}

void dma_before(const struct capture *c, uint32_t entry, unsigned long request)
{
	uint32_t kind = fds_kind(entry);
	union {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct iommu_ioas_unmap ioas_unmap;
	} u;
	if (kind == VRR_KIND_CONTAINER || kind == VRR_KIND_IOMMUFD) {
		if (request == VFIO_IOMMU_UNMAP_DMA && capture_field(c, 0, &u.unmap, sizeof u.unmap)) {
			bool all = u.unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL;
			look(VRR_DMA_AT_UNMAP, fds_handle(entry), all ? 0 : u.unmap.iova,
			     all ? UINT64_MAX : u.unmap.size);
		} else if (request == IOMMU_IOAS_UNMAP && capture_field(c, 0, &u.ioas_unmap, sizeof u.ioas_unmap)) {
			look(VRR_DMA_AT_UNMAP, fds_handle(entry), u.ioas_unmap.iova, u.ioas_unmap.length);
		}
	} else if (kind == VRR_KIND_DEVICE && request == VFIO_DEVICE_FEATURE && c->flags & VFIO_DEVICE_FEATURE_SET &&
		   !(c->flags & VFIO_DEVICE_FEATURE_PROBE) &&
		   (c->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE) {
		dma_look(VRR_DMA_AT_MIGRATION);
	}
}

/* ---- doorbells ---- */

static void watch(uint32_t handle, int point, uint64_t start, uint64_t size)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		struct window *w = &windows[i];
		uint32_t none = 0;
		if (__atomic_load_n(&w->handle, __ATOMIC_ACQUIRE) == handle && w->start == start)
			return;
		if (!__atomic_compare_exchange_n(&w->handle, &none, UINT32_MAX, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
			continue;
		w->point = point;
		w->start = start;
		w->end = start + size;
		__atomic_store_n(&w->handle, handle, __ATOMIC_RELEASE);
		unsigned used = __atomic_load_n(&windows_used, __ATOMIC_RELAXED);
		while (used <= i && !__atomic_compare_exchange_n(&windows_used, &used, i + 1, true, __ATOMIC_RELEASE,
								 __ATOMIC_RELAXED))
			;
		__atomic_store_n(&writes_looked_at, true, __ATOMIC_RELAXED);
		return;
	}
}

static bool is_migration(const struct capture *c, uint32_t at)
{
	struct vfio_region_info_cap_type type;
	for (int i = 0; i < 64 && at >= sizeof(struct vfio_region_info); i++) {
		if (!capture_field(c, at, &type.header, sizeof type.header))
			return false;
		if (type.header.id == VFIO_REGION_INFO_CAP_TYPE && capture_field(c, at, &type, sizeof type))
			return type.type == VRR_REGION_MIGRATION_TYPE && type.subtype == VRR_REGION_MIGRATION_SUBTYPE;
		at = type.header.next;
	}
	return false;
}

void dma_region(const struct capture *c, uint32_t entry)
{
	struct vfio_region_info info;
	if (!capture_field(c, 0, &info, sizeof info))
		return;
	for (unsigned i = 0; i < ring->doorbells && i < VRR_DOORBELLS_MAX; i++)
		if (ring->doorbell_region[i] == info.index && ring->doorbell_offset[i] < info.size)
			watch(fds_handle(entry), VRR_DMA_AT_DOORBELL, info.offset + ring->doorbell_offset[i],
			      ring->doorbell_size[i]);
	if (info.flags & VFIO_REGION_INFO_FLAG_CAPS && is_migration(c, info.cap_offset))
		watch(fds_handle(entry), VRR_DMA_AT_MIGRATION, info.offset, sizeof(uint32_t)); /* device_state */
}

void dma_written(uint32_t entry, uint64_t at, size_t n)
{
	unsigned used = __atomic_load_n(&windows_used, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < used; i++) {
		const struct window *w = &windows[i];
		if (__atomic_load_n(&w->handle, __ATOMIC_ACQUIRE) == fds_handle(entry) && at < w->end &&
		    w->start < at + n) {
			dma_look(w->point);
			return;
		}
	}
}

void dma_forget(uint32_t serial, uintptr_t start, uintptr_t end)
{
	if ((end - start) / PAGE > table_size / PROBES) {
		for (uint64_t i = 0; i < table_size; i++)
			if (table[i].key >> 36 == serial)
				__atomic_store_n(&table[i].key, 0, __ATOMIC_RELAXED);
		return;
	}
	for (uintptr_t page = start & ~(uintptr_t)(PAGE - 1); page < end; page += PAGE) {
		uint64_t key = key_of(serial, page);
		struct kept *k = entry_of(key);
		__atomic_compare_exchange_n(&k->key, &key, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	}
}
