/*
 * Waiting on descriptors: poll, select, epoll. Recorded when a recorded descriptor is among them; epoll_wait when an
 * event of one came (which one it is, the kernel says only by the data that epoll_ctl was given).
 */
#include "dispatch.h"
#include "fds.h"
#include "guard.h"
#include "hooks_wait.h"
#include "process.h"
#include "real.h"
#include "ring.h"

/* glibc 2.36 declares poll's array write-only, though poll reads it. */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define SETS_MAX 64 /* recorded descriptors of one select(); registrations looked at per epoll_wait() */

static uint64_t milliseconds(const struct timespec *timeout)
{
	struct timespec t;
	if (!timeout || guard_copy(&t, timeout, sizeof t))
		return (uint64_t)-1;
	return (uint64_t)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

/* ---- poll ---- */

static bool watched(const struct pollfd *p, nfds_t n)
{
	struct pollfd some[32];
	for (nfds_t at = 0; at < n;) {
		nfds_t take = n - at < 32 ? n - at : 32;
		if (guard_copy(some, p + at, take * sizeof *some))
			return false;
		for (nfds_t i = 0; i < take; i++)
			if (fds_recorded(fds_get(some[i].fd)))
				return true;
		at += take;
	}
	return false;
}

static size_t poll_size(nfds_t n)
{
	return (n < VRR_ARG_MAX / sizeof(struct pollfd) ? n : VRR_ARG_MAX / sizeof(struct pollfd)) *
	       sizeof(struct pollfd);
}

static void poll_begin(struct rec *r, const struct pollfd *p, nfds_t n, uint64_t timeout)
{
	size_t size = poll_size(n);
	int fd = -1;
	if (n == 1)
		guard_copy(&fd, &p->fd, sizeof fd);
	rec_begin(r, VRR_OP_POLL, fd, fds_get(fd), timeout, n, (uint32_t)(2 * rec_size(size)));
	rec_chunk(r, VRR_WHERE_ARRAY, VRR_PHASE_IN, p, size, n * sizeof *p);
	rec_enter(r, rec_size(size));
}

static int poll_end(struct rec *r, const struct pollfd *p, nfds_t n, int ret)
{
	rec_leave(r, rec_result(ret));
	if (ret >= 0)
		rec_chunk(r, VRR_WHERE_ARRAY, VRR_PHASE_OUT, p, poll_size(n), n * sizeof *p);
	rec_end(r, 0);
	return ret;
}

int poll(struct pollfd *p, nfds_t n, int timeout)
{
	if (likely(!ring || fds_top < 0 || !watched(p, n)))
		return REAL(poll)(p, n, timeout);
	struct rec r;
	poll_begin(&r, p, n, (uint64_t)(int64_t)timeout);
	return poll_end(&r, p, n, REAL(poll)(p, n, timeout));
}

int ppoll(struct pollfd *p, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	sigset_t copy;
	mask = dispatch_mask(mask, &copy);
	if (likely(!ring || fds_top < 0 || !watched(p, n)))
		return REAL(ppoll)(p, n, timeout, mask);
	struct rec r;
	poll_begin(&r, p, n, milliseconds(timeout));
	return poll_end(&r, p, n, REAL(ppoll)(p, n, timeout, mask));
}

long wait_ppoll(const long *a)
{
	struct pollfd *p = (void *)a[0];
	nfds_t n = (nfds_t)a[1];
	if (!ring || fds_top < 0 || !watched(p, n))
		return REAL(syscall)(SYS_ppoll, a[0], a[1], a[2], a[3], a[4], a[5]);
	struct rec r;
	poll_begin(&r, p, n, milliseconds((const void *)a[2]));
	return poll_end(&r, p, n, (int)REAL(syscall)(SYS_ppoll, a[0], a[1], a[2], a[3], a[4], a[5]));
}

int __poll_chk(struct pollfd *p, nfds_t n, int timeout, size_t size)
{
	return n > size / sizeof *p ? REAL(__poll_chk)(p, n, timeout, size) : poll(p, n, timeout);
}

int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size)
{
	return n > size / sizeof *p ? REAL(__ppoll_chk)(p, n, timeout, mask, size) : ppoll(p, n, timeout, mask);
}

/* ---- select: told as a poll of the recorded descriptors among its sets ---- */

