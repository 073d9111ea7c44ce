/*
 * Memory of the program's that may not be there, and the two signals that say so.
 *
 * Contract: guard_copy() never faults; it needs SIGSEGV and SIGBUS unblocked and handled by us, so sigaction(),
 * signal() and the mask calls are wrapped: the program's own handlers run with their flags and masks, it is told its
 * own settings, and the default action ends it at the faulting instruction, as without us.
 */
#ifndef VFIO_RR_GUARD_H
#define VFIO_RR_GUARD_H
#include "libc.h"

/** Copies n bytes either of which may be unmapped; returns how many could not be copied. */
size_t guard_copy(void *to, const void *from, size_t n);
/** Writes to one byte of a page without changing it; false: it cannot be had (tmpfs full, file cut off). */
bool guard_touch(void *page);
/** Copies a string of at most size - 1 bytes; returns its length, -1 if it cannot be read or is longer. */
ssize_t guard_string(char *to, const char *from, size_t size);
/** Four bytes that the kernel has just written, so that they are there. */
static inline uint32_t guard_fresh(const void *from)
{
	uint32_t value = 0;
#ifdef VFIO_RR_TRACER /* there they are another process's */
	guard_copy(&value, from, sizeof value);
#else
	memcpy(&value, from, sizeof value);
#endif
	return value;
}
void guard_start(void);

#endif
