/*
 * Preloaded into a recorder: kills it with SIGKILL, and with it its process group if GROUP is set.
 *   FUSE_WRITES=N   in place of, or after, the N-th call that changes a file (as N is even or odd)
 *   FUSE_US=N       N microseconds of processor time after the first such call, wherever it is then
 *   FUSE_COUNT=FILE holds the number of such calls so far (u64)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static uint64_t limit, microseconds, *count;
static int whole_group;

__attribute__((constructor)) static void start(void)
{
	const char *writes = getenv("FUSE_WRITES"), *us = getenv("FUSE_US"), *path = getenv("FUSE_COUNT");
	limit = writes ? strtoull(writes, NULL, 0) : 0;
	microseconds = us ? strtoull(us, NULL, 0) : 0;
	whole_group = getenv("FUSE_GROUP") != NULL;
	int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
	if (fd >= 0 && !ftruncate(fd, 8))
		count = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
}

static void blow(void)
{
	kill(whole_group ? 0 : getpid(), SIGKILL);
}

static void on_signal(int nr)
{
	(void)nr;
	blow();
}

static void light(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = whole_group ? SIGURG : SIGKILL};
	struct itimerspec spec = {.it_value = {(time_t)(microseconds / 1000000),
					       (long)(microseconds % 1000000 * 1000 + 1)}};
	timer_t timer;
	if (whole_group)
		signal(SIGURG, on_signal);
	if (timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) || timer_settime(timer, 0, &spec, NULL))
		abort();
}

static uint64_t before(void)
{
	uint64_t n = count ? __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) : 0;
	if (n == 1 && microseconds)
		light();
	if (n && n == limit && n % 2 == 0)
		blow();
	return n;
}

#define CHANGES(name, parameters, arguments)                           \
	int name parameters;                                           \
	int name parameters                                            \
	{                                                              \
		static int(*next) parameters;                          \
		if (!next)                                             \
			*(void **)&next = dlsym(RTLD_NEXT, #name);     \
		uint64_t n = before();                                 \
		int result = next arguments;                           \
		if (n && n == limit)                                   \
			blow();                                        \
		return result;                                         \
	}
#define WRITES(name)                                                                     \
	ssize_t name(int fd, const void *bytes, size_t length, off_t at)                 \
	{                                                                                \
		static ssize_t (*next)(int, const void *, size_t, off_t);                \
		if (!next)                                                               \
			*(void **)&next = dlsym(RTLD_NEXT, #name);                       \
		uint64_t n = before();                                                   \
		ssize_t result = next(fd, bytes, length, at);                            \
		if (n && n == limit)                                                     \
			blow();                                                          \
		return result;                                                           \
	}
WRITES(pwrite)
WRITES(pwrite64)
CHANGES(ftruncate, (int fd, off_t length), (fd, length))
CHANGES(ftruncate64, (int fd, off64_t length), (fd, length))
CHANGES(fallocate, (int fd, int mode, off_t at, off_t length), (fd, mode, at, length))
CHANGES(fallocate64, (int fd, int mode, off64_t at, off64_t length), (fd, mode, at, length))
CHANGES(unlink, (const char *path), (path))
