/* What the tracer's files share. */
#ifndef VFIO_RR_TRACER_H
#define VFIO_RR_TRACER_H
#include "interposer/ring.h"

/* Wanted addresses, between where the kernel puts programs and where it puts their mappings. */
#define TRACER_RING   0x200000000000ul
#define TRACER_STACKS 0x300000000000ul

extern pid_t tracer_pid;       /* thread whose memory is meant */
extern int *tracer_memory;     /* its process's /proc/PID/mem, -1: not open yet */
extern unsigned tracer_missed; /* copies of which nothing could be had, since it was last set to 0 */
/** Opens it: what a program has after its exec is another memory, and one that makes itself undumpable lets nobody in.
 */
void tracer_open_memory(void);
extern char *tracer_stacks;
extern size_t tracer_stacks_size, tracer_ring_size;

#endif
