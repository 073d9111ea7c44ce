#include "guard.h"

#include "dispatch.h"
#include "guard_copy.h"
#include "process.h"
#include "real.h"
#include "ring.h"
#include "trap.h"
#include "vfork.h"

#define SIGNALS 65
#define OURS	4
static const int ours_signals[OURS] = {SIGSEGV, SIGBUS, SIGTRAP, SIGSYS};
static bool started;
static uint8_t handled = 3; /* which of them: SIGTRAP if regions are trapped, SIGSYS if calls are dispatched */
static struct sigaction theirs[OURS][2]; /* the program's settings, two versions each */
static uint8_t current[OURS];
static uint8_t masked[SIGNALS];	 /* which of ours the program put in this signal's sa_mask */
static __thread uint8_t blocked; /* which of ours it believes blocked in this thread */
/* Our signals are never blocked, also while the program's handlers run: these may touch what faults for us alone. So
 * that a fault of their own is the end, as it would be, a signal that nothing else uses is blocked for ours, and is
 * unblocked with them however the handler is left. */
#define IN_HANDLER SIGSTKFLT
static __thread uint8_t within; /* which of ours the handlers that run block, if IN_HANDLER is blocked */

static int slot(int signal)
{
	for (int i = 0; i < OURS; i++)
		if (ours_signals[i] == signal && handled & 1 << i)
			return i;
	return -1;
}

/* The same in the child of vfork(), whose memory is the parent's and whose handlers are not. */
static __thread struct {
	struct sigaction theirs[OURS];
	uint8_t masked[SIGNALS], blocked, within;
} apart;

static struct sigaction setting(int i)
{
	if (unlikely(vfork_on) && vfork_child())
		return apart.theirs[i];
	return theirs[i][__atomic_load_n(&current[i], __ATOMIC_ACQUIRE)];
}

static void set(int i, const struct sigaction *act)
{
	if (unlikely(vfork_on) && vfork_child()) {
		apart.theirs[i] = *act;
		return;
	}
	uint8_t other = !__atomic_load_n(&current[i], __ATOMIC_RELAXED);
	theirs[i][other] = *act;
	__atomic_store_n(&current[i], other, __ATOMIC_RELEASE);
}

static uint8_t *masked_by(int signal)
{
	return unlikely(vfork_on) && vfork_child() ? &apart.masked[signal] : &masked[signal];
}

void guard_part(void)
{
	for (int i = 0; i < OURS; i++)
		apart.theirs[i] = setting(i);
	memcpy(apart.masked, masked, sizeof masked);
	apart.blocked = blocked;
	apart.within = within;
}

void guard_join(bool kept)
{
	if (!kept) {
		blocked = apart.blocked;
		within = apart.within;
		return;
	}
	for (int i = 0; i < OURS; i++)
		set(i, &apart.theirs[i]);
	memcpy(masked, apart.masked, sizeof masked);
}

uint8_t guard_strip(sigset_t *mask)
{
	uint8_t had = 0;
	for (int i = 0; i < OURS; i++)
		if (handled & 1 << i && sigismember(mask, ours_signals[i]) == 1) {
			had |= (uint8_t)(1 << i);
			sigdelset(mask, ours_signals[i]);
		}
	return had;
}

static void unstrip(sigset_t *mask, uint8_t had)
{
	for (int i = 0; i < OURS; i++)
		if (had & 1 << i)
			sigaddset(mask, ours_signals[i]);
}

/* A fault of our own copying, of the ring, or of a trapped region; a dispatched call. */
static bool ours(int signal, const siginfo_t *info, ucontext_t *context)
{
	if (signal == SIGSYS)
		return dispatch_call(info, context);
	if (signal == SIGTRAP)
		return trap_stepped(context);
	if (signal == SIGBUS && !guard_touching(context) && ring_fault(info->si_addr))
		return true;
	return guard_resume(context) || (signal == SIGSEGV && trap_fault(info, context));
}

