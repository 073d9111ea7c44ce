#define _GNU_SOURCE
#include "perform.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "generated/schema.h"
#include "pipe.h"
#include "slots.h"

/* A kernel that writes more than a structure's stated size, or a statement that is wrong, must not hit what follows. */
#define SLACK	  4096u
#define PARTS_MAX 4096u
#define NAMES_MAX (1u << 20)

struct part {
	const struct agent_part *head;
	const unsigned char *bytes;
	unsigned char *placed; /* BUFFER, ZEROES: where the kernel saw it */
	uint32_t length;       /* of it */
};

struct request {
	const struct agent_request *head;
	struct part *parts;
	uint32_t count;
	unsigned char *arg; /* the kernel's copy, in the reply */
	uint32_t arg_length;
	const unsigned char *given; /* ARG as it came */
	bool has_arg;
};

static struct part parts[PARTS_MAX];
static unsigned char *scratch;
static size_t scratch_size;

static uint64_t padded(uint64_t n)
{
	return (n + 7) & ~7ULL;
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void parse(struct request *r, const unsigned char *frame, uint32_t size)
{
	const struct agent_request *q = (const void *)frame;
	unsigned long long at = pipe_position();
	uint32_t from = sizeof(*q);
	if (q->parts > PARTS_MAX)
		broken("input byte %llu: %u parts in a frame; at most %u", at, q->parts, PARTS_MAX);
	*r = (struct request){.head = q, .parts = parts, .count = q->parts};
	for (uint32_t i = 0; i < q->parts; i++) {
		const struct agent_part *p = (const void *)(frame + from);
		if (size - from < sizeof(*p) || padded(p->length) > size - from - sizeof(*p))
			broken("input byte %llu: part %u goes beyond the frame's %u bytes", at + from, i, size);
		parts[i] = (struct part){.head = p, .bytes = frame + from + sizeof(*p), .length = p->length};
		if (p->type == VRR_AGENT_PART_ARG) {
			if (i)
				broken("input byte %llu: the argument is part %u; it is the first", at + from, i);
			r->has_arg = true;
			r->given = parts[i].bytes;
			r->arg_length = p->length;
		} else if (p->type == VRR_AGENT_PART_ZEROES) {
			if (p->slot > VRR_AGENT_FRAME_MAX)
				broken("input byte %llu: %u bytes of zeroes", at + from, p->slot);
			parts[i].length = p->slot;
		} else if (p->type < VRR_AGENT_PART_ARG || p->type > VRR_AGENT_PART_KEEP_MEMORY)
			broken("input byte %llu: part of unknown type %u", at + from, p->type);
		from += (uint32_t)(sizeof(*p) + padded(p->length));
	}
	if (from != size)
		broken("input byte %llu: a frame of %u bytes whose parts take %u", at, size, from);
}

static unsigned char *field(const struct request *r, const struct part *p, uint32_t width)
{
	if (p->head->at > r->arg_length || r->arg_length - p->head->at < width)
		broken("input byte %llu: a part at %u of an argument of %u bytes", (unsigned long long)pipe_position(),
		       p->head->at, r->arg_length);
	return r->arg + p->head->at;
}

/* Puts buffers behind their pointers and numbers into their fields. Returns 0, or the error when a slot is empty. */
static int64_t prepare(struct request *r)
{
	size_t need = 0;
	for (uint32_t i = 0; i < r->count; i++)
		if (r->parts[i].head->type == VRR_AGENT_PART_BUFFER || r->parts[i].head->type == VRR_AGENT_PART_ZEROES)
			need += padded(r->parts[i].length) + SLACK;
	if (need > scratch_size) {
		free(scratch);
		scratch_size = need + (1u << 20);
		scratch = aligned_alloc(4096, (scratch_size + 4095) & ~(size_t)4095);
		if (!scratch)
			broken("no memory for buffers of %zu bytes", need);
	}
	unsigned char *next = scratch;
	for (uint32_t i = 0; i < r->count; i++) {
		struct part *p = &r->parts[i];
		const struct slot *s;
		uint64_t value;
		int32_t narrow;
		switch (p->head->type) {
		case VRR_AGENT_PART_BUFFER:
		case VRR_AGENT_PART_ZEROES:
			p->placed = next;
			if (p->head->type == VRR_AGENT_PART_ZEROES)
				memset(next, 0, p->length);
			else
				memcpy(next, p->bytes, p->length);
			next += padded(p->length) + SLACK;
			value = (uintptr_t)p->placed;
			memcpy(field(r, p, 8), &value, 8);
			break;
		case VRR_AGENT_PART_FD:
			if (!(s = slots_get(p->head->slot, SLOT_FD)))
				return -EBADF;
			narrow = (int32_t)s->value;
			memcpy(field(r, p, 4), &narrow, 4);
			break;
		case VRR_AGENT_PART_ID:
			if (!(s = slots_get(p->head->slot, SLOT_ID)))
				return -ENOENT;
			narrow = (int32_t)s->value;
			memcpy(field(r, p, 4), &narrow, 4);
			break;
		case VRR_AGENT_PART_ADDRESS:
			if (p->length != 8)
				broken("input byte %llu: an address part of %u bytes",
				       (unsigned long long)pipe_position(), p->length);
			if (!(s = slots_get(p->head->slot, SLOT_MEMORY)))
				return -EFAULT;
			memcpy(&value, p->bytes, 8);
			value += s->value;
			memcpy(field(r, p, 8), &value, 8);
			break;
		default: /* the KEEP parts come after the call */
			break;
		}
	}
	return 0;
}

static void put(uint32_t slot, enum slot_kind kind, uint64_t value, uint64_t length)
{
	if (!slots_put(slot, kind, value, length))
		broken("input byte %llu: slot %u: at most %u, or no memory", (unsigned long long)pipe_position(), slot,
		       SLOTS_MAX);
}

static void keep(const struct request *r, int64_t ret)
{
	for (uint32_t i = 0; i < r->count; i++) {
		const struct part *p = &r->parts[i];
		int32_t value = (int32_t)ret;
		uint16_t type = p->head->type;
		if (type != VRR_AGENT_PART_KEEP_FD && type != VRR_AGENT_PART_KEEP_ID)
			continue;
		if (p->head->at != VRR_AGENT_RET)
			memcpy(&value, field(r, p, 4), 4);
		if (type == VRR_AGENT_PART_KEEP_ID)
			put(p->head->slot, SLOT_ID, (uint32_t)value, 0);
		else if (value >= 0)
			put(p->head->slot, SLOT_FD, (uint64_t)value, 0);
	}
}

static int64_t result(int64_t ret)
{
	return ret < 0 ? -errno : ret;
}

static bool ready(int fd, short events, uint32_t ms)
{
	struct pollfd p = {fd, events, 0};
	int n;
	uint64_t end = now() + ms * 1000000ULL;
	while ((n = poll(&p, 1, (int)ms)) < 0 && errno == EINTR && now() < end)
		;
	return n != 0;
}

static void nap(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static int64_t read_once(const struct agent_request *q, int fd, unsigned char *to)
{
	if (q->op == VRR_OP_PREAD)
		return result(pread(fd, to, q->b, (off_t)q->a));
	if (q->timeout && !ready(fd, POLLIN, q->timeout))
		return -ETIMEDOUT;
	return result(read(fd, to, q->b));
}

/* Nothing is mapped in the first page (vm.mmap_min_addr). */
static void *nowhere(void)
{
	return (void *)(uintptr_t)16;
}

static int64_t fault(const struct agent_request *q, int fd)
{
	switch (q->op) {
	case VRR_OP_PREAD:
		return result(pread(fd, nowhere(), q->b, (off_t)q->a));
	case VRR_OP_PWRITE:
		return result(pwrite(fd, nowhere(), q->b, (off_t)q->a));
	case VRR_OP_READ:
		return result(read(fd, nowhere(), q->b));
	default:
		return result(write(fd, nowhere(), q->b));
	}
}

static int64_t do_read(const struct request *r, int fd, unsigned char *to)
{
	const struct agent_request *q = r->head;
	int64_t ret = read_once(q, fd, to);
	if (!(q->flags & VRR_AGENT_FLAG_UNTIL) || !r->has_arg)
		return ret;
	uint64_t end = now() + q->timeout * 1000000ULL;
	for (uint64_t wait = 1000; ret != r->arg_length || memcmp(to, r->given, r->arg_length); wait *= 2) {
		if (now() >= end)
			break;
		nap(wait < 1000000 ? wait : 1000000);
		ret = read_once(q, fd, to);
	}
	return ret;
}

static int64_t do_poll(const struct request *r)
{
	struct pollfd *fds = (struct pollfd *)r->arg;
	uint32_t count = r->arg_length / (uint32_t)sizeof(*fds);
	const struct pollfd *awaited = (const struct pollfd *)r->given;
	uint64_t end = now() + r->head->timeout * 1000000ULL;
	for (;;) {
		int n = poll(fds, count, 0);
		bool all = true;
		for (uint32_t i = 0; i < count; i++)
			all = all && (fds[i].revents & awaited[i].revents) == awaited[i].revents;
		if (all || now() >= end)
			return result(n);
		nap(100000);
	}
}

static int64_t do_mmap(const struct request *r, int fd)
{
	struct {
		uint64_t addr, length, prot, flags, offset;
	} m;
	if (r->arg_length < sizeof(m))
		return -EINVAL;
	memcpy(&m, r->given, sizeof(m));
	void *p = mmap(NULL, m.length, (int)m.prot, (int)m.flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE), fd,
		       (off_t)m.offset);
	if (p == MAP_FAILED)
		return -errno;
	for (uint32_t i = 0; i < r->count; i++)
		if (r->parts[i].head->type == VRR_AGENT_PART_KEEP_MEMORY) {
			put(r->parts[i].head->slot, SLOT_MEMORY, (uintptr_t)p, m.length);
			return 0;
		}
	munmap(p, m.length);
	return 0;
}

static int64_t do_munmap(const struct agent_request *q)
{
	const struct slot *s = slots_get(q->subject, SLOT_MEMORY);
	if (!s || q->a > s->length)
		return -EFAULT;
	int64_t ret = result(munmap((void *)(uintptr_t)(s->value + q->a), q->b));
	if (ret == 0 && q->a == 0 && q->b >= s->length)
		slots_forget(q->subject);
	return ret;
}

static int64_t do_list(const char *path, unsigned char *to)
{
	DIR *dir = opendir(path);
	if (!dir)
		return -errno;
	size_t used = 0;
	for (const struct dirent *e; (e = readdir(dir));) {
		size_t n = strlen(e->d_name) + 1;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || used + n > NAMES_MAX)
			continue;
		memcpy(to + used, e->d_name, n);
		used += n;
	}
	closedir(dir);
	return (int64_t)used;
}