static bool in(int fd, const fd_set *set)
{
	unsigned char byte;
	return set && !guard_copy(&byte, (const char *)set + fd / 8, 1) && byte >> fd % 8 & 1;
}

static unsigned selected(int n, const fd_set *r, const fd_set *w, const fd_set *e, struct pollfd *p)
{
	unsigned count = 0;
	for (int fd = 0; fd < n && fd <= fds_top; fd++) {
		if (!fds_recorded(fds_get(fd)))
			continue;
		short events =
			(short)((in(fd, r) ? POLLIN : 0) | (in(fd, w) ? POLLOUT : 0) | (in(fd, e) ? POLLPRI : 0));
		if (events && count == SETS_MAX)
			return ring_lost(VRR_LOSS_TABLE_FULL, 1), count;
		if (events)
			p[count++] = (struct pollfd){fd, events, 0};
	}
	return count;
}

static int select_end(struct rec *rec, struct pollfd *p, unsigned count, const fd_set *r, const fd_set *w,
		      const fd_set *e, int ret)
{
	for (unsigned i = 0; i < count && ret >= 0; i++)
		p[i].revents = (short)((p[i].events & POLLIN && in(p[i].fd, r) ? POLLIN : 0) |
				       (p[i].events & POLLOUT && in(p[i].fd, w) ? POLLOUT : 0) |
				       (p[i].events & POLLPRI && in(p[i].fd, e) ? POLLPRI : 0));
	return poll_end(rec, p, count, ret);
}

int select(int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
	struct pollfd p[SETS_MAX] = {0};
	unsigned count = ring && fds_top >= 0 ? selected(n, r, w, e, p) : 0;
	if (likely(!count))
		return REAL(select)(n, r, w, e, timeout);
	struct rec rec;
	struct timeval t;
	bool timed = timeout && !guard_copy(&t, timeout, sizeof t);
	poll_begin(&rec, p, count, timed ? (uint64_t)(t.tv_sec * 1000 + t.tv_usec / 1000) : (uint64_t)-1);
	return select_end(&rec, p, count, r, w, e, REAL(select)(n, r, w, e, timeout));
}

int pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout, const sigset_t *mask)
{
	sigset_t copy;
	mask = dispatch_mask(mask, &copy);
	struct pollfd p[SETS_MAX] = {0};
	unsigned count = ring && fds_top >= 0 ? selected(n, r, w, e, p) : 0;
	if (likely(!count))
		return REAL(pselect)(n, r, w, e, timeout, mask);
	struct rec rec;
	poll_begin(&rec, p, count, milliseconds(timeout));
	return select_end(&rec, p, count, r, w, e, REAL(pselect)(n, r, w, e, timeout, mask));
}

