/* Calls that make, copy and end descriptors. */
#include "fds.h"
#include "guard.h"
#include "real.h"
#include "ring.h"

#define PATH_KEPT 256

/* ---- open ---- */

enum form { OPEN, OPENAT, CREAT };

static int call_open(enum form form, int dir, const char *path, int flags, mode_t mode)
{
	if (form == CREAT)
		return REAL(creat64)(path, mode);
	return form == OPEN ? REAL(open64)(path, flags, mode) : REAL(openat64)(dir, path, flags, mode);
}

static int opened(enum form form, int dir, const char *path, int flags, mode_t mode)
{
	char copy[PATH_KEPT];
	uint32_t kind = 0;
	ssize_t length = ring ? guard_string(copy, path, sizeof copy) : -1;
	if (length > 0)
		kind = fds_kind_of_path(copy);
	if (likely(!kind)) {
		int fd = call_open(form, dir, path, flags, mode);
		if (unlikely(fds_get(fd)))
			fds_take(fd); /* its number was freed where we do not see it, by fclose() for one */
		return fd;
	}
	struct rec r;
	rec_begin(&r, VRR_OP_OPEN, -1, 0, (uint64_t)(unsigned)flags, mode, (uint32_t)rec_size((size_t)length));
	rec_chunk(&r, VRR_WHERE_PATH, VRR_PHASE_IN, copy, (size_t)length, (size_t)length);
	rec_enter(&r, 0);
	int fd = call_open(form, dir, path, flags, mode);
	rec_leave(&r, rec_result(fd));
	uint64_t value = fd >= 0 ? fds_value(fds_make(fd, kind)) : 0;
	if (r.record)
		r.record->fd = fd;
	rec_end(&r, value);
	return fd;
}

#define MODE_OF(last)                                              \
	mode_t mode = 0;                                           \
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
		va_list list;                                      \
		va_start(list, last);                              \
		mode = va_arg(list, mode_t);                       \
		va_end(list);                                      \
	}

