#include "fds.h"

#include "guard.h"
#include "process.h"
#include "real.h"
#include "ring.h"
#include "vfork.h"

uint32_t fds[FDS_MAX];
int fds_top = -1;

void fds_set(int fd, uint32_t entry)
{
	if (fd < 0)
		return;
	if (unlikely(vfork_on) && vfork_child()) {
		vfork_set(fd, entry);
		return;
	}
	if (fd >= FDS_MAX) {
		if (entry)
			ring_lost(VRR_LOSS_FD_RANGE, 1);
		return;
	}
	int top = __atomic_load_n(&fds_top, __ATOMIC_RELAXED);
	while (entry && fd > top &&
	       !__atomic_compare_exchange_n(&fds_top, &top, fd, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	__atomic_store_n(&fds[fd], entry, __ATOMIC_RELEASE);
}

uint32_t fds_take(int fd)
{
	if ((unsigned)fd >= FDS_MAX || !fds_get(fd))
		return 0;
	if (unlikely(vfork_on) && vfork_child())
		return vfork_take(fd);
	return __atomic_exchange_n(&fds[fd], 0, __ATOMIC_ACQ_REL);
}

uint32_t fds_make(int fd, uint32_t kind)
{
	uint32_t handle = ring_handle();
	uint32_t entry = handle ? fds_entry(kind, handle) : 0;
	fds_set(fd, entry);
	return entry;
}

void fds_arm(int fd)
{
	uint32_t entry = fds_get(fd);
	if (fd < 0 || fds_kind(entry) == VRR_KIND_EVENTFD)
		return;
	if (!entry) {
		entry = fds_make(fd, VRR_KIND_EVENTFD);
		fds_attach(fd, entry, NULL, VRR_FLAG_INFERRED);
		return;
	}
	uint32_t armed = fds_entry(VRR_KIND_EVENTFD, fds_handle(entry));
	if (fds_kind(entry) == FD_CANDIDATE) {
		fds_set(fd, armed);
		fds_attach(fd, armed, NULL, VRR_FLAG_INFERRED);
	} else if (fds_kind(entry) == FD_QUIET) {
		for (int i = 0, top = __atomic_load_n(&fds_top, __ATOMIC_RELAXED); i <= top; i++) {
			uint32_t e = entry;
			__atomic_compare_exchange_n(&fds[i], &e, armed, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		}
	}
}

static bool starts(const char *text, const char *with)
{
	while (*with)
		if (*text++ != *with++)
			return false;
	return true;
}

uint32_t fds_kind_of_path(const char *path)
{
#define PATH(prefix, exact, kind)                                           \
	if (starts(path, prefix) && (!(exact) || !path[sizeof prefix - 1])) \
		return kind;
	VRR_PATHS(PATH)
#undef PATH
	return 0;
}

uint32_t fds_kind_of_link(const char *target)
{
	static const char anonymous[] = "anon_inode:";
	if (starts(target, anonymous)) {
		const char *name = target + sizeof anonymous - 1;
#define ANON(is, kind)         \
	if (!strcmp(name, is)) \
		return kind;
		VRR_ANON_INODES(ANON)
#undef ANON
		return 0;
	}
	return fds_kind_of_path(target);
}

void fds_attach(int fd, uint32_t entry, const char *target, int flags)
{
	rec_note(VRR_OP_ATTACH, fd, entry, 0, 0, 0, fds_value(entry), flags, target);
}

/* The kind that has this request. Where several have (0x3b70 to 0x3b75), the one of an x86 host's more frequent call:
 * MAP_DMA and its like on a container, FEATURE and IOEVENTFD on a device; sPAPR's readings are left out. */
static uint32_t kind_of_request(unsigned long request, bool *certain)
{
	unsigned nr = request & 0xff;
	*certain = nr < 0x70 || nr > 0x75;
	if (nr >= 0x64 && nr <= 0x66)
		return VRR_KIND_CONTAINER;
	if (nr >= 0x67 && nr <= 0x6a)
		return VRR_KIND_GROUP;
	if (nr >= 0x6b && nr <= 0x6f)
		return VRR_KIND_DEVICE;
	if (nr >= 0x70 && nr <= 0x72)
		return VRR_KIND_CONTAINER;
	if (nr >= 0x73 && nr <= 0x78)
		return VRR_KIND_DEVICE;
	if (nr == 0x79)
		return VRR_KIND_DATA;
	if (nr >= 0x80 && nr <= 0x94)
		return VRR_KIND_IOMMUFD;
	return 0;
}

uint32_t fds_look(int fd, uint32_t entry, unsigned long request)
{
	bool inferred;
	return fds_judge(fd, entry, request, &inferred);
}

uint32_t fds_judge(int fd, uint32_t entry, unsigned long request, bool *inferred)
{
	*inferred = false;
	if (!ring || (unsigned)fd >= FDS_MAX)
		return 0;
	char target[256];
	uint32_t kind = 0, handle = fds_handle(entry);
	bool certain = true, looked = process_link(fd, target);
	int flags = 0;
	if (looked)
		kind = fds_kind_of_link(target);
	else if (process_filtered)
		looked = false;
	else
		return 0; /* not open */
	if (!kind && request) {
		kind = kind_of_request(request, &certain);
		flags = VRR_FLAG_INFERRED;
		*inferred = true;
	}
	if (!kind) {
		if (request)
			ring_lost(VRR_LOSS_KIND_UNKNOWN, 1);
		return request ? fds_entry(VRR_KIND_UNKNOWN, handle) : 0;
	}
	if (!handle)
		handle = ring_handle();
	/* An eventfd from elsewhere may have been given to a device there: recorded at once. */
	uint32_t found = fds_entry(kind, handle);
	fds_set(fd, certain ? found : fds_entry(FD_CANDIDATE, handle));
	fds_attach(fd, found, looked ? target : NULL, flags);
	return found;
}

uint32_t fds_receive(int fd)
{
	if ((unsigned)fd >= FDS_MAX)
		return 0;
	fds_set(fd, 0);
	return process_filtered ? fds_make(fd, FD_CANDIDATE) : fds_look(fd, 0, 0);
}

void fds_scan(void)
{
	struct entry {
		uint64_t ino, off;
		uint16_t size;
		uint8_t type;
		char name[];
	};
	int dir = REAL(open64)("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return;
	_Alignas(8) char buffer[4096];
	long n;
	while ((n = REAL(syscall)(SYS_getdents64, dir, buffer, sizeof buffer)) > 0)
		for (long at = 0; at < n;) {
			const struct entry *e = (const void *)(buffer + at);
			at += e->size;
			int fd = 0;
			const char *c = e->name;
			while (*c >= '0' && *c <= '9' && fd < FDS_MAX)
				fd = fd * 10 + (*c++ - '0');
			if (c != e->name && !*c && fd != dir)
				fds_look(fd, 0, 0);
		}
	REAL(close)(dir);
}
