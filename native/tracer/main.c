/*
 * vfio-rr-trace PROGRAM [ARGUMENT …]: records a program that cannot be preloaded (static, or calling the kernel
 * itself).
 *
 * Writes the same ring as the interposer, through the same hooks (tracee.h). Only calls that can touch VFIO stop: a
 * seccomp filter picks them (of ioctl all but KVM's). Each costs two stops of the program, some 10 us.
 *
 * Contract: the program's exit status or signal is passed on; 127 when it cannot be started. If this process is killed,
 * so is the program: under the filter each of its calls would fail with ENOSYS (strace --seccomp-bpf does the same).
 * The filter sets no_new_privs, so set-user-ID programs run without their privilege.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "interposer/real.h"
#include "tracee.h"
#include "tracer.h"

static const int stops[] = {
	SYS_read,	  SYS_write,   SYS_pread64,  SYS_pwrite64,    SYS_readv,     SYS_writev,     SYS_preadv,
	SYS_pwritev,	  SYS_preadv2, SYS_pwritev2,
#ifdef SYS_open
	SYS_open,	  SYS_creat,   SYS_dup2,     SYS_poll,	      SYS_select,    SYS_epoll_wait, SYS_eventfd,
#endif
	SYS_openat,	  SYS_openat2, SYS_close,    SYS_close_range, SYS_dup,	     SYS_dup3,	     SYS_fcntl,
	SYS_mmap,	  SYS_munmap,  SYS_mremap,   SYS_mprotect,    SYS_sendmsg,   SYS_recvmsg,    SYS_sendmmsg,
	SYS_recvmmsg,	  SYS_ppoll,   SYS_pselect6, SYS_epoll_pwait, SYS_epoll_ctl, SYS_eventfd2,   SYS_pidfd_getfd,
	SYS_epoll_pwait2,
};
#define STOPS (sizeof stops / sizeof *stops)

static void fail(const char *what)
{
	fprintf(stderr, "vfio-rr-trace: %s: %s\n", what, strerror(errno));
	exit(127);
}

static void install_filter(void)
{
	struct sock_filter f[STOPS * 2 + 12];
	unsigned n = 0;
#define ADD(...) f[n++] = (struct sock_filter)__VA_ARGS__
	ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	for (unsigned i = 0; i < STOPS; i++) {
		ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)stops[i], 0, 1));
		ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
	}
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	/* Any request may be made on a VFIO descriptor. KVM's are not, and KVM_RUN is too frequent to stop at each. */
	ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VRR_KVM_IRQFD, 3, 0));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VRR_KVM_IOEVENTFD, 2, 0));
	ADD(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VRR_KVM_TYPE << 8, 1, 0));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	struct sock_fprog program = {(unsigned short)n, f};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		fail("cannot install a seccomp filter");
}

static pid_t launch(char **argv)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		raise(SIGSTOP); /* until it is traced */
		unsetenv(VRR_ENV_RING);
		install_filter();
		execvp(argv[0], argv);
		fail(argv[0]);
	}
	int status;
	if (waitpid(pid, &status, WUNTRACED) != pid)
		fail("waitpid");
	long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
		       PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	if (ptrace(PTRACE_SEIZE, pid, 0, options))
		fail("ptrace (is it allowed here? see kernel.yama.ptrace_scope)");
	struct tracee *t = tracee_add(pid);
	tracee_belongs(t, NULL, false);
	t->launched = true;
	kill(pid, SIGCONT);
	return pid;
}

static bool read_call(struct tracee *t)
{
	struct __ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, &info) <= 0 || info.arch != AUDIT_ARCH_X86_64)
		return false;
	t->nr = (long)info.seccomp.nr;
	for (int i = 0; i < 6; i++)
		t->arguments[i] = (long)info.seccomp.args[i];
	return true;
}

static long read_result(struct tracee *t)
{
	struct __ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, &info) <= 0)
		return -ENOSYS;
	return (long)info.exit.rval;
}

static void go(struct tracee *t, int how, int signal)
{
	ptrace(how, t->tid, 0, signal);
}

/* The thread group of a new thread: whether it is one of its parent's. */
static bool same_group(pid_t tid, const struct tracee *parent)
{
	char path[64], line[128];
	snprintf(path, sizeof path, "/proc/%d/status", tid);
	FILE *f = fopen(path, "re");
	int tgid = 0;
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Tgid: %d", &tgid) == 1)
			break;
	if (f)
		fclose(f);
	return tgid == parent->process->pid;
}

