/*
 * vfork(): until it executes a program or ends, the child runs in the parent's memory, on the stack and with the
 * variables of the thread that made it, which waits; other threads go on. Descriptors, handlers and mask are its own.
 *
 * Contract: the child leaves the table of descriptors (fds.c) and the program's signal settings (guard.c) as they are
 * for the parent. What it closes and fills is remembered, and calls on such numbers are not recorded until it executes
 * a program, which looks at its descriptors anew. Its records go to streams of its own, closed when it is gone. Nothing
 * of this costs the calls of anybody else: in the child the streams' generation is one that never fits.
 */
#ifndef VFIO_RR_VFORK_H
#define VFIO_RR_VFORK_H
#include "libc.h"

#ifdef VFIO_RR_TRACER /* there children have memory of their own */
#define vfork_on false
static inline bool vfork_child(void)
{
	return false;
}
static inline bool vfork_gone(int fd)
{
	(void)fd;
	return false;
}
uint32_t vfork_pid(void);
void vfork_set(int fd, uint32_t entry);
uint32_t vfork_take(int fd);
#else
/** This thread made a child and has not been seen to be back: ask vfork_child(). */
extern __thread bool vfork_on;
/** Whether this is the child; where it is the parent, gone on already, all is put back first. */
bool vfork_child(void);
uint32_t vfork_pid(void);
/** In the child: whether the number is no longer what the table says; it changes; it is taken. */
bool vfork_gone(int fd);
void vfork_set(int fd, uint32_t entry);
uint32_t vfork_take(int fd);
/** In a child that the child made by fork(): what was the child's is the process's. */
void vfork_left(void);
/** The child installs a filter: from now on it is taken for the child without asking the kernel. */
void vfork_filtered(void);
#endif
/** Generation of the child's streams (ring_self); process_generation never is. */
#define VFORKED UINT32_MAX

#endif