long wait_pselect6(const long *a)
{
	const fd_set *r = (const void *)a[1], *w = (const void *)a[2], *e = (const void *)a[3];
	struct pollfd p[SETS_MAX] = {0};
	unsigned count = ring && fds_top >= 0 ? selected((int)a[0], r, w, e, p) : 0;
	if (!count)
		return REAL(syscall)(SYS_pselect6, a[0], a[1], a[2], a[3], a[4], a[5]);
	struct rec rec;
	poll_begin(&rec, p, count, milliseconds((const void *)a[4]));
	return select_end(&rec, p, count, r, w, e,
			  (int)REAL(syscall)(SYS_pselect6, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* ---- epoll ---- */

#define REGISTRATIONS 1024

struct registration {
	uint32_t used; /* 0 free, 1 being written, 2 in use */
	int epfd, fd;
	uint32_t events;
	uint64_t data;
};
static struct registration registrations[REGISTRATIONS];
static unsigned registrations_top;

static void forget(int epfd, int fd)
{
	for (unsigned i = 0; i < __atomic_load_n(&registrations_top, __ATOMIC_ACQUIRE); i++) {
		struct registration *g = &registrations[i];
		if (__atomic_load_n(&g->used, __ATOMIC_ACQUIRE) == 2 && g->epfd == epfd && (fd < 0 || g->fd == fd))
			__atomic_store_n(&g->used, 0, __ATOMIC_RELEASE);
	}
}

static void remember(int epfd, int fd, const struct epoll_event *event)
{
	for (unsigned i = 0; i < REGISTRATIONS; i++) {
		struct registration *g = &registrations[i];
		uint32_t none = 0;
		if (!__atomic_compare_exchange_n(&g->used, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		g->epfd = epfd;
		g->fd = fd;
		g->events = event->events;
		g->data = event->data.u64;
		__atomic_store_n(&g->used, 2, __ATOMIC_RELEASE);
		unsigned top = __atomic_load_n(&registrations_top, __ATOMIC_RELAXED);
		while (top <= i && !__atomic_compare_exchange_n(&registrations_top, &top, i + 1, true, __ATOMIC_RELEASE,
								__ATOMIC_RELAXED))
			;
		return;
	}
	ring_lost(VRR_LOSS_TABLE_FULL, 1);
}

int epoll_ctl(int epfd, int how, int fd, struct epoll_event *event)
{
	uint32_t entry = ring ? fds_get(fd) : 0;
	struct epoll_event copy;
	bool ours = fds_handle(entry) && (how == EPOLL_CTL_DEL || !guard_copy(&copy, event, sizeof copy));
	int ret = REAL(epoll_ctl)(epfd, how, fd, event);
	if (likely(!ours) || ret)
		return ret;
	if (!fds_get(epfd)) {
		forget(epfd, -1); /* of an instance that had the number before */
		fds_set(epfd, fds_entry(FD_EPOLL, 0));
	}
	forget(epfd, fd);
	if (how != EPOLL_CTL_DEL)
		remember(epfd, fd, &copy);
	return 0;
}

static int epoll_end(int epfd, const struct epoll_event *events, uint64_t timeout, uint64_t start, int ret)
{
	struct pollfd p[SETS_MAX] = {0};
	unsigned count = 0;
	for (int i = 0; i < ret; i++) {
		struct epoll_event e;
		if (count == SETS_MAX) {
			ring_lost(VRR_LOSS_TABLE_FULL, 1);
			break;
		}
		if (guard_copy(&e, &events[i], sizeof e))
			break;
		for (unsigned k = 0; k < __atomic_load_n(&registrations_top, __ATOMIC_ACQUIRE); k++) {
			const struct registration *g = &registrations[k];
			if (__atomic_load_n(&g->used, __ATOMIC_ACQUIRE) != 2 || g->epfd != epfd ||
			    g->data != e.data.u64 || !fds_recorded(fds_get(g->fd)))
				continue;
			p[count++] = (struct pollfd){g->fd, (short)g->events, (short)e.events};
			break;
		}
	}
	if (!count)
		return ret;
	struct rec r;
	size_t size = count * sizeof *p;
	rec_begin(&r, VRR_OP_POLL, epfd, 0, timeout, count, (uint32_t)rec_size(size));
	rec_chunk(&r, VRR_WHERE_ARRAY, VRR_PHASE_OUT, p, size, size);
	rec_enter(&r, 0);
	if (r.record)
		r.record->enter = start;
	rec_leave(&r, ret);
	rec_end(&r, 0);
	return ret;
}

static bool follows(int epfd)
{
	return unlikely(fds_kind(fds_get(epfd)) == FD_EPOLL);
}

int epoll_wait(int epfd, struct epoll_event *events, int n, int timeout)
{
	if (likely(!follows(epfd)))
		return REAL(epoll_wait)(epfd, events, n, timeout);
	uint64_t start = ring_now();
	return epoll_end(epfd, events, (uint64_t)(int64_t)timeout, start, REAL(epoll_wait)(epfd, events, n, timeout));
}

int epoll_pwait(int epfd, struct epoll_event *events, int n, int timeout, const sigset_t *mask)
{
	sigset_t copy;
	mask = dispatch_mask(mask, &copy);
	if (likely(!follows(epfd)))
		return REAL(epoll_pwait)(epfd, events, n, timeout, mask);
	uint64_t start = ring_now();
	return epoll_end(epfd, events, (uint64_t)(int64_t)timeout, start,
			 REAL(epoll_pwait)(epfd, events, n, timeout, mask));
}

int epoll_pwait2(int epfd, struct epoll_event *events, int n, const struct timespec *timeout, const sigset_t *mask)
{
	sigset_t copy;
	mask = dispatch_mask(mask, &copy);
	if (likely(!follows(epfd)))
		return REAL(epoll_pwait2)(epfd, events, n, timeout, mask);
	uint64_t start = ring_now();
	return epoll_end(epfd, events, milliseconds(timeout), start,
			 REAL(epoll_pwait2)(epfd, events, n, timeout, mask));
}
