/*
 * syscall(): numbers that have an entry here go through it, so that they are recorded; the rest go on.
 *
 * Only those whose arguments and effects are the same as the entry's (vfork() returns twice on one stack: it goes on).
 */
#include <linux/openat2.h>
#include <linux/seccomp.h>

#include "dispatch.h"
#include "fds.h"
#include "guard.h"
#include "hooks_wait.h"
#include "kernel_signals.h"
#include "process.h"
#include "real.h"
#include "ring.h"

/* openat2 has no entry in libc: seen when done, without a record of a failure. */
static long opened2(long nr, const long *a)
{
	long fd = REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	char path[256];
	ssize_t length = fd >= 0 && ring ? guard_string(path, (const char *)a[1], sizeof path) : -1;
	uint32_t kind = length > 0 ? fds_kind_of_path(path) : 0;
	if (kind) {
		struct open_how how = {0};
		guard_copy(&how, (const void *)a[2], sizeof how);
		uint32_t entry = fds_make((int)fd, kind);
		rec_note(VRR_OP_OPEN, (int)fd, 0, how.flags, how.mode, fd, fds_value(entry), 0, path);
	}
	return fd;
}

static long received(long nr, const long *a)
{
	long fd = REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (fd >= 0 && ring)
		fds_look((int)fd, 0, 0);
	return fd;
}

#ifndef VFIO_RR_TRACER
/* Returns twice: a child with a copy of our memory begins undispatched, and nothing else may tell that it is there. */
static long cloned(long nr, const long *a)
{
	long pid = REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (pid == 0 && dispatch_on && !*process_generation)
		process_forked();
	return pid;
}

static long result(long ret)
{
	if (ret >= 0)
		return ret;
	errno = (int)-ret;
	return -1;
}
#endif

#define P(i) ((void *)a[i])
#define I(i) ((int)a[i])
#define N(i) ((size_t)a[i])

long syscall(long nr, ...)
{
	long a[6];
	sigset_t mask;
	struct {
		const sigset_t *set;
		size_t size;
	} six = {0};
	va_list list;
	va_start(list, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	switch (nr) {
	case SYS_ioctl:
		return ioctl_entry(I(0), (unsigned long)a[1], P(2));
	case SYS_read:
		return read(I(0), P(1), N(2));
	case SYS_write:
		return write(I(0), P(1), N(2));
	case SYS_pread64:
		return pread64(I(0), P(1), N(2), a[3]);
	case SYS_pwrite64:
		return pwrite64(I(0), P(1), N(2), a[3]);
	case SYS_readv:
		return readv(I(0), P(1), I(2));
	case SYS_writev:
		return writev(I(0), P(1), I(2));
	case SYS_preadv: /* the offset's high half follows it, and is part of it where long has 64 bits */
		return preadv64(I(0), P(1), I(2), a[3]);
	case SYS_pwritev:
		return pwritev64(I(0), P(1), I(2), a[3]);
	case SYS_preadv2:
		return preadv64v2(I(0), P(1), I(2), a[3], I(5));
	case SYS_pwritev2:
		return pwritev64v2(I(0), P(1), I(2), a[3], I(5));
#ifdef SYS_open
	case SYS_open:
		return open64(P(0), I(1), (mode_t)a[2]);
	case SYS_creat:
		return creat64(P(0), (mode_t)a[1]);
	case SYS_dup2:
		return dup2(I(0), I(1));
	case SYS_poll:
		return poll(P(0), (nfds_t)a[1], I(2));
	case SYS_select: /* writes to its timeout, as libc's does */
		return select(I(0), P(1), P(2), P(3), P(4));
	case SYS_epoll_wait:
		return epoll_wait(I(0), P(1), I(2), I(3));
	case SYS_fork:
		return fork();
	case SYS_eventfd:
		return eventfd((unsigned)a[0], 0);
#endif
	case SYS_openat:
		return openat64(I(0), P(1), I(2), (mode_t)a[3]);
	case SYS_openat2:
		return opened2(nr, a);
	case SYS_close:
		return close(I(0));
	case SYS_close_range:
		return close_range((unsigned)a[0], (unsigned)a[1], I(2));
	case SYS_dup:
		return dup(I(0));
	case SYS_dup3:
		return dup3(I(0), I(1), I(2));
	case SYS_fcntl:
		return fcntl64(I(0), I(1), P(2));
	case SYS_mmap:
		return (long)mmap64(P(0), N(1), I(2), I(3), I(4), a[5]);
	case SYS_munmap:
		return munmap(P(0), N(1));
	case SYS_mremap:
		return (long)mremap(P(0), N(1), N(2), I(3), P(4));
	case SYS_mprotect:
		return mprotect(P(0), N(1), I(2));
	case SYS_sendmsg:
		return sendmsg(I(0), P(1), I(2));
	case SYS_recvmsg:
		return recvmsg(I(0), P(1), I(2));
	case SYS_sendmmsg:
		return sendmmsg(I(0), P(1), (unsigned)a[2], I(3));
	case SYS_recvmmsg:
		return recvmmsg(I(0), P(1), (unsigned)a[2], I(3), P(4));
	case SYS_eventfd2:
		return eventfd((unsigned)a[0], I(1));
	case SYS_epoll_ctl:
		return epoll_ctl(I(0), I(1), I(2), P(3));
	case SYS_pidfd_getfd:
		return received(nr, a);
#ifndef VFIO_RR_TRACER /* no handlers of ours are in a traced program */
	case SYS_clone:
	case SYS_clone3:
		return cloned(nr, a);
	case SYS_rt_sigaction:
		return result(kernel_sigaction(a));
	case SYS_rt_sigprocmask:
		return result(kernel_sigprocmask(a));
#endif
	case SYS_prctl:
		return prctl(I(0), a[1], a[2], a[3], a[4]);
	case SYS_seccomp:
		/* else a question */
		process_filter(a[0] == SECCOMP_SET_MODE_STRICT || (a[0] == SECCOMP_SET_MODE_FILTER && a[2]));
		break;
	case SYS_rt_sigsuspend:
		a[0] = (long)dispatch_mask(P(0), &mask);
		break;
	case SYS_ppoll:
		a[3] = (long)dispatch_mask(P(3), &mask);
		return wait_ppoll(a);
	case SYS_pselect6:
	case SYS_io_pgetevents:
		if (dispatch_on && a[5] && !guard_copy(&six, P(5), sizeof six)) {
			six.set = dispatch_mask(six.set, &mask);
			a[5] = (long)&six;
		}
		if (nr == SYS_pselect6)
			return wait_pselect6(a);
		break;
	case SYS_epoll_pwait:
		if (!a[4] || a[5] == KERNEL_SET)
			return epoll_pwait(I(0), P(1), I(2), I(3), P(4));
		break; /* a size of the mask that libc does not give: EINVAL */
	case SYS_epoll_pwait2:
		if (!a[4] || a[5] == KERNEL_SET)
			return epoll_pwait2(I(0), P(1), I(2), P(3), P(4));
		break;
	default:
		break;
	}
	return REAL(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
