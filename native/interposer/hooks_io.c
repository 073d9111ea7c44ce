/* read, write and their kin. pread and pread64 and the like are one call where off_t has 64 bits. */
#include "brief.h"
#include "dma.h"
#include "fds.h"
#include "guard.h"
#include "real.h"
#include "ring.h"
#include "trap.h"

/* glibc declares these buffers write-only; where one lies in a trapped region is looked at, not read. */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

_Static_assert(sizeof(off_t) == 8, "one entry for pread and pread64");

#define SMALL 8 /* bytes that the record itself holds */

static size_t kept(size_t n)
{
	return n < VRR_PAYLOAD_MAX ? n : VRR_PAYLOAD_MAX;
}

static uint32_t answer_room(size_t n)
{
	return n > SMALL ? (uint32_t)rec_size(kept(n)) : 0;
}

static void too_big(size_t n)
{
	if (n > VRR_PAYLOAD_MAX)
		ring_lost(VRR_LOSS_TOO_BIG, 1);
}

/* ---- one buffer ---- */

static ssize_t read_done(struct rec *r, const void *buf, ssize_t ret)
{
	uint64_t value = 0;
	if (!r->record)
		return ret;
	rec_leave(r, rec_result(ret));
	if (!r->record)
		return ret;
	if (ret > SMALL) {
		too_big((size_t)ret);
		rec_chunk(r, VRR_WHERE_ARG, VRR_PHASE_OUT, buf, kept((size_t)ret), (uint64_t)ret);
	} else if (ret > 0) {
		guard_copy(&value, buf, (size_t)ret);
		r->flags |= VRR_FLAG_INLINE;
	}
	rec_end(r, value);
	return ret;
}

static void write_in(struct rec *r, const void *buf, size_t n)
{
	if (!r->record)
		return;
	too_big(n);
	rec_chunk(r, VRR_WHERE_ARG, VRR_PHASE_IN, buf, kept(n), n);
}

static ssize_t done(struct rec *r, uint64_t value, ssize_t ret)
{
	if (r->record) {
		rec_leave(r, rec_result(ret));
		rec_end(r, value);
	}
	return ret;
}

/* The bytes of a small read, after it. */
static inline void brief_read_done(const struct brief *r, const void *buf, ssize_t ret)
{
	uint64_t value = 0;
	if (ret == 4) /* what registers are read by */
		value = guard_fresh(buf);
	else if (ret > 0)
		guard_copy(&value, buf, (size_t)ret);
	brief_leave(r, rec_result(ret), value, ret > 0 ? VRR_FLAG_INLINE : 0);
}

static inline uint64_t brief_write_in(const void *buf, size_t n, int *flags)
{
	uint64_t value = 0;
	bool missed = guard_copy(&value, buf, n) != 0;
	*flags = missed ? VRR_FLAG_SHORT : VRR_FLAG_INLINE;
	return missed ? 0 : value;
}

static ssize_t read_state(int fd, uint32_t entry, void *buf, off64_t at)
{
	uint32_t state;
	struct brief b = brief_enter(VRR_OP_PREAD, fd, entry, (uint64_t)at, sizeof state, 0, 0);
	ssize_t ret = REAL(pread64)(fd, buf, sizeof state, at);
	brief_read_done(&b, buf, ret);
	if (ret == sizeof state && !guard_copy(&state, buf, sizeof state))
		trigger_state(state);
	return ret;
}

/* An interrupt, perhaps: what the device wrote before it is in memory by now. */
static inline void consumed(uint32_t entry, ssize_t ret)
{
	if (unlikely(dma_on) && ret > 0 && fds_kind(entry) == VRR_KIND_EVENTFD)
		dma_look(VRR_DMA_AT_INTERRUPT);
}

