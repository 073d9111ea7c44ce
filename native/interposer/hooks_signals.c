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

/* ---- masks ---- */

int sigprocmask(int how, const sigset_t *mask, sigset_t *old)
{
	return guard_mask(&REAL(sigprocmask), how, mask, old);
}

int pthread_sigmask(int how, const sigset_t *mask, sigset_t *old)
{
	return guard_mask(&REAL(pthread_sigmask), how, mask, old);
}

/* ---- BSD's and System V's, which libc would carry out without us ---- */

static int set_bits(int how, int bits)
{
	sigset_t mask, old;
	sigemptyset(&mask);
	memcpy(&mask, &bits, sizeof bits);
	if (sigprocmask(how, &mask, &old))
		return -1;
	memcpy(&bits, &old, sizeof bits);
	return bits;
}

int sigblock(int bits)
{
	return set_bits(SIG_BLOCK, bits);
}

int sigsetmask(int bits)
{
	return set_bits(SIG_SETMASK, bits);
}

static int set_one(int how, int signal, sigset_t *old)
{
	sigset_t one;
	sigemptyset(&one);
	return sigaddset(&one, signal) ? -1 : sigprocmask(how, &one, old);
}

int sighold(int signal)
{
	return set_one(SIG_BLOCK, signal, NULL);
}

int sigrelse(int signal)
{
	return set_one(SIG_UNBLOCK, signal, NULL);
}

int sigignore(int signal)
{
	struct sigaction act = {.sa_handler = SIG_IGN};
	return sigaction(signal, &act, NULL);
}

sighandler_t sigset(int signal, sighandler_t with)
{
	struct sigaction act = {.sa_handler = with}, was;
	sigset_t old;
	bool hold = with == SIG_HOLD;
	if (sigaction(signal, hold ? NULL : &act, &was) || set_one(hold ? SIG_BLOCK : SIG_UNBLOCK, signal, &old))
		return SIG_ERR;
	return sigismember(&old, signal) ? SIG_HOLD : was.sa_handler;
}
