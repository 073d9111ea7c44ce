/* New threads, and waits with a signal mask of their own: only for dispatch.c, and passed on untouched without it. */
#include "dispatch.h"
#include "guard.h"
#include "real.h"
#include "ring.h"

#define STARTS 1024 /* threads that are made and do not run yet */
static struct start {
	bool used;
	void *(*routine)(void *);
	thrd_start_t c11;
	void *argument;
	sigset_t mask; /* the thread's; until it is armed it takes no signal, or a handler could call unseen */
	bool masked;
} starts[STARTS];

static struct start *to_start(void *(*routine)(void *), thrd_start_t c11, void *argument, bool masked)
{
	static unsigned next;
	for (int i = 0; i < STARTS; i++) {
		struct start *s = &starts[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % STARTS];
		if (__atomic_test_and_set(&s->used, __ATOMIC_ACQUIRE))
			continue;
		s->routine = routine;
		s->c11 = c11;
		s->argument = argument;
		s->masked = masked;
		if (masked) {
			sigset_t all;
			sigfillset(&all);
			guard_strip(&all); /* libc may call an allocator of the program's meanwhile */
			REAL(pthread_sigmask)(SIG_SETMASK, &all, &s->mask);
		}
		return s;
	}
	ring_lost(VRR_LOSS_RAW_UNSEEN, 1);
	return NULL;
}

/* Back in who makes it. */
static void ended(struct start *s, bool failed, const sigset_t *own)
{
	if (failed)
		__atomic_clear(&s->used, __ATOMIC_RELEASE);
	if (own)
		REAL(pthread_sigmask)(SIG_SETMASK, own, NULL);
}

static struct start begin(struct start *s)
{
	struct start copy = *s;
	__atomic_clear(&s->used, __ATOMIC_RELEASE);
	dispatch_arm();
	if (copy.masked)
		REAL(pthread_sigmask)(SIG_SETMASK, &copy.mask, NULL);
	return copy;
}

static void *start_thread(void *of)
{
	struct start s = begin(of);
	return s.routine(s.argument);
}

static int start_c11(void *of)
{
	struct start s = begin(of);
	return s.c11(s.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*routine)(void *), void *argument)
{
	if (likely(!dispatch_on))
		return REAL(pthread_create)(thread, attributes, routine, argument);
	sigset_t own;
	/* A mask among its attributes is set before it runs: then ours would be no use. Not 0: there is none. */
	bool masked = !attributes || REAL(pthread_attr_getsigmask_np)(attributes, &own);
	struct start *s = to_start(routine, NULL, argument, masked);
	if (!s)
		return REAL(pthread_create)(thread, attributes, routine, argument);
	own = s->mask; /* the slot is free for others once the thread runs */
	int error = REAL(pthread_create)(thread, attributes, start_thread, s);
	ended(s, error != 0, masked ? &own : NULL);
	return error;
}

int thrd_create(thrd_t *thread, thrd_start_t routine, void *argument)
{
	struct start *s = unlikely(dispatch_on) ? to_start(NULL, routine, argument, true) : NULL;
	if (likely(!s))
		return REAL(thrd_create)(thread, routine, argument);
	sigset_t own = s->mask;
	int error = REAL(thrd_create)(thread, start_c11, s);
	ended(s, error != thrd_success, &own);
	return error;
}

int sigsuspend(const sigset_t *mask)
{
	sigset_t copy;
	return REAL(sigsuspend)(dispatch_mask(mask, &copy));
}