int open64(const char *path, int flags, ...)
{
	MODE_OF(flags)
	return opened(OPEN, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	MODE_OF(flags)
	return opened(OPEN, AT_FDCWD, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags)
	return opened(OPENAT, dir, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags)
	return opened(OPENAT, dir, path, flags, mode);
}

/* The fortified forms end the program when a mode is missing: libc's business. */
static bool wants_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

int __open64_2(const char *path, int flags)
{
	return wants_mode(flags) ? REAL(__open64_2)(path, flags) : opened(OPEN, AT_FDCWD, path, flags, 0);
}

int __open_2(const char *path, int flags)
{
	return __open64_2(path, flags);
}

int __openat64_2(int dir, const char *path, int flags)
{
	return wants_mode(flags) ? REAL(__openat64_2)(dir, path, flags) : opened(OPENAT, dir, path, flags, 0);
}

int __openat_2(int dir, const char *path, int flags)
{
	return __openat64_2(dir, path, flags);
}

int creat64(const char *path, mode_t mode)
{
	return opened(CREAT, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat(const char *path, mode_t mode)
{
	return creat64(path, mode);
}

int eventfd(unsigned count, int flags)
{
	if (!ring)
		return REAL(eventfd)(count, flags);
	struct rec r;
	rec_begin(&r, VRR_OP_EVENTFD, -1, 0, count, (uint64_t)(unsigned)flags, 0);
	rec_enter(&r, 0);
	int fd = REAL(eventfd)(count, flags);
	rec_leave(&r, rec_result(fd));
	uint64_t value = fd >= 0 ? fds_value(fds_make(fd, FD_QUIET)) : 0;
	if (r.record)
		r.record->fd = fd;
	rec_end(&r, value);
	return fd;
}

/* ---- close ---- */

int close(int fd)
{
	uint32_t entry = fds_take(fd);
	if (likely(!fds_handle(entry)))
		return REAL(close)(fd);
	struct rec r;
	rec_begin(&r, VRR_OP_CLOSE, fd, entry, 0, 0, 0);
	rec_enter(&r, 0);
	int ret = REAL(close)(fd);
	rec_leave(&r, rec_result(ret));
	rec_end(&r, 0);
	return ret;
}

static void close_all(unsigned first, unsigned last)
{
	int top = __atomic_load_n(&fds_top, __ATOMIC_RELAXED);
	for (unsigned fd = first; fd <= last && top >= 0 && fd <= (unsigned)top; fd++) {
		uint32_t entry = fds_take((int)fd);
		if (fds_handle(entry))
			rec_note(VRR_OP_CLOSE, (int)fd, entry, 1, 0, 0, 0, 0, NULL);
	}
}

int close_range(unsigned first, unsigned last, int flags)
{
	if (ring && first <= last && !(flags & ~1 /* CLOSE_RANGE_UNSHARE */))
		close_all(first, last);
	return REAL(close_range)(first, last, flags);
}

void closefrom(int first)
{
	if (ring)
		close_all(first > 0 ? (unsigned)first : 0, UINT32_MAX);
	REAL(closefrom)(first);
}

/* ---- copies ---- */

/* One of the four ways to copy; to: the wanted number, -1 any. */
enum copy { DUP, DUP2, DUP3, DUPFD };

static int call_dup(enum copy how, int fd, int to, int flags)
{
	switch (how) {
	case DUP:
		return REAL(dup)(fd);
	case DUP2:
		return REAL(dup2)(fd, to);
	case DUP3:
		return REAL(dup3)(fd, to, flags);
	default:
		return REAL(fcntl64)(fd, flags, to);
	}
}

static int copied(enum copy how, int fd, int to, int flags)
{
	uint32_t entry = fds_get(fd);
	bool placed = (how == DUP2 || how == DUP3) && to != fd;
	if (likely(!entry) && !(placed && fds_get(to)))
		return call_dup(how, fd, to, flags);
	if (!placed && how != DUP && how != DUPFD)
		return call_dup(how, fd, to, flags);
	struct rec r;
	uint32_t replaced = placed ? fds_take(to) : 0;
	r.record = NULL;
	if (fds_handle(entry) || fds_handle(replaced))
		rec_begin(&r, VRR_OP_DUP, fd, entry, (uint64_t)(int64_t)to, (uint64_t)flags, 0);
	rec_enter(&r, 0);
	int ret = call_dup(how, fd, to, flags);
	rec_leave(&r, rec_result(ret));
	if (ret >= 0)
		fds_set(ret, entry);
	else if (replaced)
		fds_set(to, replaced);
	rec_end(&r, 0);
	return ret;
}

int dup(int fd)
{
	return copied(DUP, fd, -1, 0);
}

int dup2(int fd, int to)
{
	return copied(DUP2, fd, to, 0);
}

int dup3(int fd, int to, int flags)
{
	return copied(DUP3, fd, to, flags);
}

int fcntl64(int fd, int command, ...)
{
	va_list list;
	va_start(list, command);
	void *argument = va_arg(list, void *);
	va_end(list);
	uint32_t entry = fds_get(fd);
	if (likely(!entry))
		return REAL(fcntl64)(fd, command, argument);
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return copied(DUPFD, fd, (int)(intptr_t)argument, command);
	if (!fds_recorded(entry))
		return REAL(fcntl64)(fd, command, argument);
	struct rec r;
	rec_begin(&r, VRR_OP_FCNTL, fd, entry, (uint64_t)(unsigned)command, (uint64_t)(uintptr_t)argument, 0);
	rec_enter(&r, 0);
	int ret = REAL(fcntl64)(fd, command, argument);
	rec_leave(&r, rec_result(ret));
	rec_end(&r, 0);
	return ret;
}

int fcntl(int fd, int command, ...)
{
	va_list list;
	va_start(list, command);
	void *argument = va_arg(list, void *);
	va_end(list);
	return fcntl64(fd, command, argument);
}
