/*
 * Memory of the program's that may not be there, and the two signals that say so (with SIGTRAP and SIGSYS for trap.c
 * and dispatch.c).
 *
 * Contract: guard_copy() never faults; it needs SIGSEGV and SIGBUS unblocked and handled by us, so sigaction(),
 * signal() and the mask calls are wrapped: the program's own handlers run with their flags and masks (our signals stay
 * open in them and are told as blocked; SIGSTKFLT is blocked in their place), it is told its own settings, and the
 * default action ends it at the faulting instruction, as without us. A fault of our own copying ends without
 * rt_sigreturn() unless the program has a handler of its own for it, with a mask (then its seccomp filter, if any, lets
 * handlers return). Before guard_start() only memory that is there for certain is copied (known.h); the rest is left
 * out and counted as UNREADABLE.
 */
#ifndef VFIO_RR_GUARD_H
#define VFIO_RR_GUARD_H
#include "libc.h"

/** Copies n bytes either of which may be unmapped; returns how many could not be copied. */
size_t guard_copy(void *to, const void *from, size_t n);
/** The same for memory that is there; not to be asked for any other before guard_start(). */
size_t guard_copy_sure(void *to, const void *from, size_t n);
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
#ifdef VFIO_RR_TRACER
#define guard_bare false
#else
extern uint8_t guard_bare; /* guard_start() did not run, or could not install its handlers */
#endif
void guard_start(void);
/** In a new process: clone3(CLONE_CLEAR_SIGHAND) may have taken our handlers away. */
void guard_forked(void);
/** The child of vfork() changes settings of its own; join: it is over, or (kept) its settings are the process's. */
void guard_part(void);
void guard_join(bool kept);
/** A new thread, or this one, may have been given a mask that blocks what we handle: the program believes so on. */
void guard_thread(void);
/** What sigaction() does, the program's handler behind ours. */
int guard_action(int signal, const struct sigaction *act, struct sigaction *old);
/** One of those that we handle. */
bool guard_handles(int signal);
/** Takes what we handle out of a mask; returns which of it there was, by bits. */
uint8_t guard_strip(sigset_t *mask);
/** What sigprocmask() and its kin do to the mask, by the one of them that is real_set. */
int guard_mask(int (*real_set)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set, sigset_t *old);

#endif
