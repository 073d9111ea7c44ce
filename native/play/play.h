/* libvfio-rr-play.so: the server of `vfio-rr play` answers instead of the kernel.
 *
 * It lies under the recorder's library in LD_PRELOAD, so what the recorder sees as the kernel's answer is the server's.
 * Played descriptors are real ones (files and FIFOs of the play directory): fstat, poll, dup, fork and SCM_RIGHTS need
 * no help. Without VFIO_RR_PLAY in the environment every call goes straight on.
 *
 * A guest in someone else's process: errno is kept, nothing is printed, and when the server is gone calls fail with
 * EIO. */
#ifndef VFIO_RR_PLAY_H
#define VFIO_RR_PLAY_H
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>
#include "schema.h"

#define EXPORT		   __attribute__((visibility("default")))
/* The next definition of `name` after this library: the program would have called it without us. */
#define NEXT(name)	   ((__typeof__(&name))play_next(#name, &next_##name))
#define DECLARE_NEXT(name) static void *next_##name

/* Descriptors above this are not ours: the table is fixed so that looking up takes no lock. */
#define PLAY_FD_MAX	   65536

struct played {
	uint32_t handle; /* 0: not played */
	uint8_t kind;	 /* VRR_KIND_* */
};
/* What play itself needs open in the program: to it, that number is not there. */
static const struct played play_own = {0, 0xff};

/* transport.c */
extern char play_dir[]; /* "" when nothing is played */
bool play_on(void);
void *play_next(const char *name, void **slot);
struct play_answer {
	struct play_reply reply;
	int32_t signals[VRR_PLAY_SIGNALS_MAX];
	char data[VRR_PLAY_INLINE_MAX];
};
/* Asks the server. `data` of `length` bytes goes along; the rest of the request is filled in here except op, handle,
 * fd, a, b, c, d. The answer's ret is -EIO when the server is gone. Signals the eventfds that the answer names, and
 * makes the descriptors that it calls for, with `flags` of O_CLOEXEC and O_NONBLOCK. */
void play_ask_making(struct play_request *request, const void *data, size_t length, struct play_answer *answer,
		     int flags);
static inline void play_ask(struct play_request *request, const void *data, size_t length, struct play_answer *answer)
{
	play_ask_making(request, data, length, answer, O_CLOEXEC);
}
/* Copies through the kernel, so a bad address is an error and no fault. */
bool play_copy(void *to, const void *from, size_t length);
/* A copy of `fd` that play owns (-errno: there is none), and its end. */
int play_keep_copy(int fd);
void play_drop(int fd);
void play_listen(void);

/* descriptors.c */
struct played play_of(int fd);
bool play_owns(int fd);
void play_set(int fd, struct played what);
int play_place(uint8_t kind, uint32_t handle, int flags, const char *path_opened);
void play_recognise(int fd);
/* A placeholder's path becomes what a link in /proc/self/fd would say with a kernel's VFIO; false: it is none. */
bool play_link(char target[PATH_MAX]);
void play_closed(int fd, struct played what);
void play_hold(int fd);
void play_signal(int fd);

/* calls.c */
int play_open(const char *path, int flags, unsigned mode);

/* trap.c: a mapping each of whose loads and stores the server answers. */
void *play_trap(void *addr, size_t length, int prot, int flags, struct played what, int fd, uint64_t offset);
void play_untrap(void *addr, size_t length);

/* paths.c: the path to use instead, in `room` (PATH_MAX bytes), or `path` itself. */
const char *play_path(const char *path, char *room);
bool play_is_node(const char *path);

/* A kernel-style result as libc gives it. */
static inline long play_result(int64_t ret)
{
	if (ret < 0 && ret > -4096) {
		errno = (int)-ret;
		return -1;
	}
	return (long)ret;
}
#endif
