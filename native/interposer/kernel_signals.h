/*
 * rt_sigaction() and rt_sigprocmask() as the kernel's callers make them, for programs that go past libc (by syscall()
 * or by their own instruction): carried out by guard.c, so that neither takes our handlers away nor blocks their
 * signals.
 */
#ifndef VFIO_RR_KERNEL_SIGNALS_H
#define VFIO_RR_KERNEL_SIGNALS_H
#include "libc.h"

#define KERNEL_SET 8 /* bytes of the kernel's signal set */

/** With the call's arguments as they stand in registers; what the kernel would return: 0 or -errno. */
long kernel_sigaction(const long *a);
long kernel_sigprocmask(const long *a);

#endif
