#define _GNU_SOURCE
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "generated/schema.h"

#define READ_SIZE (256u << 10)
/* Replies are sent in pieces of at least this many bytes, or when there is nothing left to do. */
#define SEND_SIZE (64u << 10)

static struct {
	unsigned char *data;
	size_t size, from, to; /* unread bytes are data[from..to) */
	uint64_t position;     /* of data[0] in the input */
	bool ended;
} in;

static struct {
	unsigned char *data;
	size_t size, from, to;
} out;

static uint32_t last_frame;

void broken(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("vfio-rr-agent: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	pipe_flush(); /* what was done before the damage is answered */
	exit(3);
}

void pipe_init(void)
{
	struct stat st;
	signal(SIGPIPE, SIG_IGN);
	/* A terminal's or file's flags belong to others too; a pipe or socket has only us at this end. */
	if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
}

uint64_t pipe_position(void)
{
	return in.position + in.from - last_frame;
}

static void *bigger(void *data, size_t *size, size_t need)
{
	size_t want = *size ? *size : 2 * READ_SIZE;
	while (want < need)
		want *= 2;
	void *p = realloc(data, want);
	if (!p) {
		fprintf(stderr, "vfio-rr-agent: no memory for a buffer of %zu bytes\n", want);
		exit(3);
	}
	*size = want;
	return p;
}

/* One read; waits if nothing is there. */
static void read_some(void)
{
	if (in.size - in.to < READ_SIZE)
		in.data = bigger(in.data, &in.size, in.to + READ_SIZE);
	ssize_t n = read(STDIN_FILENO, in.data + in.to, in.size - in.to);
	if (n > 0)
		in.to += (size_t)n;
	else if (n == 0)
		in.ended = true;
	else if (errno == EAGAIN || errno == EWOULDBLOCK)
		poll(&(struct pollfd){STDIN_FILENO, POLLIN, 0}, 1, -1);
	else if (errno != EINTR) {
		fprintf(stderr, "vfio-rr-agent: standard input cannot be read: %s\n", strerror(errno));
		exit(3);
	}
}

void pipe_flush(void)
{
	while (out.from < out.to) {
		ssize_t n = write(STDOUT_FILENO, out.data + out.from, out.to - out.from);
		if (n >= 0) {
			out.from += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			exit(3); /* nobody reads any more: nobody to tell */
		struct pollfd fds[2] = {{STDOUT_FILENO, POLLOUT, 0}, {STDIN_FILENO, POLLIN, 0}};
		if (poll(fds, in.ended ? 1 : 2, -1) < 0 && errno != EINTR)
			exit(3);
		if (!in.ended && (fds[1].revents & (POLLIN | POLLHUP)))
			read_some();
	}
	out.from = out.to = 0;
}

unsigned char *pipe_room(size_t room)
{
	if (out.size - out.to < room)
		out.data = bigger(out.data, &out.size, out.to + room);
	return out.data + out.to;
}

void pipe_commit(size_t size)
{
	out.to += size;
}

const unsigned char *pipe_next(uint32_t *size)
{
	if (out.to >= SEND_SIZE)
		pipe_flush(); /* may move the input, so not while a frame is in use */
	for (;;) {
		size_t have = in.to - in.from;
		uint32_t need = sizeof(struct agent_request);
		last_frame = 0;
		if (have >= sizeof(uint32_t)) {
			memcpy(&need, in.data + in.from, sizeof(need));
			if (need < sizeof(struct agent_request) || need > VRR_AGENT_FRAME_MAX || need % 8)
				broken("input byte %llu: a frame of %u bytes; it has %zu to %u, a multiple of 8",
				       (unsigned long long)pipe_position(), need, sizeof(struct agent_request),
				       VRR_AGENT_FRAME_MAX);
			if (have >= need) {
				const unsigned char *frame = in.data + in.from;
				in.from += need;
				last_frame = *size = need;
				return frame;
			}
		}
		if (in.ended) {
			if (have)
				broken("input byte %llu: the input ends after %zu of a frame's %u bytes",
				       (unsigned long long)pipe_position(), have, need);
			return NULL;
		}
		/* Nothing whole is left to do: answer, make the buffer's start free, and wait. */
		pipe_flush();
		if (in.to - in.from != have)
			continue; /* the flush read ahead */
		if (in.from) {
			memmove(in.data, in.data + in.from, have);
			in.position += in.from;
			in.from = 0;
			in.to = have;
		}
		read_some();
	}
}