#define READ(op, at, call)                                                \
	uint32_t entry = fds_get(fd);                                     \
	if (unlikely(reads_looked_at)) {                                  \
		buf = trap_alias(buf, n);                                 \
		if (op == VRR_OP_PREAD && trigger_is_state(entry, at, n)) \
			return read_state(fd, entry, buf, (off64_t)(at)); \
	}                                                                 \
	if (likely(!fds_recorded(entry)))                                 \
		return call;                                              \
	ssize_t ret;                                                      \
	if (n <= SMALL) {                                                 \
		struct brief b = brief_enter(op, fd, entry, at, n, 0, 0); \
		ret = call;                                               \
		brief_read_done(&b, buf, ret);                            \
		if (op == VRR_OP_READ)                                    \
			consumed(entry, ret);                             \
		return ret;                                               \
	}                                                                 \
	struct rec r;                                                     \
	rec_begin(&r, op, fd, entry, at, n, answer_room(n));              \
	rec_enter(&r, answer_room(n));                                    \
	ret = call;                                                       \
	return read_done(&r, buf, ret);

#define WRITE(op, at, call)                                                       \
	uint32_t entry = fds_get(fd);                                             \
	if (unlikely(writes_looked_at)) {                                         \
		buf = trap_alias(buf, n);                                         \
		if (op == VRR_OP_PWRITE && fds_recorded(entry))                   \
			dma_written(entry, (uint64_t)(at), n);                    \
	}                                                                         \
	if (likely(!fds_recorded(entry)))                                         \
		return call;                                                      \
	if (n <= SMALL) {                                                         \
		int flags;                                                        \
		uint64_t value = brief_write_in(buf, n, &flags);                  \
		struct brief b = brief_enter(op, fd, entry, at, n, value, flags); \
		ssize_t ret = call;                                               \
		brief_leave(&b, rec_result(ret), value, flags);                   \
		return ret;                                                       \
	}                                                                         \
	struct rec r;                                                             \
	rec_begin(&r, op, fd, entry, at, n, answer_room(n));                      \
	write_in(&r, buf, n);                                                     \
	rec_enter(&r, 0);                                                         \
	return done(&r, 0, call);

ssize_t pread64(int fd, void *buf, size_t n,
		off64_t at){READ(VRR_OP_PREAD, (uint64_t)at, REAL(pread64)(fd, buf, n, at))}

ssize_t pwrite64(int fd, const void *buf, size_t n,
		 off64_t at){WRITE(VRR_OP_PWRITE, (uint64_t)at, REAL(pwrite64)(fd, buf, n, at))}

ssize_t read(int fd, void *buf, size_t n){READ(VRR_OP_READ, 0, REAL(read)(fd, buf, n))}

ssize_t write(int fd, const void *buf, size_t n){WRITE(VRR_OP_WRITE, 0, REAL(write)(fd, buf, n))}

ssize_t pread(int fd, void *buf, size_t n, off_t at)
{
	return pread64(fd, buf, n, at);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	return pwrite64(fd, buf, n, at);
}

/* The fortified forms end the program when the buffer is too small: libc's business. */
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
	return n > size ? REAL(__read_chk)(fd, buf, n, size) : read(fd, buf, n);
}

ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t size)
{
	return n > size ? REAL(__pread64_chk)(fd, buf, n, at, size) : pread64(fd, buf, n, at);
}

ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t size)
{
	return __pread64_chk(fd, buf, n, at, size);
}

int eventfd_read(int fd, eventfd_t *value)
{
	return read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}

int eventfd_write(int fd, eventfd_t value)
{
	return write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}

/* ---- vectors ---- */

/* Element i; an empty one where the vector cannot be read. */
static struct iovec element(const struct iovec *v, int i)
{
	struct iovec e;
	return guard_copy(&e, v + i, sizeof e) ? (struct iovec){NULL, 0} : e;
}

static size_t vector_size(const struct iovec *v, int count)
{
	size_t size = 0;
	for (int i = 0; i < count && i < 1024; i++)
		if (__builtin_add_overflow(size, element(v, i).iov_len, &size))
			return SIZE_MAX;
	return size;
}