#define NOT_OWN INT64_MIN /* no answer of a kernel */

/* Ops that need no descriptor. NOT_OWN: not one of them. */
static int64_t own(const struct request *r, unsigned char *to)
{
	const struct agent_request *q = r->head;
	const struct slot *s;
	int64_t ret;
	switch (q->op) {
	case VRR_OP_OPEN:
		if (!r->arg_length || r->given[r->arg_length - 1])
			return -EFAULT;
		ret = result(open((const char *)r->given, (int)q->a | O_CLOEXEC, (mode_t)q->b));
		if (ret >= 0)
			put(q->subject, SLOT_FD, (uint64_t)ret, 0);
		return ret;
	case VRR_OP_EVENTFD:
		ret = result(eventfd((unsigned)q->a, (int)q->b));
		if (ret >= 0)
			put(q->subject, SLOT_FD, (uint64_t)ret, 0);
		return ret;
	case VRR_OP_DUP:
		if (!(s = slots_get((uint32_t)q->a, SLOT_FD)))
			return -EBADF;
		ret = result(dup((int)s->value));
		if (ret >= 0)
			put(q->subject, SLOT_FD, (uint64_t)ret, 0);
		return ret;
	case VRR_OP_POLL:
		return r->has_arg ? do_poll(r) : -EFAULT;
	case VRR_OP_MUNMAP:
		return do_munmap(q);
	case VRR_AGENT_OP_MEMORY: {
		int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef MAP_32BIT
		flags |= q->b == 1 ? MAP_32BIT : 0;
#endif
		void *p = mmap(NULL, q->a, PROT_READ | PROT_WRITE, flags, -1, 0);
		if (p == MAP_FAILED)
			return -errno;
		put(q->subject, SLOT_MEMORY, (uintptr_t)p, q->a);
		return 0;
	}
	case VRR_AGENT_OP_FREE:
		if (!slots_get(q->subject, SLOT_MEMORY))
			return -EFAULT;
		put(q->subject, SLOT_EMPTY, 0, 0);
		return 0;
	case VRR_AGENT_OP_SLEEP:
		nap(q->a);
		return 0;
	case VRR_AGENT_OP_PEEK:
	case VRR_AGENT_OP_POKE: {
		uint64_t n = q->op == VRR_AGENT_OP_PEEK ? q->b : r->arg_length;
		s = slots_get(q->subject, SLOT_MEMORY);
		if (!s || q->a > s->length || n > s->length - q->a)
			return -EFAULT;
		unsigned char *at = (unsigned char *)(uintptr_t)s->value + q->a;
		if (q->op == VRR_AGENT_OP_PEEK)
			memcpy(to, at, n);
		else if (n)
			memcpy(at, r->given, n);
		return (int64_t)n;
	}
	case VRR_AGENT_OP_LINK:
	case VRR_AGENT_OP_LIST:
		if (!r->arg_length || r->given[r->arg_length - 1])
			return -EFAULT;
		if (q->op == VRR_AGENT_OP_LIST)
			return do_list((const char *)r->given, to);
		return result(readlink((const char *)r->given, (char *)to, NAMES_MAX));
	default:
		return NOT_OWN;
	}
}

