/* The calls that reach VFIO descriptors. Each hook asks the server if the descriptor is played, else goes on. */
#define _GNU_SOURCE
#include "play.h"
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

DECLARE_NEXT(ioctl);
DECLARE_NEXT(close);
DECLARE_NEXT(open64);
DECLARE_NEXT(mmap);
DECLARE_NEXT(fcntl64);
DECLARE_NEXT(recvmsg);
DECLARE_NEXT(sendmsg);
DECLARE_NEXT(dup);
DECLARE_NEXT(dup2);
DECLARE_NEXT(dup3);
DECLARE_NEXT(close_range);

/* The kernel takes a reference to each eventfd of a SET_IRQS, so hold them before the server can signal one. */
static void hold_eventfds(const void *arg)
{
	struct vfio_irq_set set;
	int32_t fds[256];
	if (!play_copy(&set, arg, sizeof(set)) || !(set.flags & VFIO_IRQ_SET_DATA_EVENTFD) || set.count == 0)
		return;
	if (set.count > 256)
		set.count = 256;
	if (!play_copy(fds, (const char *)arg + sizeof(set), set.count * sizeof(int32_t)))
		return;
	for (uint32_t i = 0; i < set.count; i++)
		if (fds[i] >= 0)
			play_hold(fds[i]);
	play_listen();
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct played p = play_of(fd);
	struct play_answer answer;
	struct play_request q = {.op = VRR_PLAY_OP_IOCTL, .handle = p.handle, .fd = fd, .a = (uint32_t)request};
	va_list list;
	void *arg;
	va_start(list, request);
	arg = va_arg(list, void *);
	va_end(list);
	if (!p.handle)
		return NEXT(ioctl)(fd, request, arg);
	q.b = (uintptr_t)arg;
	if (p.kind == VRR_KIND_DEVICE && q.a == VFIO_DEVICE_SET_IRQS)
		hold_eventfds(arg);
	play_ask(&q, NULL, 0, &answer);
	return (int)play_result(answer.reply.ret);
}

int play_open(const char *path, int flags, unsigned mode)
{
	struct play_request q = {.op = VRR_PLAY_OP_OPEN, .fd = -1, .a = (uint32_t)flags, .b = mode};
	struct play_answer answer;
	play_ask_making(&q, path, strlen(path) + 1, &answer, flags);
	return (int)play_result(answer.reply.ret);
}

static ssize_t get(struct played p, int fd, void *buf, size_t length, int op, off64_t offset)
{
	struct play_request q = {.op = (uint16_t)op, .handle = p.handle, .fd = fd};
	struct play_answer answer;
	q.a = (uint64_t)offset;
	q.b = length;
	q.c = (uintptr_t)buf;
	play_ask(&q, NULL, 0, &answer);
	if (answer.reply.ret > 0 && answer.reply.length && !play_copy(buf, answer.data, answer.reply.length))
		answer.reply.ret = -EFAULT;
	return play_result(answer.reply.ret);
}

static ssize_t put(struct played p, int fd, const void *buf, size_t length, int op, off64_t offset)
{
	struct play_request q = {.op = (uint16_t)op, .handle = p.handle, .fd = fd};
	struct play_answer answer;
	char bytes[VRR_PLAY_INLINE_MAX];
	size_t along = length <= sizeof(bytes) ? length : 0;
	q.a = (uint64_t)offset;
	q.b = length;
	q.c = (uintptr_t)buf;
	if (along && !play_copy(bytes, buf, along))
		return play_result(-EFAULT);
	play_ask(&q, bytes, along, &answer);
	return play_result(answer.reply.ret);
}

static int64_t nonblock(int fd)
{
	return NEXT(fcntl64)(fd, F_GETFL) & O_NONBLOCK;
}

/* What a vector call moved: as the kernel does for files without read_iter, one element after the other. */
static ssize_t vector(int fd, struct played p, const struct iovec *iov, int count, int op, off64_t offset)
{
	bool reads = op == VRR_PLAY_OP_READ || op == VRR_PLAY_OP_PREAD;
	bool placed = op == VRR_PLAY_OP_PREAD || op == VRR_PLAY_OP_PWRITE;
	ssize_t total = 0;
	if (count < 0 || count > IOV_MAX)
		return play_result(-EINVAL);
	for (int i = 0; i < count; i++) {
		struct iovec v;
		ssize_t n;
		if (!play_copy(&v, iov + i, sizeof(v)))
			return total ? total : play_result(-EFAULT);
		if (v.iov_len == 0)
			continue;
		n = reads ? get(p, fd, v.iov_base, v.iov_len, op, placed ? offset + total : offset)
			  : put(p, fd, v.iov_base, v.iov_len, op, placed ? offset + total : offset);
		if (n < 0)
			return total ? total : n;
		total += n;
		if ((size_t)n < v.iov_len)
			break;
	}
	return total;
}

#define PLAYED_READ(fd) struct played p = play_of(fd)
#define HOOK_READ(name)                                                                                        \
	DECLARE_NEXT(name);                                                                                    \
	EXPORT ssize_t name(int fd, void *buf, size_t n)                                                       \
	{                                                                                                      \
		PLAYED_READ(fd);                                                                               \
		return p.handle ? get(p, fd, buf, n, VRR_PLAY_OP_READ, nonblock(fd)) : NEXT(name)(fd, buf, n); \
	}
