/*
 * guard.h for a traced process: the hooks' reads and writes of the program's memory, made from outside it.
 *
 * Addresses of our own (the coroutines' stacks, the ring, our image) are told from the program's by where they lie:
 * the large ones at places that the kernel gives nobody unasked, the image at a random one.
 *
 * /proc/PID/mem and not process_vm_readv(): that takes CONFIG_CROSS_MEMORY_ATTACH, which small kernels lack, and asks
 * for permission at each call.
 */
#include "interposer/guard.h"

#include <fcntl.h>
#include <stdio.h>

#include "tracer.h"

extern char __executable_start, end;

static bool within(const void *p, const void *start, size_t size)
{
	return (uintptr_t)p - (uintptr_t)start < size;
}

static bool ours(const void *p)
{
	return within(p, &__executable_start, (size_t)(&end - &__executable_start)) ||
	       within(p, tracer_stacks, tracer_stacks_size) || within(p, ring, tracer_ring_size) ||
	       within(p, __builtin_frame_address(0), 1 << 20);
}

int *tracer_memory;
unsigned tracer_missed;

void tracer_open_memory(void)
{
	char path[64];
	if (*tracer_memory >= 0)
		close(*tracer_memory);
	snprintf(path, sizeof path, "/proc/%d/mem", tracer_pid);
	*tracer_memory = open64(path, O_RDWR | O_CLOEXEC);
}

/* Bytes copied; 0 where there is nothing at the address, and as long as the process has no memory that we may have. */
static size_t copy(void *own, uint64_t at, size_t n, bool out)
{
	if (*tracer_memory < 0)
		tracer_open_memory();
	ssize_t done =
		out ? pwrite64(*tracer_memory, own, n, (off64_t)at) : pread64(*tracer_memory, own, n, (off64_t)at);
	return done > 0 ? (size_t)done : 0;
}

size_t guard_copy(void *to, const void *from, size_t n)
{
	bool out = !ours(to);

	if (!n)
		return 0;
	if (!out && ours(from)) {
		memcpy(to, from, n);
		return 0;
	}
	size_t done = out ? copy((void *)(uintptr_t)from, (uintptr_t)to, n, true) : copy(to, (uintptr_t)from, n, false);
	tracer_missed += !done;
	return n - done;
}

bool guard_touch(void *page)
{
	(void)page;
	return true; /* the recorder has allocated what it gives */
}

ssize_t guard_string(char *to, const char *from, size_t size)
{
	/* In pieces that end with a page, since the next may not be there. */
	for (size_t at = 0; at < size;) {
		size_t page = 4096 - ((uintptr_t)from + at) % 4096, take = size - at < page ? size - at : page;
		if (guard_copy(to + at, from + at, take))
			return -1;
		char *nul = memchr(to + at, 0, take);
		if (nul)
			return nul - to;
		at += take;
	}
	return -1;
}
