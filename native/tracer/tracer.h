/* What the tracer's files share. */
#ifndef VFIO_RR_TRACER_H
#define VFIO_RR_TRACER_H
#include "interposer/ring.h"

/* Wanted addresses, between where the kernel puts programs and where it puts their mappings. */
#define TRACER_RING   0x200000000000ul
#define TRACER_STACKS 0x300000000000ul

extern pid_t tracer_pid; /* thread whose memory is meant */
extern char *tracer_stacks;
extern size_t tracer_stacks_size, tracer_ring_size;

#endif
