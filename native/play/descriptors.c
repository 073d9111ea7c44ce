/* Which descriptors are played. What a placeholder file is stands in its name, KIND.HANDLE or KIND.HANDLE.NODE, so
 * descriptors that came through exec or a message are recognised by their link in /proc/self/fd. */
#define _GNU_SOURCE
#include "play.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

DECLARE_NEXT(open64);
DECLARE_NEXT(close);
DECLARE_NEXT(readlink);
DECLARE_NEXT(write);

/* handle << 8 | kind in one word, so that a reader needs no lock. */
static uint64_t table[PLAY_FD_MAX];
/* A duplicate of each eventfd that was given to SET_IRQS: like the kernel, play holds it after the program closes it.
 */
static int held[PLAY_FD_MAX];

/* Named as fdKinds in schema/kinds.ts; FIFO: so that poll and epoll take it. */
static const struct {
	const char *name;
	uint8_t kind;
	bool fifo;
} kinds[] = {
	{"container", VRR_KIND_CONTAINER, false}, {"group", VRR_KIND_GROUP, false},
	{"device", VRR_KIND_DEVICE, false},	  {"data", VRR_KIND_DATA, true},
	{"iommufd", VRR_KIND_IOMMUFD, false},	  {"pgfault", VRR_KIND_PGFAULT, true},
	{"veventq", VRR_KIND_VEVENTQ, true},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct played play_of(int fd)
{
	struct played none = {0, 0};
	uint64_t word;
	if (fd < 0 || fd >= PLAY_FD_MAX)
		return none;
	word = __atomic_load_n(&table[fd], __ATOMIC_RELAXED);
	return (struct played){(uint32_t)(word >> 8), (uint8_t)word};
}

bool play_owns(int fd)
{
	return play_of(fd).kind == play_own.kind;
}

void play_set(int fd, struct played what)
{
	if (fd >= 0 && fd < PLAY_FD_MAX)
		__atomic_store_n(&table[fd], (uint64_t)what.handle << 8 | what.kind, __ATOMIC_RELAXED);
}

/* Makes the descriptor that stands for `handle`; -errno on failure. `path`: the node that was opened; NULL: another
 * call made it. */
int play_place(uint8_t kind, uint32_t handle, int flags, const char *path_opened)
{
	const char *node = path_opened ? strrchr(path_opened, '/') + 1 : NULL;
	char path[PATH_MAX];
	size_t k = 0;
	int fd;
	while (k < KINDS && kinds[k].kind != kind)
		k++;
	if (k == KINDS)
		return -ENOTTY;
	snprintf(path, sizeof(path), "%s/fd/%s.%u%s%s", play_dir, kinds[k].name, handle, node ? "." : "",
		 node ? node : "");
	if (kinds[k].fifo && mkfifo(path, 0600) != 0 && errno != EEXIST)
		return -errno;
	fd = NEXT(open64)(path, O_RDWR | O_CREAT | (flags & (O_CLOEXEC | O_NONBLOCK)), 0600);
	if (fd < 0)
		return -errno;
	if (fd >= PLAY_FD_MAX) {
		NEXT(close)(fd);
		return -EMFILE;
	}
	/* A data file is always ready: the kernel's drivers have no poll of their own or say the same. */
	if (kind == VRR_KIND_DATA)
		(void)!NEXT(write)(fd, "", 1);
	play_set(fd, (struct played){handle, kind});
	return fd;
}

/* What a placeholder's path says; handle 0: it is none. */
static struct played named(const char *path, const char **node)
{
	struct played none = {0, 0};
	size_t dir = strlen(play_dir);
	const char *name, *dot;
	char *end;
	if (!dir || strncmp(path, play_dir, dir) != 0 || strncmp(path + dir, "/fd/", 4) != 0)
		return none;
	name = path + dir + 4;
	dot = strchr(name, '.');
	for (size_t k = 0; dot && k < KINDS; k++) {
		size_t length = (size_t)(dot - name);
		if (strlen(kinds[k].name) == length && strncmp(kinds[k].name, name, length) == 0) {
			uint32_t handle = (uint32_t)strtoul(dot + 1, &end, 10);
			*node = *end == '.' ? end + 1 : NULL;
			return (struct played){handle, kinds[k].kind};
		}
	}
	return none;
}

void play_recognise(int fd)
{
	char link[40], target[PATH_MAX];
	const char *node;
	ssize_t length;
	struct played what;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = NEXT(readlink)(link, target, sizeof(target) - 1);
	if (length <= 0)
		return;
	target[length] = 0;
	what = named(target, &node);
	if (what.handle)
		play_set(fd, what);
}

bool play_link(char target[PATH_MAX])
{
	const char *node;
	char name[NAME_MAX + 1];
	struct played what = named(target, &node);
	if (!what.handle)
		return false;
	snprintf(name, sizeof(name), "%s", node ? node : "");
#define PATH(prefix, exact, is)                                                  \
	if (node && (is) == what.kind) {                                         \
		snprintf(target, PATH_MAX, "%s%s", prefix, (exact) ? "" : name); \
		return true;                                                     \
	}
	VRR_PATHS(PATH)
#undef PATH
	/* data fds: their drivers' names differ, and the first will do */
#define ANON(called, is)                                             \
	if ((is) == what.kind) {                                     \
		snprintf(target, PATH_MAX, "anon_inode:%s", called); \
		return true;                                         \
	}
	VRR_ANON_INODES(ANON)
#undef ANON
	return false;
}

void play_closed(int fd, struct played what)
{
	struct play_request q = {.op = VRR_PLAY_OP_CLOSE, .handle = what.handle, .fd = fd};
	struct play_answer answer;
	play_ask(&q, NULL, 0, &answer);
}

void play_hold(int fd)
{
	int copy, old;
	if (fd < 0 || fd >= PLAY_FD_MAX)
		return;
	copy = play_keep_copy(fd);
	if (copy < 0)
		return;
	old = __atomic_exchange_n(&held[fd], copy, __ATOMIC_ACQ_REL);
	if (old > 0)
		play_drop(old);
}

/* An eventfd that was armed before exec: not yet held by this program. */
static int hold_inherited(int fd)
{
	char link[40], target[32];
	ssize_t length;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = NEXT(readlink)(link, target, sizeof(target) - 1);
	if (length <= 0)
		return 0;
	target[length] = 0;
	if (strcmp(target, "anon_inode:[eventfd]") != 0)
		return 0;
	play_hold(fd);
	return __atomic_load_n(&held[fd], __ATOMIC_ACQUIRE);
}

void play_signal(int fd)
{
	uint64_t one = 1;
	int copy = fd >= 0 && fd < PLAY_FD_MAX ? __atomic_load_n(&held[fd], __ATOMIC_ACQUIRE) : 0;
	if (copy == 0 && fd >= 0 && fd < PLAY_FD_MAX)
		copy = hold_inherited(fd);
	if (copy > 0)
		(void)!NEXT(write)(copy, &one, sizeof(one));
}
