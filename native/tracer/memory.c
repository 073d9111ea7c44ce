/*
 * guard.h for a traced process: the hooks' reads and writes of the program's memory, made from outside it.
 *
 * Addresses of our own (the coroutines' stacks, the ring, our image) are told from the program's by where they lie:
 * the large ones at places that the kernel gives nobody unasked, the image at a random one.
 */
#include "interposer/guard.h"

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

size_t guard_copy(void *to, const void *from, size_t n)
{
	struct iovec local, remote;
	bool out = !ours(to);

	if (!n)
		return 0;
	if (!out && ours(from)) {
		memcpy(to, from, n);
		return 0;
	}
	local = (struct iovec){out ? (void *)(uintptr_t)from : to, n};
	remote = (struct iovec){out ? to : (void *)(uintptr_t)from, n};
	ssize_t done = out ? process_vm_writev(tracer_pid, &local, 1, &remote, 1, 0)
			   : process_vm_readv(tracer_pid, &local, 1, &remote, 1, 0);
	return done < 0 ? n : n - (size_t)done;
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
