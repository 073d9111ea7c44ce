/*
 * Threads that are traced, and the interposer's hooks run on their behalf.
 *
 * The hooks (interposer/hooks_*.c) are written around a call: they record what goes in, make the call, record what
 * came out. Here each runs in a coroutine of its own: where a hook makes the call, the coroutine rests and the traced
 * thread makes it; at the call's exit the hook goes on with the result. So what is recorded, and how, is one piece of
 * code for both backends.
 *
 * Contract: one thread; tracee_enter() and tracee_leave() say whose memory guard_copy() reaches, whose descriptors
 * fds[] holds and whose stream rec_begin() writes, for as long as they run.
 */
#ifndef VFIO_RR_TRACEE_H
#define VFIO_RR_TRACEE_H
#include <ucontext.h>

#include "interposer/fds.h"
#include "interposer/stream.h"

/** Processes that share descriptors. */
struct process {
	pid_t pid;
	int threads;
	uint32_t (*table)[FDS_MAX];
	int memory; /* /proc/PID/mem; -1: not open */
	char exe[256];
};
enum call { CALL_NONE, CALL_RESTS, CALL_DONE };
struct tracee {
	pid_t tid;
	struct process *process; /* NULL: its parent has not told of it yet */
	enum call call;
	long nr, arguments[6], result;
	unsigned missed;    /* of the call: copies of which nothing could be had */
	struct thread self; /* its streams */
	ucontext_t context;
	char *stack;
	bool launched; /* the program itself, before its exec */
	struct tracee *next;
};

struct tracee *tracee_find(pid_t tid);
struct tracee *tracee_add(pid_t tid);
void tracee_remove(struct tracee *t);
/** Its process is a new one with a copy of the parent's descriptors, or the parent's own (a thread). */
void tracee_belongs(struct tracee *t, const struct tracee *parent, bool thread);
/** The process has another program now: only descriptors that are still open are watched. */
void tracee_executed(struct tracee *t);

/** Whether the call can touch anything watched: if not, it need not stop at its exit. */
bool tracee_concerns(const struct tracee *t);
/** At the call's entry: runs the hook up to the call. CALL_DONE: nothing to be recorded at its exit. */
enum call tracee_enter(struct tracee *t);
/** At its exit, with the kernel's result: runs the rest of the hook. */
void tracee_leave(struct tracee *t, long result);

/** Starts the machinery: the hooks' calls become the traced thread's. */
void tracee_start(void);
/** A note of the tracer's own in the thread's stream. */
void tracee_note(struct tracee *t, int op, uint64_t a, uint64_t b, long ret, const char *path);

#endif