#define HOOK_PREAD(name, off)                                                                             \
	DECLARE_NEXT(name);                                                                               \
	EXPORT ssize_t name(int fd, void *buf, size_t n, off at)                                          \
	{                                                                                                 \
		PLAYED_READ(fd);                                                                          \
		return p.handle ? get(p, fd, buf, n, VRR_PLAY_OP_PREAD, at) : NEXT(name)(fd, buf, n, at); \
	}
#define HOOK_WRITE(name)                                                                                        \
	DECLARE_NEXT(name);                                                                                     \
	EXPORT ssize_t name(int fd, const void *buf, size_t n)                                                  \
	{                                                                                                       \
		PLAYED_READ(fd);                                                                                \
		return p.handle ? put(p, fd, buf, n, VRR_PLAY_OP_WRITE, nonblock(fd)) : NEXT(name)(fd, buf, n); \
	}
#define HOOK_PWRITE(name, off)                                                                             \
	DECLARE_NEXT(name);                                                                                \
	EXPORT ssize_t name(int fd, const void *buf, size_t n, off at)                                     \
	{                                                                                                  \
		PLAYED_READ(fd);                                                                           \
		return p.handle ? put(p, fd, buf, n, VRR_PLAY_OP_PWRITE, at) : NEXT(name)(fd, buf, n, at); \
	}
#define HOOK_VECTOR(name, op)                                                                               \
	DECLARE_NEXT(name);                                                                                 \
	EXPORT ssize_t name(int fd, const struct iovec *iov, int count)                                     \
	{                                                                                                   \
		PLAYED_READ(fd);                                                                            \
		return p.handle ? vector(fd, p, iov, count, op, nonblock(fd)) : NEXT(name)(fd, iov, count); \
	}
#define HOOK_PVECTOR(name, op, off)                                                                   \
	DECLARE_NEXT(name);                                                                           \
	EXPORT ssize_t name(int fd, const struct iovec *iov, int count, off at)                       \
	{                                                                                             \
		PLAYED_READ(fd);                                                                      \
		return p.handle ? vector(fd, p, iov, count, op, at) : NEXT(name)(fd, iov, count, at); \
	}

HOOK_READ(read)
HOOK_WRITE(write)
HOOK_PREAD(pread, off_t)
HOOK_PREAD(pread64, off64_t)
HOOK_PWRITE(pwrite, off_t)
HOOK_PWRITE(pwrite64, off64_t)
HOOK_VECTOR(readv, VRR_PLAY_OP_READ)
HOOK_VECTOR(writev, VRR_PLAY_OP_WRITE)
HOOK_PVECTOR(preadv, VRR_PLAY_OP_PREAD, off_t)
HOOK_PVECTOR(preadv64, VRR_PLAY_OP_PREAD, off64_t)
HOOK_PVECTOR(pwritev, VRR_PLAY_OP_PWRITE, off_t)
HOOK_PVECTOR(pwritev64, VRR_PLAY_OP_PWRITE, off64_t)

/* The checked forms that _FORTIFY_SOURCE makes of the above; libc has no prototypes for them in public headers. */
ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t room);
DECLARE_NEXT(__read_chk);
DECLARE_NEXT(__pread_chk);
DECLARE_NEXT(__pread64_chk);
EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t room)
{
	struct played p = play_of(fd);
	return p.handle && n <= room ? get(p, fd, buf, n, VRR_PLAY_OP_READ, nonblock(fd))
				     : NEXT(__read_chk)(fd, buf, n, room);
}
EXPORT ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t room)
{
	struct played p = play_of(fd);
	return p.handle && n <= room ? get(p, fd, buf, n, VRR_PLAY_OP_PREAD, at)
				     : NEXT(__pread_chk)(fd, buf, n, at, room);
}
EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t room)
{
	struct played p = play_of(fd);
	return p.handle && n <= room ? get(p, fd, buf, n, VRR_PLAY_OP_PREAD, at)
				     : NEXT(__pread64_chk)(fd, buf, n, at, room);
}

#define HOOK_PVECTOR2(name, op, off)                                                                         \
	DECLARE_NEXT(name);                                                                                  \
	EXPORT ssize_t name(int fd, const struct iovec *iov, int count, off at, int flags)                   \
	{                                                                                                    \
		PLAYED_READ(fd);                                                                             \
		return p.handle ? vector(fd, p, iov, count, op, at) : NEXT(name)(fd, iov, count, at, flags); \
	}
HOOK_PVECTOR2(preadv2, VRR_PLAY_OP_PREAD, off_t)
HOOK_PVECTOR2(preadv64v2, VRR_PLAY_OP_PREAD, off64_t)
HOOK_PVECTOR2(pwritev2, VRR_PLAY_OP_PWRITE, off_t)
HOOK_PVECTOR2(pwritev64v2, VRR_PLAY_OP_PWRITE, off64_t)

