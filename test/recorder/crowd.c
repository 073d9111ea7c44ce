/*
 * Threads that open, copy, pass and close devices as fast as they can, and count what they do:
 *
 *   crowd THREADS SECONDS DEVICE GROUP        prints "CALL ERRNO COUNT" lines, errno 0: it succeeded
 *
 * A descriptor goes to its own thread through a socket. "replaced" are descriptors that dup3 closed on the way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Numbers that dup3 puts copies at, one a thread: below them is room for all else, and `play` has its own from 900 on. */
#define PLACES 800
#define PASSED 2
#define ERRNOS 140

enum call { OPEN, DUP, CLOSE, SENDMSG, RECVMSG, PREAD, IOCTL, RECEIVED, REPLACED, WRONG, CALLS };
static const char *const names[] = {"open",  "dup",   "close",	  "sendmsg",  "recvmsg",
				    "pread", "ioctl", "received", "replaced", "wrong"};
static uint64_t counts[CALLS][ERRNOS];
static const char *device, *group;
static pthread_barrier_t all; /* have started: only then the time begins */
static int64_t until;

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static long count(enum call call, long ret)
{
	int error = ret < 0 ? errno : 0;
	__atomic_fetch_add(&counts[call][error < ERRNOS ? error : ERRNOS - 1], 1, __ATOMIC_RELAXED);
	return ret;
}
static void shut(int fd)
{
	count(CLOSE, close(fd));
}

union room {
	char bytes[CMSG_SPACE(PASSED * sizeof(int))];
	struct cmsghdr align;
};

static int pass(const int pair[2], const int out[PASSED], int in[PASSED])
{
	char byte = 0;
	union room room = {{0}};
	struct iovec part = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = room.bytes,
		.msg_controllen = sizeof room.bytes,
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(PASSED * sizeof(int));
	memcpy(CMSG_DATA(head), out, PASSED * sizeof(int));
	if (count(SENDMSG, sendmsg(pair[0], &message, 0)) < 0)
		return 0;
	message.msg_controllen = sizeof room.bytes;
	if (count(RECVMSG, recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC)) < 0 || !(head = CMSG_FIRSTHDR(&message)))
		return 0;
	int n = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(in, CMSG_DATA(head), (size_t)n * sizeof(int));
	for (int i = 0; i < n; i++)
		count(RECEIVED, 0);
	return n;
}

static void look(int fd, uint32_t *was)
{
	uint32_t value = 0;
	if (count(PREAD, pread(fd, &value, sizeof value, 0)) == sizeof value) {
		if (*was && *was != value)
			count(WRONG, 0);
		*was = value;
	}
}

static void *visitor(void *arg)
{
	int number = (int)(intptr_t)arg, place = PLACES + number, pair[2];
	int failed = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	pthread_barrier_wait(&all);
	if (failed)
		return arg;
	for (unsigned round = 0; !round || now() < __atomic_load_n(&until, __ATOMIC_ACQUIRE); round++) {
		int in[PASSED], n, other;
		uint32_t was = 0;
		if (round % 7 == 0 && (other = (int)count(OPEN, open(group, O_RDWR | O_CLOEXEC))) >= 0) {
			struct vfio_group_status status = {.argsz = sizeof status};
			count(IOCTL, ioctl(other, VFIO_GROUP_GET_STATUS, &status));
			shut(other);
		}
		if (round % 11 == 0)
			count(OPEN, open("/dev/vfio/missing", O_RDWR));
		int fd = (int)count(OPEN, open(device, O_RDWR | O_CLOEXEC));
		if (fd < 0)
			continue;
		int a = (int)count(DUP, dup(fd)), b = (int)count(DUP, fcntl(fd, F_DUPFD_CLOEXEC, 0));
		count(DUP, dup3(a, place, O_CLOEXEC));
		look(place, &was);
		if (round % 3 == 0) {
			count(DUP, dup2(b, place));
			count(REPLACED, 0);
		}
		int out[PASSED] = {fd, place};
		n = pass(pair, out, in);
		if (round % 2)
			shut(fd);
		for (int i = 0; i < n; i++) {
			look(in[i], &was);
			shut(in[i]);
		}
		shut(a);
		look(b, &was);
		shut(b);
		shut(place);
		if (round % 2 == 0)
			shut(fd);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	int threads = atoi(argv[1]), failed = 0;
	device = argv[3];
	group = argv[4];
	pthread_t thread[threads];
	until = INT64_MAX;
	pthread_barrier_init(&all, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, visitor, (void *)(intptr_t)i))
			return 3;
	pthread_barrier_wait(&all);
	__atomic_store_n(&until, now() + (int64_t)(1e9 * atof(argv[2])), __ATOMIC_RELEASE);
	for (int i = 0; i < threads; i++) {
		void *wrong;
		pthread_join(thread[i], &wrong);
		failed |= wrong != NULL;
	}
	for (int call = 0; call < CALLS; call++)
		for (int error = 0; error < ERRNOS; error++)
			if (counts[call][error])
				printf("%s %d %llu\n", names[call], error, (unsigned long long)counts[call][error]);
	return failed || counts[WRONG][0];
}
