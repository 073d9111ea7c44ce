/* Scenes of processes: fork, vfork, clone. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

int forks(void)
{
	int device = device_open();
	get(device, 0);
	fflush(stdout);
	for (int i = 0; i < 3; i++) {
		pid_t pid = i == 1 ? vfork() : fork();
		if (!pid) {
			get(device, 4 + 4 * i);
			_exit(i);
		}
		int status;
		waitpid(pid, &status, 0);
		printf("child ended with %d\n", WEXITSTATUS(status));
	}
	pid_t bare = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!bare) {
		get(device, 100);
		_exit(0);
	}
	waitpid(bare, NULL, 0);
	get(device, 200);
	return 0;
}

static int ended(pid_t pid)
{
	int status = -1;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static volatile int counted;
static void count(int nr)
{
	(void)nr;
	counted++;
}

/* What a child of vfork() shares with its parent, its memory, and what it does not: descriptors and handlers. */
int vforks(char **argv)
{
	volatile int error = 0;
	volatile pid_t self = 0;
	int device = device_open(), null = open("/dev/null", O_RDWR), spare = open("/dev/zero", O_RDONLY);
	struct sigaction act = {.sa_handler = count}, now;
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *basic[] = {argv[0], "basic", NULL};

	sigaction(SIGSEGV, &act, NULL);
	get(device, 0);
	fflush(stdout);
	/* An error of exec, a page that fork() would not hand on. */
	madvise(page, 4096, MADV_DONTFORK);
	pid_t pid = vfork();
	if (!pid) {
		execv("/nonexistent", argv);
		error = errno;
		self = getpid();
		page[0] = 7;
		_exit(3);
	}
	printf("%d", ended(pid));
	printf(" %d %d %d\n", error, self == pid, page[0]);
	/* The child closes and fills numbers, reads the device and what is there instead, sets handlers. */
	fflush(stdout);
	pid = vfork();
	if (!pid) {
		uint32_t value;
		get(device, 4);
		signal(SIGSEGV, SIG_DFL);
		dup2(null, device);
		(void)!pread(device, &value, 4, 8);
		close(device);
		close(null);
		dup2(spare, null);
		(void)!pread(null, &value, 4, 12);
		raise(SIGSEGV);
		_exit(4);
	}
	printf("%d", ended(pid));
	get(device, 16);
	raise(SIGSEGV);
	sigaction(SIGSEGV, NULL, &now);
	printf(" %d %d\n", counted, now.sa_handler == count);
	/* A child of the child, by vfork() and by fork(). */
	fflush(stdout);
	for (volatile int i = 0; i < 2; i++) {
		pid = vfork();
		if (!pid) {
			close(i ? null : spare);
			pid_t other = i ? fork() : vfork();
			if (!other) {
				get(device, 20 + 4 * i);
				_exit(5);
			}
			_exit(ended(other) + 1);
		}
		printf("%d ", ended(pid));
	}
	/* A program. */
	fflush(stdout);
	pid = vfork();
	if (!pid) {
		execv("/proc/self/exe", basic);
		_exit(9);
	}
	printf("%d\n", ended(pid));
	get(device, 28);
	return close(device);
}