/* The first n bytes, in order, each element a piece of one run. */
static uint64_t vector_bytes(struct rec *r, int phase, const struct iovec *v, int count, size_t n)
{
	size_t left = kept(n), total = n;
	uint64_t value = 0;
	if (n <= SMALL) {
		char *to = (char *)&value;
		for (int i = 0; i < count && left; i++) {
			struct iovec e = element(v, i);
			size_t take = e.iov_len < left ? e.iov_len : left;
			if (guard_copy(to, e.iov_base, take)) {
				r->flags |= VRR_FLAG_SHORT;
				return 0;
			}
			to += take;
			left -= take;
		}
		r->flags |= VRR_FLAG_INLINE;
		return value;
	}
	too_big(n);
	if (left < total)
		r->flags |= VRR_FLAG_SHORT;
	for (int i = 0; i < count && left; i++) {
		struct iovec e = element(v, i);
		size_t take = e.iov_len < left ? e.iov_len : left;
		left -= take;
		if (take && rec_piece(r, VRR_WHERE_ARG, phase, e.iov_base, take, total, !left || i == count - 1) < take)
			break;
	}
	return 0;
}

enum form { PLAIN, AT, AT_FLAGS };

static ssize_t call_v(bool writes, enum form form, int fd, const struct iovec *v, int count, off64_t at, int flags)
{
	if (form == PLAIN)
		return writes ? REAL(writev)(fd, v, count) : REAL(readv)(fd, v, count);
	if (form == AT)
		return writes ? REAL(pwritev64)(fd, v, count, at) : REAL(preadv64)(fd, v, count, at);
	return writes ? REAL(pwritev64v2)(fd, v, count, at, flags) : REAL(preadv64v2)(fd, v, count, at, flags);
}

static ssize_t vectored(bool writes, enum form form, int fd, const struct iovec *v, int count, off64_t at, int flags)
{
	uint32_t entry = fds_get(fd);
	if (likely(!fds_recorded(entry)))
		return call_v(writes, form, fd, v, count, at, flags);
	bool placed = form != PLAIN && !(form == AT_FLAGS && at == -1);
	int op = writes ? placed ? VRR_OP_PWRITE : VRR_OP_WRITE : placed ? VRR_OP_PREAD : VRR_OP_READ;
	size_t size = vector_size(v, count);
	/* A chunk header each; what is more goes on in another record. */
	uint32_t room =
		answer_room(size) + (size > SMALL && count > 0 ? (uint32_t)(count < 1024 ? count : 1024) * 24 : 0);
	struct rec r;
	if (unlikely(writes_looked_at) && writes && placed)
		dma_written(entry, (uint64_t)at, size);
	rec_begin(&r, op, fd, entry, placed ? (uint64_t)at : 0, size, room);
	uint64_t value = 0;
	if (r.record) {
		r.flags |= VRR_FLAG_VECTORED;
		if (writes) {
			value = vector_bytes(&r, VRR_PHASE_IN, v, count, size);
			r.record->value = value;
		}
	}
	rec_enter(&r, writes ? 0 : room);
	ssize_t ret = call_v(writes, form, fd, v, count, at, flags);
	if (r.record) {
		rec_leave(&r, rec_result(ret));
		if (r.record && !writes && ret > 0)
			value = vector_bytes(&r, VRR_PHASE_OUT, v, count, (size_t)ret);
		rec_end(&r, value);
	}
	if (!writes && !placed)
		consumed(entry, ret);
	return ret;
}

ssize_t readv(int fd, const struct iovec *v, int count)
{
	return vectored(false, PLAIN, fd, v, count, 0, 0);
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	return vectored(true, PLAIN, fd, v, count, 0, 0);
}

#define PLACED(name, offset, writes)                                      \
	ssize_t name(int fd, const struct iovec *v, int count, offset at) \
	{                                                                 \
		return vectored(writes, AT, fd, v, count, at, 0);         \
	}
#define PLACED_FLAGS(name, offset, writes)                                           \
	ssize_t name(int fd, const struct iovec *v, int count, offset at, int flags) \
	{                                                                            \
		return vectored(writes, AT_FLAGS, fd, v, count, at, flags);          \
	}
PLACED(preadv, off_t, false)
PLACED(preadv64, off64_t, false)
PLACED(pwritev, off_t, true)
PLACED(pwritev64, off64_t, true)
PLACED_FLAGS(preadv2, off_t, false)
PLACED_FLAGS(preadv64v2, off64_t, false)
PLACED_FLAGS(pwritev2, off_t, true)
PLACED_FLAGS(pwritev64v2, off64_t, true)
