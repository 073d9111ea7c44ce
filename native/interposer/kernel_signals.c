#include "kernel_signals.h"

#include "guard.h"
#include "real.h"

/* struct sigaction of include/linux/signal_types.h; x86-64 and arm64 both have a restorer. */
struct kernel_action {
	sighandler_t handler;
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

#define P(i) ((void *)a[i])
#define I(i) ((int)a[i])

static long plain(long nr, const long *a)
{
	long ret = REAL(syscall)(nr, a[0], a[1], a[2], a[3]);
	return ret == -1 ? -errno : ret;
}

long kernel_sigaction(const long *a)
{
	struct kernel_action k = {0};
	struct sigaction act = {0}, old = {0};
	if (guard_bare || I(0) == 32 || I(0) == 33) /* libc's own signals, which its sigaction() refuses */
		return plain(SYS_rt_sigaction, a);
	if (a[3] != KERNEL_SET)
		return -EINVAL;
	if (a[1] && guard_copy(&k, P(1), sizeof k))
		return -EFAULT;
	act.sa_handler = k.handler;
	act.sa_flags = (int)k.flags;
	memcpy(&act.sa_mask, &k.mask, KERNEL_SET);
	if (sigaction(I(0), a[1] ? &act : NULL, &old))
		return -errno;
	k = (struct kernel_action){.handler = old.sa_handler, .flags = (unsigned)old.sa_flags};
	k.restorer = old.sa_restorer;
	memcpy(&k.mask, &old.sa_mask, KERNEL_SET);
	return a[2] && guard_copy(P(2), &k, sizeof k) ? -EFAULT : 0;
}

static int set_mask(int how, const sigset_t *set, sigset_t *old)
{
	return (int)REAL(syscall)(SYS_rt_sigprocmask, how, set, old, KERNEL_SET);
}

long kernel_sigprocmask(const long *a)
{
	sigset_t set = {0}, old = {0};
	if (guard_bare)
		return plain(SYS_rt_sigprocmask, a);
	if (a[3] != KERNEL_SET)
		return -EINVAL;
	if (a[1] && guard_copy(&set, P(1), KERNEL_SET))
		return -EFAULT;
	if (guard_mask(set_mask, I(0), a[1] ? &set : NULL, &old))
		return -errno;
	return a[2] && guard_copy(P(2), &old, KERNEL_SET) ? -EFAULT : 0;
}
