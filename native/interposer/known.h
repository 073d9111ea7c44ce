/*
 * Memory of the program's that is mapped for certain, told without asking the kernel: where no fault handler may be
 * installed, only this is looked at.
 *
 * Contract: the loaded images' data, the heap that brk() made, the stack from the caller's frame up. Memory that the
 * program mapped, large allocations among it, is not known.
 */
#ifndef VFIO_RR_KNOWN_H
#define VFIO_RR_KNOWN_H
#include "libc.h"

/** At start, before threads: makes no system call but brk(). */
void known_start(void);
/** How many of n bytes from there on are known to be readable. */
size_t known_bytes(const void *from, size_t n);

#endif