/* Ops on the descriptor in the subject's slot. */
static int64_t on_descriptor(const struct request *r, int fd, unsigned char *to)
{
	const struct agent_request *q = r->head;
	if (q->flags & VRR_AGENT_FLAG_FAULT && q->op >= VRR_OP_PREAD && q->op <= VRR_OP_WRITE)
		return fault(q, fd);
	switch (q->op) {
	case VRR_OP_IOCTL:
		if (r->has_arg)
			return result(ioctl(fd, (unsigned long)q->a, r->arg));
		return result(ioctl(fd, (unsigned long)q->a, (unsigned long)q->b));
	case VRR_OP_PREAD:
	case VRR_OP_READ:
		return do_read(r, fd, to);
	case VRR_OP_PWRITE:
		return result(pwrite(fd, r->given, r->arg_length, (off_t)q->a));
	case VRR_OP_WRITE:
		if (q->timeout && !ready(fd, POLLOUT, q->timeout))
			return -ETIMEDOUT;
		return result(write(fd, r->given, r->arg_length));
	case VRR_OP_CLOSE:
		slots_forget(q->subject);
		return result(close(fd));
	case VRR_OP_FCNTL:
		return result(fcntl(fd, (int)q->a, (unsigned long)q->b));
	case VRR_OP_MMAP:
		return do_mmap(r, fd);
	default:
		return -ENOTSUP;
	}
}