static void born(struct tracee *parent)
{
	unsigned long message = 0;
	ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &message);
	pid_t tid = (pid_t)message;
	struct tracee *child = tracee_find(tid);
	bool waits = child != NULL; /* it stopped before its parent told of it */
	if (!child)
		child = tracee_add(tid);
	bool thread = same_group(tid, parent);
	if (!thread)
		tracee_note(parent, VRR_OP_FORK, 0, 0, tid, NULL);
	tracee_belongs(child, parent, thread);
	if (waits)
		go(child, PTRACE_CONT, 0);
}

/* A thread that called exec has its leader's number now, and nothing will tell of its own any more. */
static void forget_former(const struct tracee *t)
{
	unsigned long former = 0;
	ptrace(PTRACE_GETEVENTMSG, t->tid, 0, &former);
	struct tracee *gone = (pid_t)former != t->tid ? tracee_find((pid_t)former) : NULL;
	if (gone)
		tracee_remove(gone);
}

static void event(struct tracee *t, int what, int signal)
{
	switch (what) {
	case PTRACE_EVENT_SECCOMP:
		if (!t->launched && read_call(t) && tracee_concerns(t) && tracee_enter(t) == CALL_RESTS)
			go(t, PTRACE_SYSCALL, 0);
		else
			go(t, PTRACE_CONT, 0);
		return;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		born(t);
		break;
	case PTRACE_EVENT_EXEC:
		forget_former(t);
		t->launched = false;
		t->call = CALL_NONE;
		tracee_executed(t);
		break;
	case PTRACE_EVENT_STOP:
		if (!t->process)
			return; /* goes on when its parent has told of it */
		if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
			go(t, PTRACE_LISTEN, 0);
			return;
		}
		break;
	default:
		break;
	}
	go(t, t->call == CALL_RESTS ? PTRACE_SYSCALL : PTRACE_CONT, 0);
}

static void stopped(struct tracee *t, int status)
{
	int signal = WSTOPSIG(status), what = status >> 16;

	if (what) {
		event(t, what, signal);
	} else if (signal == (SIGTRAP | 0x80)) {
		if (t->call == CALL_RESTS)
			tracee_leave(t, read_result(t));
		go(t, PTRACE_CONT, 0);
	} else {
		go(t, t->call == CALL_RESTS ? PTRACE_SYSCALL : PTRACE_CONT, signal);
	}
}

/* Ends as the program did. */
static void end_as(int status)
{
	if (WIFSIGNALED(status)) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		signal(WTERMSIG(status), SIG_DFL);
		raise(WTERMSIG(status));
	}
	exit(WEXITSTATUS(status));
}

/* Ours lies where no program's does by itself, so that an address tells whose it is (memory.c). */
static void *map_ring(void *address, size_t length, int prot, int flags, int fd, off64_t at)
{
	return mmap64(address ? address : (void *)TRACER_RING, length, prot, flags, fd, at);
}

static pid_t program;

/* The terminal sends its signals to the program too; those that somebody sent to us alone are meant for it. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code <= 0)
		kill(program, signal);
}

static void pass_signals(void)
{
	static const int passed[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
	struct sigaction act = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
		sigaction(passed[i], &act, NULL);
}

static void ring_start(void)
{
	const char *path = getenv(VRR_ENV_RING);
	struct stat st;

	*(void **)&real.open64 = (void *)open64;
	*(void **)&real.mmap64 = (void *)map_ring;
	*(void **)&real.munmap = (void *)munmap;
	*(void **)&real.close = (void *)close;
	if (!path || stat(path, &st) || !ring_open(path)) {
		fprintf(stderr,
			"vfio-rr-trace: no ring file to write to; run it through `vfio-rr record --backend=ptrace`\n");
		exit(127);
	}
	tracer_ring_size = (size_t)st.st_size;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: vfio-rr-trace PROGRAM [ARGUMENT ...]\n");
		return 2;
	}
	ring_start();
	tracee_start();
	program = launch(argv + 1);
	pass_signals();
	int status, ended = 0;
	for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
		if (tid <= 0)
			continue;
		struct tracee *t = tracee_find(tid);
		if (!t && WIFSTOPPED(status))
			t = tracee_add(tid);
		if (WIFSTOPPED(status)) {
			stopped(t, status);
			continue;
		}
		if (t)
			tracee_remove(t);
		if (tid == program)
			ended = status;
	}
	end_as(ended);
}
