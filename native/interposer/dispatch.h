/*
 * System call instructions outside libc: the kernel hands them over as SIGSYS (Syscall User Dispatch, Linux 5.11), and
 * they go through the same entries as libc's syscall(). Only where the recorder asked for it (--raw); else nothing here
 * is active: no handler, no signal mask and no new thread is touched.
 *
 * Contract: SIGSYS is unblocked and handled by guard.c in every thread that is armed. A call is given the arguments and
 * the result that the kernel would give it, errno is left alone. Where that cannot be had (a seccomp filter of the
 * program's own, which need not allow rt_sigreturn; thread registers of its own), dispatch ends in the whole process
 * and RAW_UNSEEN is counted. Threads of raw clone() run undispatched: RAW_CLONED. A call takes some 5 KiB more of the
 * stack that it is made on, so Go programs are left alone: RAW_UNSEEN.
 */
#ifndef VFIO_RR_DISPATCH_H
#define VFIO_RR_DISPATCH_H
#include "libc.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH /* linux/prctl.h since 5.11 */
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON	     1
#endif

#if defined(VFIO_RR_TRACER) || !defined(__x86_64__)
#define dispatch_on false
static inline void dispatch_stop(bool taken)
{
	(void)taken;
}
static inline void dispatch_arm(void)
{
}
static inline const sigset_t *dispatch_mask(const sigset_t *mask, sigset_t *copy)
{
	(void)copy;
	return mask;
}
#else
extern bool dispatch_on; /* asked for, and not ended since */

/** Whether it can be had here; before guard_start(), which handles SIGSYS if so. */
void dispatch_prepare(void);
/** Arms this process; after guard_start(). */
void dispatch_start(void);
/** Arms a thread or a forked child, both of which begin without; a new thread may have a signal mask of its own. */
void dispatch_arm(void);
/** The program is about to do what does not go together with it; taken: to use it itself. */
void dispatch_stop(bool taken);
/** SIGSYS: makes the call that was dispatched; false: it is the program's own signal. */
bool dispatch_call(const siginfo_t *info, void *context);
/** A mask for the time of a wait, with SIGSYS left out. */
const sigset_t *dispatch_mask(const sigset_t *mask, sigset_t *copy);
#endif

#endif
