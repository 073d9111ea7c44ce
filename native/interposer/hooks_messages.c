/* Descriptors that go over a unix socket (SCM_RIGHTS). Messages without watched ones are not recorded. */
#include "fds.h"
#include "guard.h"
#include "real.h"
#include "ring.h"

#define CONTROL_MAX 4096
#define PASSED_MAX  253 /* SCM_MAX_FD */

struct passed {
	int32_t fd;
	uint32_t handle;
};

/* The control data as the kernel takes it or left it. */
static size_t control_of(const struct msghdr *message, char control[CONTROL_MAX])
{
	struct msghdr m;
	if (guard_copy(&m, message, sizeof m) || !m.msg_control || m.msg_controllen > CONTROL_MAX)
		return 0;
	return guard_copy(control, m.msg_control, m.msg_controllen) ? 0 : m.msg_controllen;
}

static unsigned passed_in(const char *control, size_t size, struct passed *passed)
{
	unsigned count = 0;
	for (size_t at = 0; at + sizeof(struct cmsghdr) <= size;) {
		struct cmsghdr c;
		memcpy(&c, control + at, sizeof c);
		if (c.cmsg_len < sizeof c || c.cmsg_len > size - at)
			break;
		if (c.cmsg_level == SOL_SOCKET && c.cmsg_type == SCM_RIGHTS)
			for (size_t i = CMSG_LEN(0); i + 4 <= c.cmsg_len && count < PASSED_MAX; i += 4)
				memcpy(&passed[count++].fd, control + at + i, 4);
		at += CMSG_ALIGN(c.cmsg_len);
	}
	return count;
}

static bool may_pass(const struct msghdr *message)
{
	struct msghdr m;
	return ring && !guard_copy(&m, message, sizeof m) && m.msg_control && m.msg_controllen;
}

/* What is sent; 0: nothing watched. */
static unsigned sent_by(const struct msghdr *message, struct passed *passed)
{
	_Alignas(8) char control[CONTROL_MAX];
	unsigned count = passed_in(control, control_of(message, control), passed), watched = 0;
	for (unsigned i = 0; i < count; i++) {
		passed[i].handle = fds_handle(fds_get(passed[i].fd));
		watched += passed[i].handle != 0;
	}
	return watched ? count : 0;
}

static void begin(struct rec *r, int op, int fd, const struct passed *passed, unsigned count)
{
	size_t size = count * sizeof *passed;
	rec_begin(r, op, fd, 0, count, 0, (uint32_t)rec_size(size));
	rec_chunk(r, VRR_WHERE_ARRAY, op == VRR_OP_SENDMSG ? VRR_PHASE_IN : VRR_PHASE_OUT, passed, size, size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct passed passed[PASSED_MAX];
	unsigned count = may_pass(message) ? sent_by(message, passed) : 0;
	if (likely(!count))
		return REAL(sendmsg)(fd, message, flags);
	struct rec r;
	begin(&r, VRR_OP_SENDMSG, fd, passed, count);
	rec_enter(&r, 0);
	ssize_t ret = REAL(sendmsg)(fd, message, flags);
	rec_leave(&r, rec_result(ret));
	rec_end(&r, 0);
	return ret;
}

/* Each descriptor that came is looked at and attached before the record that lists them. */
static void received(int fd, const struct msghdr *message, ssize_t ret)
{
	_Alignas(8) char control[CONTROL_MAX];
	struct passed passed[PASSED_MAX];
	unsigned count = passed_in(control, control_of(message, control), passed), watched = 0;
	int saved = errno;
	for (unsigned i = 0; i < count; i++) {
		uint32_t entry = fds_receive(passed[i].fd);
		passed[i].handle = fds_handle(entry);
		watched += entry != 0;
	}
	if (watched) {
		struct rec r;
		begin(&r, VRR_OP_RECVMSG, fd, passed, count);
		rec_enter(&r, 0);
		rec_leave(&r, ret);
		rec_end(&r, 0);
	}
	errno = saved;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t ret = REAL(recvmsg)(fd, message, flags);
	if (ret >= 0 && may_pass(message))
		received(fd, message, ret);
	return ret;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags)
{
	struct passed passed[PASSED_MAX];
	int ret = REAL(sendmmsg)(fd, messages, n, flags);
	for (int i = 0; ring && i < ret; i++) {
		unsigned count = may_pass(&messages[i].msg_hdr) ? sent_by(&messages[i].msg_hdr, passed) : 0;
		if (!count)
			continue;
		struct rec r;
		begin(&r, VRR_OP_SENDMSG, fd, passed, count);
		rec_enter(&r, 0);
		rec_leave(&r, messages[i].msg_len);
		rec_end(&r, 0);
	}
	return ret;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
	int ret = REAL(recvmmsg)(fd, messages, n, flags, timeout);
	for (int i = 0; ring && i < ret; i++)
		if (may_pass(&messages[i].msg_hdr))
			received(fd, &messages[i].msg_hdr, messages[i].msg_len);
	return ret;
}