/* Sent while the program's handler would have it blocked: it waits until that has ended. Not under a filter, which may
 * not know these calls. */
static void postpone(int signal, siginfo_t *info, ucontext_t *uc)
{
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, signal);
	REAL(sigprocmask)(SIG_BLOCK, &one, NULL);
	REAL(syscall)(SYS_rt_tgsigqueueinfo, REAL(syscall)(SYS_getpid), REAL(syscall)(SYS_gettid), signal, info);
	sigaddset(&uc->uc_sigmask, signal);
}

static void call(int i, int signal, const struct sigaction *act, siginfo_t *info, void *context, uint8_t inside)
{
	uint8_t was = blocked;
	sigset_t mask = act->sa_mask;
	within = inside | guard_strip(&mask) | (uint8_t)(act->sa_flags & SA_NODEFER ? 0 : 1 << i);
	if (act->sa_flags & SA_SIGINFO)
		act->sa_sigaction(signal, info, context);
	else
		act->sa_handler(signal);
	within = inside;
	blocked = was; /* as the mask, when the handler returns */
}

static void handler(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	ucontext_t *uc = context;
	int i = slot(signal);
	bool fault = info->si_code > 0; /* not sent by somebody */
	if (fault && ours(signal, info, uc)) {
		errno = saved;
		return;
	}
	/* Otherwise the last one was left by longjmp(). */
	uint8_t inside = within = sigismember(&uc->uc_sigmask, IN_HANDLER) == 1 ? within : 0;
	struct sigaction act = setting(i);
	bool ends = act.sa_handler == SIG_DFL || (signal == SIGSYS && fault && act.sa_handler == SIG_IGN);
	if (fault && signal != SIGTRAP && signal != SIGSYS &&
	    (act.sa_handler == SIG_DFL || act.sa_handler == SIG_IGN || (blocked | inside) & 1 << i)) {
		/* The instruction faults again, and a blocked fault is the end: the core shows the program's own state.
		 */
		sigaddset(&uc->uc_sigmask, signal);
	} else if (!fault && inside & 1 << i && !process_filtered) {
		postpone(signal, info, uc);
	} else if (ends) {
		act = (struct sigaction){.sa_handler = SIG_DFL};
		REAL(sigaction)(signal, &act, NULL);
		raise(signal); /* delivered when this handler returns */
	} else if (act.sa_handler != SIG_IGN) {
		if (act.sa_flags & (int)SA_RESETHAND) {
			struct sigaction none = {.sa_handler = SIG_DFL};
			set(i, &none);
		}
		errno = saved;
		call(i, signal, &act, info, context, inside);
		return;
	}
	errno = saved;
}

/* Installed where the kernel leaves the signal mask alone for it, so that there is nothing to be set back. */
static void light_handler(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	if (info->si_code > 0 && signal != SIGTRAP) {
		if (signal == SIGBUS && !guard_touching(context) && ring_fault(info->si_addr)) {
			errno = saved;
			return;
		}
		if (guard_resume(context)) {
			errno = saved;
			guard_leave(context);
			return;
		}
	}
	handler(signal, info, context);
}

