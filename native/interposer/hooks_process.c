/* fork (vfork.c has its sister), exec, and calls that tell that a seccomp filter comes. */
#include "dispatch.h"
#include "fds.h"
#include "guard.h"
#include "process.h"
#include "real.h"
#include "ring.h"

pid_t fork(void)
{
	if (!ring)
		return REAL(fork)();
	uint32_t before = *process_generation;
	struct rec r;
	rec_begin(&r, VRR_OP_FORK, -1, 0, 0, 0, 0);
	rec_enter(&r, 0);
	pid_t pid = REAL(fork)();
	if (pid == 0) {
		/* The record is the parent's. Handlers of pthread_atfork() may have made the child known already. */
		if (!*process_generation || *process_generation == before)
			process_forked();
		return 0;
	}
	rec_leave(&r, rec_result(pid));
	rec_end(&r, 0);
	return pid;
}

/* ---- exec: a call that does not return when it succeeds ---- */

static void exec_begin(struct rec *r, const char *path, int dir)
{
	r->record = NULL;
	if (!ring)
		return;
	char copy[256];
	ssize_t whole = path ? guard_string(copy, path, sizeof copy) : 0;
	size_t length = whole < 0 ? sizeof copy : (size_t)whole; /* longer, or not readable: what of it is */
	rec_begin(r, VRR_OP_EXEC, dir, 0, 0, 0, (uint32_t)rec_size(length));
	rec_chunk(r, VRR_WHERE_PATH, VRR_PHASE_IN, path, length, length);
	rec_enter(r, 0);
}

static int exec_end(struct rec *r, int ret)
{
	rec_leave(r, rec_result(ret));
	rec_end(r, 0);
	return ret;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
	struct rec r;
	exec_begin(&r, path, -1);
	return exec_end(&r, REAL(execve)(path, argv, envp));
}

int execv(const char *path, char *const argv[])
{
	struct rec r;
	exec_begin(&r, path, -1);
	return exec_end(&r, REAL(execv)(path, argv));
}

int execvp(const char *file, char *const argv[])
{
	struct rec r;
	exec_begin(&r, file, -1);
	return exec_end(&r, REAL(execvp)(file, argv));
}

int execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct rec r;
	exec_begin(&r, file, -1);
	return exec_end(&r, REAL(execvpe)(file, argv, envp));
}

int fexecve(int fd, char *const argv[], char *const envp[])
{
	struct rec r;
	exec_begin(&r, NULL, fd);
	return exec_end(&r, REAL(fexecve)(fd, argv, envp));
}

int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct rec r;
	exec_begin(&r, path, dir);
	return exec_end(&r, REAL(execveat)(dir, path, argv, envp, flags));
}

/* The listed arguments become a vector on the stack, as in libc. */
#define GATHER(argv, first, list)                                   \
	size_t count = 1;                                           \
	va_start(list, first);                                      \
	while (va_arg(list, char *))                                \
		count++;                                            \
	va_end(list);                                               \
	char **argv = __builtin_alloca((count + 1) * sizeof *argv); \
	argv[0] = (char *)(uintptr_t)first;                         \
	va_start(list, first);                                      \
	for (size_t i = 1; i <= count; i++)                         \
		argv[i] = va_arg(list, char *);

int execl(const char *path, const char *first, ...)
{
	va_list list;
	GATHER(argv, first, list)
	va_end(list);
	return execv(path, argv);
}

int execlp(const char *file, const char *first, ...)
{
	va_list list;
	GATHER(argv, first, list)
	va_end(list);
	return execvp(file, argv);
}

int execle(const char *path, const char *first, ...)
{
	va_list list;
	GATHER(argv, first, list)
	char **envp = va_arg(list, char **);
	va_end(list);
	return execve(path, argv, envp);
}

/* ---- seccomp ---- */

int prctl(int option, ...)
{
	va_list list;
	va_start(list, option);
	unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long), c = va_arg(list, unsigned long),
		      d = va_arg(list, unsigned long);
	va_end(list);
	if (option == PR_SET_SECCOMP)
		process_filter(true);
	if (option == PR_SET_SYSCALL_USER_DISPATCH)
		dispatch_stop(true);
	return REAL(prctl)(option, a, b, c, d);
}
