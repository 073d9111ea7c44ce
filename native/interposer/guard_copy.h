/* What the handler of SIGSEGV and SIGBUS does about faults of guard_copy() and guard_touch(). */
#ifndef VFIO_RR_GUARD_COPY_H
#define VFIO_RR_GUARD_COPY_H
#include "libc.h"

#include <ucontext.h>

/** The fault is theirs, and they go on behind it. */
bool guard_resume(ucontext_t *context);
/** It happened in guard_touch(). */
bool guard_touching(const ucontext_t *context);
/** Before guard_leave(): where the processor keeps what it sets back. */
void guard_find_pkru(void);
/** From a handler, once guard_resume() is true: goes on there, without rt_sigreturn(). Returns where that cannot be. */
void guard_leave(const ucontext_t *uc);

#endif
