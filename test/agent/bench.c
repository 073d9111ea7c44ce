/* What the agent costs: CPU time of an agent that performs N four-byte preads which come through a pipe, over that of a
 * loop that makes the same calls.   bench AGENT [N]   Prints nanoseconds a call: "LOOP AGENT". */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "generated/schema.h"

#define FILE_SIZE 4096

static double seconds(const struct rusage *r)
{
	return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) +
	       1e-6 * (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec);
}

static void fail(const char *what)
{
	perror(what);
	exit(3);
}

static double loop(const char *path, long n)
{
	struct rusage before, after;
	int fd = open(path, O_RDWR);
	if (fd < 0)
		fail(path);
	getrusage(RUSAGE_SELF, &before);
	for (long i = 0; i < n; i++) {
		uint32_t value;
		if (pread(fd, &value, sizeof(value), i * 4 % FILE_SIZE) != sizeof(value))
			fail("pread");
	}
	getrusage(RUSAGE_SELF, &after);
	close(fd);
	return seconds(&after) - seconds(&before);
}

/* A process that writes `size` bytes to the pipe, so that the agent's input is what a replayer's is. */
static int feeder(const unsigned char *bytes, size_t size)
{
	int ends[2];
	if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0)
		fail("pipe");
	if (fork() == 0) {
		close(ends[0]);
		for (size_t at = 0; at < size;) {
			ssize_t wrote = write(ends[1], bytes + at, size - at);
			if (wrote <= 0)
				_exit(1);
			at += (size_t)wrote;
		}
		_exit(0);
	}
	close(ends[1]);
	return ends[0];
}

static double agent(const char *program, const char *path, long n)
{
	size_t head = sizeof(struct agent_request) + sizeof(struct agent_part) + 256;
	unsigned char *bytes = calloc(1, head + (size_t)n * sizeof(struct agent_request)), *at = bytes;
	if (!bytes)
		fail("memory");
	size_t length = strlen(path) + 1, padded = (length + 7) & ~7UL;
	struct agent_request *q = (void *)at;
	struct agent_part *p = (void *)(q + 1);
	*q = (struct agent_request){.op = VRR_OP_OPEN, .subject = 1, .a = O_RDWR, .parts = 1};
	*p = (struct agent_part){.type = VRR_AGENT_PART_ARG, .length = (uint32_t)length};
	memcpy(p + 1, path, length);
	q->size = (uint32_t)(sizeof(*q) + sizeof(*p) + padded);
	at += q->size;
	for (long i = 0; i < n; i++, at += sizeof(*q))
		*(struct agent_request *)at = (struct agent_request){
			.size = sizeof(*q),
			.op = VRR_OP_PREAD,
			.tag = (uint32_t)i,
			.subject = 1,
			.a = (uint64_t)(i * 4 % FILE_SIZE),
			.b = 4,
		};
	int in = feeder(bytes, (size_t)(at - bytes)), ends[2];
	if (pipe(ends) || fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0)
		fail("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(in, 0);
		dup2(ends[1], 1);
		close(ends[0]);
		execl(program, program, (char *)NULL);
		fail(program);
	}
	close(in);
	close(ends[1]);
	static unsigned char replies[1 << 20];
	uint64_t got = 0;
	for (ssize_t r; (r = read(ends[0], replies, sizeof(replies))) > 0;)
		got += (uint64_t)r;
	struct rusage used;
	int status;
	if (wait4(pid, &status, 0, &used) != pid || status)
		fail("the agent");
	if (got < (uint64_t)n * (sizeof(struct agent_reply) + sizeof(struct agent_part) + 8)) {
		fprintf(stderr, "only %llu bytes of replies\n", (unsigned long long)got);
		exit(3);
	}
	free(bytes);
	return seconds(&used);
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[2]) : 1000000;
	if (argc < 2 || n <= 0)
		return 2;
	int file = memfd_create("vfio-rr-bench", 0);
	char path[64];
	sprintf(path, "/proc/%d/fd/%d", getpid(), file);
	if (file < 0 || ftruncate(file, FILE_SIZE))
		fail("memfd");
	/* The lesser of some rounds: the machine may be busy with other things. */
	double best_loop = 1e9, best_agent = 1e9;
	for (int round = 0; round < 5; round++) {
		double a = loop(path, n), b = agent(argv[1], path, n);
		best_loop = a < best_loop ? a : best_loop;
		best_agent = b < best_agent ? b : best_agent;
	}
	printf("%.1f %.1f\n", best_loop / (double)n * 1e9, best_agent / (double)n * 1e9);
	return 0;
}