/* What the kernel is told: our handler, with the program's flags and mask. */
static struct sigaction installed(int signal, const struct sigaction *act)
{
	struct sigaction ours = *act;
	ours.sa_sigaction = handler;
	if (signal == SIGSYS &&
	    dispatch_on) { /* a call of the program's, made with its own mask and on its own stack */
		ours.sa_flags = SA_NODEFER | SA_SIGINFO;
		sigemptyset(&ours.sa_mask);
		return ours;
	}
	if (act->sa_handler == SIG_DFL || act->sa_handler == SIG_IGN) {
		ours.sa_flags = SA_ONSTACK | SA_NODEFER;
		sigemptyset(&ours.sa_mask);
	}
	if (guard_strip(&ours.sa_mask) || !(ours.sa_flags & SA_NODEFER))
		sigaddset(&ours.sa_mask, IN_HANDLER);
	ours.sa_flags = (ours.sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO | SA_NODEFER;
	if (ours.sa_flags & SA_NODEFER && sigisemptyset(&ours.sa_mask))
		ours.sa_sigaction = light_handler;
	return ours;
}

void guard_start(void)
{
	handled = (uint8_t)(3 | (trap_on ? 4 : 0) | (dispatch_on ? 8 : 0));
	guard_find_pkru();
	for (int i = 0; i < OURS; i++) {
		if (!(handled & 1 << i))
			continue;
		int signal = ours_signals[i];
		struct sigaction act;
		if (REAL(sigaction)(signal, NULL, &act))
			return;
		set(i, &act);
		struct sigaction ours = installed(signal, &act);
		if (REAL(sigaction)(signal, &ours, NULL))
			return;
	}
	started = true;
	guard_bare = 0;
}

void guard_forked(void)
{
	struct sigaction now;
	if (!started || REAL(sigaction)(SIGSEGV, NULL, &now) || now.sa_sigaction == handler ||
	    now.sa_sigaction == light_handler)
		return;
	memset(masked, 0, sizeof masked);
	guard_start();
}

int guard_action(int signal, const struct sigaction *act, struct sigaction *old)
{
	if (!started || signal <= 0 || signal >= SIGNALS)
		return REAL(sigaction)(signal, act, old);
	int i = slot(signal);
	struct sigaction now, ours;
	uint8_t in_mask = 0, was_in_mask = *masked_by(signal);
	if (act) {
		now = *act;
		ours = i < 0 ? *act : installed(signal, act);
		in_mask = guard_strip(&now.sa_mask);
		guard_strip(&ours.sa_mask);
		now = *act;
	}
	struct sigaction was = i < 0 ? (struct sigaction){0} : setting(i);
	/* The program's setting first: a fault may come between the two. */
	if (act && i >= 0)
		set(i, &now);
	if (REAL(sigaction)(signal, act ? &ours : NULL, old)) {
		if (act && i >= 0)
			set(i, &was);
		return -1;
	}
	if (act)
		*masked_by(signal) = in_mask;
	if (old && i >= 0)
		*old = was;
	else if (old)
		unstrip(&old->sa_mask, was_in_mask);
	return 0;
}

bool guard_handles(int signal)
{
	return started && slot(signal) >= 0;
}

int guard_mask(int (*real_set)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set_, sigset_t *old)
{
	if (!started)
		return real_set(how, set_, old);
	sigset_t ours;
	if (unlikely(within) && !real_set(SIG_BLOCK, NULL, &ours) && sigismember(&ours, IN_HANDLER) != 1)
		within = 0; /* the handler was left by longjmp() */
	uint8_t was = blocked, is = was, inside = within, stays = inside;
	if (set_) {
		ours = *set_;
		uint8_t had = guard_strip(&ours);
		if (how == SIG_BLOCK)
			is = was | (had & (uint8_t)~inside);
		else
			stays = inside & (how == SIG_UNBLOCK ? (uint8_t)~had : had);
		if (how == SIG_SETMASK)
			is = had & (uint8_t)~inside;
		if (how == SIG_UNBLOCK) {
			is = was & (uint8_t)~had;
			unstrip(&ours, had);
		}
		if (inside && (how == SIG_UNBLOCK ? !stays : how == SIG_SETMASK && stays))
			sigaddset(&ours, IN_HANDLER);
	}
	int ret = real_set(how, set_ ? &ours : NULL, old);
	if (ret)
		return ret;
	blocked = is;
	within = stays;
	if (old && inside)
		sigdelset(old, IN_HANDLER);
	if (old)
		unstrip(old, was | inside);
	return 0;
}

void guard_thread(void)
{
	sigset_t mask;
	if (!started || REAL(sigprocmask)(SIG_BLOCK, NULL, &mask))
		return;
	uint8_t had = guard_strip(&mask);
	if (had && REAL(sigprocmask)(SIG_SETMASK, &mask, NULL) == 0)
		blocked |= had;
}