/* The server says whether the range may be mapped, and which file holds its bytes. */
static void *map_played(struct played p, void *addr, size_t length, int prot, int flags, int fd, off64_t at)
{
	struct play_request q = {.op = VRR_PLAY_OP_MMAP, .handle = p.handle, .fd = fd};
	struct play_answer answer;
	char path[PATH_MAX];
	void *mapped;
	int ram, saved;
	q.a = (uint64_t)at;
	q.b = length;
	q.c = (uint32_t)prot | (uint64_t)(uint32_t)flags << 32;
	play_ask(&q, NULL, 0, &answer);
	if (play_result(answer.reply.ret) < 0)
		return MAP_FAILED;
	if (answer.reply.flags & VRR_PLAY_FLAG_TRAP)
		return play_trap(addr, length, prot, flags, p, fd, (uint64_t)at);
	snprintf(path, sizeof(path), "%s/ram/%u", play_dir, answer.reply.handle);
	ram = NEXT(open64)(path, O_RDWR | O_CLOEXEC);
	if (ram < 0)
		return MAP_FAILED;
	mapped = NEXT(mmap)(addr, length, prot, flags, ram, answer.reply.ret);
	saved = errno;
	NEXT(close)(ram);
	errno = saved;
	return mapped;
}

EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t at)
{
	struct played p = {0, 0};
	if (!(flags & MAP_ANONYMOUS))
		p = play_of(fd);
	if (flags & MAP_FIXED)
		play_untrap(addr, length);
	return p.handle ? map_played(p, addr, length, prot, flags, fd, at)
			: NEXT(mmap)(addr, length, prot, flags, fd, at);
}
EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t at)
{
	return mmap(addr, length, prot, flags, fd, at);
}

EXPORT int close(int fd)
{
	struct played p = play_of(fd);
	int ret;
	if (play_owns(fd))
		return (int)play_result(-EBADF);
	if (p.handle)
		play_set(fd, (struct played){0, 0});
	ret = NEXT(close)(fd);
	if (p.handle)
		play_closed(fd, p);
	return ret;
}

/* After the descriptors from `first` to `last` are gone. */
static void closed_range(unsigned first, unsigned last)
{
	for (unsigned fd = first; fd <= last && fd < PLAY_FD_MAX; fd++) {
		struct played p = play_of((int)fd);
		if (!p.handle)
			continue;
		play_set((int)fd, (struct played){0, 0});
		play_closed((int)fd, p);
	}
}
/* Runs between the transport's own descriptors. */
EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	unsigned from = first, at;
	int ret = 0;
	if (!play_on() || (flags & CLOSE_RANGE_CLOEXEC) || first > last)
		return NEXT(close_range)(first, last, flags);
	for (at = first; at <= last && at < PLAY_FD_MAX; at++) {
		if (!play_owns((int)at))
			continue;
		if (at > from)
			ret = NEXT(close_range)(from, at - 1, flags);
		from = at + 1;
	}
	if (from <= last)
		ret = NEXT(close_range)(from, last, flags);
	closed_range(first, last);
	return ret;
}
EXPORT void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned)first, UINT_MAX, 0);
}

static int copied(int from, int to)
{
	struct played p = play_of(from);
	if (to >= 0)
		play_set(to, p.handle ? p : (struct played){0, 0});
	return to;
}
/* A duplicate onto a played descriptor closes that one. */
static int replaced(int from, int onto, int to)
{
	struct played old = play_of(onto);
	if (to < 0 || from == onto)
		return to;
	copied(from, to);
	if (old.handle)
		play_closed(onto, old);
	return to;
}
EXPORT int dup(int fd)
{
	return copied(fd, NEXT(dup)(fd));
}
EXPORT int dup2(int fd, int onto)
{
	if (play_owns(onto))
		return (int)play_result(-EBADF);
	return replaced(fd, onto, NEXT(dup2)(fd, onto));
}
EXPORT int dup3(int fd, int onto, int flags)
{
	if (play_owns(onto))
		return (int)play_result(-EBADF);
	return replaced(fd, onto, NEXT(dup3)(fd, onto, flags));
}
EXPORT int fcntl64(int fd, int command, ...)
{
	va_list list;
	void *arg;
	int ret;
	va_start(list, command);
	arg = va_arg(list, void *);
	va_end(list);
	ret = NEXT(fcntl64)(fd, command, arg);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, ret) : ret;
}
EXPORT int fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));

static void each_passed(const struct msghdr *m, void (*act)(int fd))
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			act(fd);
		}
	}
}
static void sent(int fd)
{
	struct played p = play_of(fd);
	struct play_request q = {.op = VRR_PLAY_OP_SENT, .handle = p.handle, .fd = fd};
	struct play_answer answer;
	if (p.handle)
		play_ask(&q, NULL, 0, &answer);
}
EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t ret = NEXT(recvmsg)(fd, m, flags);
	int saved = errno;
	if (ret >= 0 && play_on() && m->msg_controllen)
		each_passed(m, play_recognise);
	errno = saved;
	return ret;
}
EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (play_on() && m && m->msg_controllen)
		each_passed(m, sent);
	return NEXT(sendmsg)(fd, m, flags);
}