/* Bytes that the op gives back in ARG besides its argument: at most so many, for its result. */
static uint64_t answer_room(const struct agent_request *q)
{
	switch (q->op) {
	case VRR_OP_PREAD:
	case VRR_OP_READ:
	case VRR_AGENT_OP_PEEK:
		return q->b;
	case VRR_AGENT_OP_LINK:
	case VRR_AGENT_OP_LIST:
		return NAMES_MAX;
	default:
		return 0;
	}
}

static bool sends_back(const struct agent_request *q)
{
	return q->op == VRR_OP_IOCTL || q->op == VRR_OP_POLL;
}

static size_t add_part(unsigned char *reply, size_t used, uint16_t type, uint32_t at, const void *bytes,
		       uint32_t length)
{
	struct agent_part *p = (struct agent_part *)(reply + used);
	unsigned char *to = (unsigned char *)(p + 1);
	*p = (struct agent_part){.type = type, .at = at, .length = length};
	if (bytes != to)
		memcpy(to, bytes, length);
	memset(to + length, 0, padded(length) - length);
	return used + sizeof(*p) + padded(length);
}

void perform(const unsigned char *frame, uint32_t size)
{
	struct request r;
	parse(&r, frame, size);
	const struct agent_request *q = r.head;

	/* What the kernel reads and writes lies in the reply where it will be sent from. An ioctl's argument says its
	 * own size (argsz), which may be more than the bytes that were recorded. */
	uint64_t answer = answer_room(q), room = answer;
	if (sends_back(q) && r.has_arg) {
		uint32_t says = 0;
		if (r.arg_length >= 4)
			memcpy(&says, r.given, 4);
		room = says > r.arg_length && says <= VRR_AGENT_FRAME_MAX ? says : r.arg_length;
	}
	for (uint32_t i = 0; i < r.count; i++)
		if (r.parts[i].head->type == VRR_AGENT_PART_BUFFER || r.parts[i].head->type == VRR_AGENT_PART_ZEROES)
			room += sizeof(struct agent_part) + padded(r.parts[i].length);
	if (room > VRR_AGENT_FRAME_MAX - SLACK)
		broken("input byte %llu: the reply would have %llu bytes", (unsigned long long)pipe_position(),
		       (unsigned long long)room);
	unsigned char *reply = pipe_room(sizeof(struct agent_reply) + sizeof(struct agent_part) + room + SLACK);
	unsigned char *to = reply + sizeof(struct agent_reply) + sizeof(struct agent_part);
	if (sends_back(q) && r.has_arg) {
		r.arg = to;
		memcpy(to, r.given, r.arg_length);
		if (room > r.arg_length)
			memset(to + r.arg_length, 0, room - r.arg_length);
	}

	int64_t ret = sends_back(q) && r.count > 1 ? prepare(&r) : 0;
	uint64_t start = now();
	if (ret == 0) {
		const struct slot *s = slots_get(q->subject, SLOT_FD);
		ret = own(&r, to);
		if (ret == NOT_OWN)
			ret = s ? on_descriptor(&r, (int)s->value, to) : -EBADF;
	}
	uint64_t duration = now() - start;
	if (ret >= 0 && sends_back(q))
		keep(&r, ret);

	size_t used = sizeof(struct agent_reply);
	uint32_t count = 0;
	if (sends_back(q) && r.has_arg)
		used = add_part(reply, used, VRR_AGENT_PART_ARG, 0, to, r.arg_length), count++;
	else if (answer && ret > 0)
		used = add_part(reply, used, VRR_AGENT_PART_ARG, 0, to,
				(uint32_t)((uint64_t)ret < answer ? (uint64_t)ret : answer)),
		count++;
	for (uint32_t i = 0; i < r.count; i++)
		if (r.parts[i].placed) {
			used = add_part(reply, used, VRR_AGENT_PART_BUFFER, r.parts[i].head->at, r.parts[i].placed,
					r.parts[i].length);
			count++;
		}
	*(struct agent_reply *)reply = (struct agent_reply){
		.size = (uint32_t)used,
		.tag = q->tag,
		.ret = ret,
		.duration = duration,
		.parts = count,
	};
	pipe_commit(used);
}
