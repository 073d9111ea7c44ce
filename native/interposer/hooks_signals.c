/*
 * Handlers and masks that the program sets, by all of libc's ways: guard.c carries them out, so that none takes our
 * handlers away nor blocks their signals.
 */
#include "guard.h"
#include "real.h"

int sigaction(int signal, const struct sigaction *act, struct sigaction *old)
{
	return guard_action(signal, act, old);
}

int __sigaction(int signal, const struct sigaction *act, struct sigaction *old)
{
	return guard_action(signal, act, old);
}

static sighandler_t set_handler(int signal, sighandler_t with, int flags)
{
	struct sigaction act = {.sa_handler = with, .sa_flags = flags}, old;
	if (with == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (!(flags & (int)SA_RESETHAND))
		sigaddset(&act.sa_mask, signal);
	return guard_action(signal, &act, &old) ? SIG_ERR : old.sa_handler;
}

#define BY_SIGNAL(name, flags)                                                                                   \
	sighandler_t name(int signal_, sighandler_t with)                                                        \
	{                                                                                                        \
		return guard_handles(signal_) ? set_handler(signal_, with, flags) : REAL(signal)(signal_, with); \
	}
BY_SIGNAL(signal, SA_RESTART)
BY_SIGNAL(bsd_signal, SA_RESTART)

sighandler_t __sysv_signal(int signal_, sighandler_t with)
{
	if (guard_handles(signal_))
		return set_handler(signal_, with, (int)SA_RESETHAND | SA_NODEFER);
	return REAL(__sysv_signal)(signal_, with);
}

sighandler_t sysv_signal(int signal_, sighandler_t with)
{
	return __sysv_signal(signal_, with);
}

int sigprocmask(int how, const sigset_t *mask, sigset_t *old)
{
	return guard_mask(&REAL(sigprocmask), how, mask, old);
}

int pthread_sigmask(int how, const sigset_t *mask, sigset_t *old)
{
	return guard_mask(&REAL(pthread_sigmask), how, mask, old);
}
