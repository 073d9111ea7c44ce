/*
 * A misbehaving driver: preloaded below the recorder and above what answers, it changes the answer of one call that the
 * script (script.c) names just before it makes it. So the recording holds the lie as if the driver had told it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum lie { TRUTH, SET, MEMORY, ERRNO, OK, HANG };

static struct {
	enum lie kind;
	size_t at, length;
	long ret;
	const void *bytes;
} armed;

/* The next call of this process is answered so. */
void liar_arm(int kind, size_t at, const void *bytes, size_t length, long ret)
{
	armed.at = at;
	armed.bytes = bytes;
	armed.length = length;
	armed.ret = ret;
	armed.kind = kind;
}

/* True: *ret is the answer, and the call is not made. */
static int instead(void *out, size_t room, long *ret)
{
	enum lie kind = armed.kind;
	if (kind == HANG)
		for (;;)
			pause();
	if (kind != ERRNO && kind != OK)
		return 0;
	armed.kind = TRUTH;
	if (kind == OK && out) {
		if (room)
			memset(out, 0, room);
		if (armed.length)
			memcpy(out, armed.bytes, armed.length);
	}
	*ret = armed.ret;
	if (kind == ERRNO) {
		errno = (int)armed.ret;
		*ret = -1;
	}
	return 1;
}

static void afterwards(void *out)
{
	if (armed.kind != SET && armed.kind != MEMORY)
		return;
	char *to = out;
	if (armed.kind == MEMORY) {
		uint64_t pointer;
		memcpy(&pointer, to + armed.at, sizeof pointer);
		memcpy((void *)(uintptr_t)pointer, armed.bytes, armed.length);
	} else
		memcpy(to + armed.at, armed.bytes, armed.length);
	armed.kind = TRUTH;
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	va_start(list, request);
	void *arg = va_arg(list, void *);
	va_end(list);
	long ret;
	if (instead(arg, 0, &ret))
		return (int)ret;
	int (*next)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	int result = next(fd, request, arg);
	afterwards(arg);
	return result;
}

#define READER(name, parameters, arguments)            \
	ssize_t name parameters                        \
	{                                              \
		long ret;                              \
		if (instead(buffer, length, &ret))     \
			return ret;                    \
		ssize_t result = NEXT(name) arguments; \
		if (result > 0)                        \
			afterwards(buffer);            \
		return result;                         \
	}
READER(read, (int fd, void *buffer, size_t length), (fd, buffer, length))
READER(pread, (int fd, void *buffer, size_t length, off_t at), (fd, buffer, length, at))
READER(pread64, (int fd, void *buffer, size_t length, off64_t at), (fd, buffer, length, at))

#define WRITER(name, parameters, arguments)                                 \
	ssize_t name parameters                                             \
	{                                                                   \
		long ret;                                                   \
		return instead(NULL, 0, &ret) ? ret : NEXT(name) arguments; \
	}
WRITER(write, (int fd, const void *buffer, size_t length), (fd, buffer, length))
WRITER(pwrite, (int fd, const void *buffer, size_t length, off_t at), (fd, buffer, length, at))
WRITER(pwrite64, (int fd, const void *buffer, size_t length, off64_t at), (fd, buffer, length, at))

/* A signal of the device's on an eventfd: seen by the program, not made by it. */
void liar_signal(int fd)
{
	uint64_t one = 1;
	if (NEXT(write)(fd, &one, sizeof one) != sizeof one)
		_exit(3);
}
