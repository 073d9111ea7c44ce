/* dispatch [CALLS]: what it costs to catch a system call made outside libc, in multiples of the call untouched.
 * Each way runs in a process of its own and makes the call again in libc's text, as the interposer does. ptrace is
 * measured by `npm run bench:report -- lab`. */
#define _GNU_SOURCE
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum way { UNTOUCHED, LIBC_DISPATCH, LIBC_SECCOMP, DISPATCHED, TRAPPED };
static const char *const names[] = {"untouched", "libc's, dispatch armed", "libc's, filter armed",
				    "dispatched (Syscall User Dispatch)", "trapped (seccomp, by instruction pointer)"};
static uintptr_t text;
static size_t size;

static int find(struct dl_phdr_info *info, size_t unused, void *of)
{
	(void)unused;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		if (info->dlpi_phdr[i].p_flags & PF_X && (uintptr_t)of - start < info->dlpi_phdr[i].p_memsz) {
			text = start;
			size = info->dlpi_phdr[i].p_memsz;
		}
	}
	return 0;
}

static void again(int nr, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	(void)nr;
	uc->uc_mcontext.gregs[REG_RAX] = syscall(info->si_syscall);
}

static void arm(enum way way)
{
	struct sigaction act = {.sa_sigaction = again, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(SIGSYS, &act, NULL);
	if (way == DISPATCHED || way == LIBC_DISPATCH) {
		if (prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 1, text, size, NULL))
			exit(1);
		return;
	}
	/* Within one 4 GiB, as libc's text is but by bad luck. */
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(text >> 32), 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)text, 0, 1),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(text + size), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof f / sizeof *f, f};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		exit(1);
}

static double measure(enum way way, long calls)
{
	struct timespec start, end;
	if (way != UNTOUCHED)
		arm(way);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < calls; i++) {
		long ret;
		if (way == LIBC_DISPATCH || way == LIBC_SECCOMP)
			syscall(SYS_getppid);
		else
			__asm__ volatile("syscall" : "=a"(ret) : "0"((long)SYS_getppid) : "rcx", "r11", "memory");
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / (double)calls;
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) : 300000;
	double untouched = 0;
	dl_iterate_phdr(find, (void *)(uintptr_t)getppid);
	for (enum way way = UNTOUCHED; way <= TRAPPED; way++) {
		double best = 0;
		for (int round = 0; round < 5; round++) {
			int ends[2];
			double ns = 0;
			if (pipe(ends))
				return 1;
			if (fork() == 0) {
				ns = measure(way, calls);
				_exit(write(ends[1], &ns, sizeof ns) != sizeof ns);
			}
			close(ends[1]);
			if (read(ends[0], &ns, sizeof ns) != sizeof ns)
				ns = 0;
			close(ends[0]);
			wait(NULL);
			if (ns > 0 && (best == 0 || ns < best))
				best = ns;
		}
		untouched = way == UNTOUCHED ? best : untouched;
		printf("%-42s %8.0f ns %6.1f x\n", names[way], best, best / untouched);
	}
	return 0;
}
