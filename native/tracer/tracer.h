/* What the tracer's files share. */
#ifndef VFIO_RR_TRACER_H
#define VFIO_RR_TRACER_H
#include "interposer/ring.h"

extern pid_t tracer_pid; /* thread whose memory is meant */
extern char *tracer_stacks;
extern size_t tracer_stacks_size, tracer_ring_size;

#endif
