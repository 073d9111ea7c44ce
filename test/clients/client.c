#include "client.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static int failures;

static void allow_only(const char *numbers)
{
	struct sock_filter code[256];
	unsigned count = 0, at = 0;
	unsigned allowed[100];
	char *end;

	while (*numbers && count < 100) {
		allowed[count++] = (unsigned)strtoul(numbers, &end, 10);
		numbers = *end == ',' ? end + 1 : end;
	}
	code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < count; i++) {
		code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
		code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	struct sock_fprog program = {.len = (unsigned short)at, .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		give_up("no seccomp filter");
}

void client_start(void)
{
	static char buffer[4096];
	const char *numbers = getenv("VFIO_CLIENT_SYSCALLS");

	setvbuf(stdout, buffer, _IOLBF, sizeof(buffer));
	puts("start"); /* the first write is where a judge begins to compare system calls */
	if (numbers) {
		allow_only(numbers);
		unsetenv("VFIO_CLIENT_SYSCALLS"); /* the filter outlives exec */
	}
}

int client_status(void)
{
	puts(failures ? "failed" : "done");
	return failures != 0;
}

static void line(const char *name, long ret, const char *value, int want)
{
	int error = ret < 0 ? errno : 0;

	if (error)
		printf("%s = -1 %s", name, strerrorname_np(error));
	else if (value)
		printf("%s = %s", name, value);
	else
		printf("%s = %ld", name, ret);
	if (want >= 0 && error != want) {
		printf(" (wanted %s)", want ? strerrorname_np(want) : "success");
		failures++;
	}
	putchar('\n');
	errno = error;
}

long expect(const char *name, long ret, int want)
{
	line(name, ret, NULL, want);
	return ret;
}

int expect_fd(const char *name, int fd, int want)
{
	line(name, fd, "a descriptor", want);
	return fd;
}

long report(const char *name, long ret)
{
	line(name, ret, NULL, -1);
	return ret;
}

void check(const char *name, uint64_t value, uint64_t want)
{
	printf("%s: %#llx", name, (unsigned long long)value);
	if (value != want) {
		printf(" (wanted %#llx)", (unsigned long long)want);
		failures++;
	}
	putchar('\n');
}

void note(const char *name, uint64_t value)
{
	printf("%s: %#llx\n", name, (unsigned long long)value);
}

void give_up(const char *message)
{
	printf("%s\n", message);
	fflush(stdout);
	exit(1);
}
