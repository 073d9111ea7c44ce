/* What the program finds under /dev and /sys: where the play directory's root has something to say, the program sees it
 * instead of its own machine. Links inside that tree are relative, so following one stays inside. */
#define _GNU_SOURCE
#include "play.h"
#include <dirent.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

DECLARE_NEXT(faccessat);

/* `all`: the whole subtree is the tree's, what is missing there is missing; else only what is there replaces. */
static const struct {
	const char *prefix;
	bool all;
} shown[] = {
	{"/dev/vfio", true},	    {"/dev/iommu", true},	   {"/sys/bus/pci", true},
	{"/sys/bus/mdev", true},    {"/sys/class/vfio", true},	   {"/sys/class/vfio-dev", true},
	{"/sys/class/iommu", true}, {"/sys/class/mdev_bus", true}, {"/sys/kernel/iommu_groups", true},
	{"/sys/devices", false},    {"/sys/module", false},	   {"/sys/class", false},
	{"/sys/bus", false},
};

static bool under(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(path, prefix, n) == 0 && (path[n] == 0 || path[n] == '/');
}

const char *play_path(const char *path, char *room)
{
	if (!play_on() || !path || path[0] != '/' || (strncmp(path, "/sys/", 5) != 0 && strncmp(path, "/dev/", 5) != 0))
		return path;
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		int saved = errno;
		bool there;
		if (!under(path, shown[i].prefix))
			continue;
		if (snprintf(room, PATH_MAX, "%s/root%s", play_dir, path) >= PATH_MAX)
			return path;
		there = shown[i].all || NEXT(faccessat)(AT_FDCWD, room, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
		errno = saved;
		return there ? room : path;
	}
	return path;
}

/* A device node that the server opens. A directory below /dev/vfio is just a directory. */
bool play_is_node(const char *path)
{
	char room[PATH_MAX];
	struct stat st;
	const char *real;
	int saved = errno;
	bool node;
	if (!play_on() || !path || strncmp(path, "/dev/", 5) != 0)
		return false;
	real = play_path(path, room);
	if (real == path)
		return false;
	node = fstatat(AT_FDCWD, real, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode);
	errno = saved;
	return node;
}

/* ---- open ---- */
#define OPEN_MODE(flags)                         \
	unsigned mode = 0;                       \
	if ((flags) & (O_CREAT | __O_TMPFILE)) { \
		va_list list;                    \
		va_start(list, flags);           \
		mode = va_arg(list, unsigned);   \
		va_end(list);                    \
	}
#define HOOK_OPEN(name)                                                \
	DECLARE_NEXT(name);                                            \
	EXPORT int name(const char *path, int flags, ...)              \
	{                                                              \
		char room[PATH_MAX];                                   \
		OPEN_MODE(flags)                                       \
		if (play_is_node(path))                                \
			return play_open(path, flags, mode);           \
		return NEXT(name)(play_path(path, room), flags, mode); \
	}
#define HOOK_OPENAT(name)                                                   \
	DECLARE_NEXT(name);                                                 \
	EXPORT int name(int dir, const char *path, int flags, ...)          \
	{                                                                   \
		char room[PATH_MAX];                                        \
		OPEN_MODE(flags)                                            \
		if (play_is_node(path))                                     \
			return play_open(path, flags, mode);                \
		return NEXT(name)(dir, play_path(path, room), flags, mode); \
	}
HOOK_OPEN(open)
HOOK_OPEN(open64)
HOOK_OPENAT(openat)
HOOK_OPENAT(openat64)

/* The checked forms of _FORTIFY_SOURCE: no mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
	return open(path, flags);
}
EXPORT int __open64_2(const char *path, int flags)
{
	return open64(path, flags);
}
EXPORT int __openat_2(int dir, const char *path, int flags)
{
	return openat(dir, path, flags);
}
EXPORT int __openat64_2(int dir, const char *path, int flags)
{
	return openat64(dir, path, flags);
}

#define HOOK_PATH(type, name, rest_declared, rest_given) \
	DECLARE_NEXT(name);                              \
	EXPORT type name rest_declared                   \
	{                                                \
		char room[PATH_MAX];                     \
		return NEXT(name) rest_given;            \
	}
#define P play_path(path, room)
HOOK_PATH(FILE *, fopen, (const char *path, const char *mode), (P, mode))
HOOK_PATH(FILE *, fopen64, (const char *path, const char *mode), (P, mode))
HOOK_PATH(DIR *, opendir, (const char *path), (P))
HOOK_PATH(int, access, (const char *path, int mode), (P, mode))
HOOK_PATH(int, euidaccess, (const char *path, int mode), (P, mode))
HOOK_PATH(int, scandir,
	  (const char *path, struct dirent ***list, int (*filter)(const struct dirent *),
	   int (*order)(const struct dirent **, const struct dirent **)),
	  (P, list, filter, order))
HOOK_PATH(int, scandir64,
	  (const char *path, struct dirent64 ***list, int (*filter)(const struct dirent64 *),
	   int (*order)(const struct dirent64 **, const struct dirent64 **)),
	  (P, list, filter, order))
EXPORT int faccessat(int dir, const char *path, int mode, int flags)
{
	char room[PATH_MAX];
	return NEXT(faccessat)(dir, P, mode, flags);
}
/* What /proc/self/fd says of a played descriptor is what it says of the kernel's. */
DECLARE_NEXT(readlinkat);
EXPORT ssize_t readlinkat(int dir, const char *path, char *buf, size_t n)
{
	char room[PATH_MAX], target[PATH_MAX];
	ssize_t length = play_on() ? NEXT(readlinkat)(dir, P, target, sizeof(target) - 1) : -1;
	if (length >= 0) {
		target[length] = 0;
		if (play_link(target)) {
			size_t whole = strlen(target);
			memcpy(buf, target, whole < n ? whole : n);
			return (ssize_t)(whole < n ? whole : n);
		}
	}
	return NEXT(readlinkat)(dir, P, buf, n);
}
EXPORT ssize_t readlink(const char *path, char *buf, size_t n)
{
	return readlinkat(AT_FDCWD, path, buf, n);
}
ssize_t __readlink_chk(const char *path, char *buf, size_t n, size_t room);
EXPORT ssize_t __readlink_chk(const char *path, char *buf, size_t n, size_t size)
{
	return n <= size ? readlink(path, buf, n) : readlink(path, buf, size);
}

/* ---- stat: a played node is a character device whose minor number is the one in its name ---- */
static void as_node(const char *path, mode_t *mode, dev_t *rdev)
{
	if (!play_is_node(path))
		return;
	*mode = S_IFCHR | 0666;
	*rdev = makedev(511, (unsigned)atoi(path + strcspn(path, "0123456789")));
}
#define HOOK_STAT(name, kind)                                      \
	DECLARE_NEXT(name);                                        \
	EXPORT int name(const char *path, struct kind *st)         \
	{                                                          \
		char room[PATH_MAX];                               \
		int ret = NEXT(name)(P, st);                       \
		if (ret == 0)                                      \
			as_node(path, &st->st_mode, &st->st_rdev); \
		return ret;                                        \
	}
HOOK_STAT(stat, stat)
HOOK_STAT(lstat, stat)
HOOK_STAT(stat64, stat64)
HOOK_STAT(lstat64, stat64)
#define HOOK_STATAT(name, kind)                                                \
	DECLARE_NEXT(name);                                                    \
	EXPORT int name(int dir, const char *path, struct kind *st, int flags) \
	{                                                                      \
		char room[PATH_MAX];                                           \
		int ret = NEXT(name)(dir, P, st, flags);                       \
		if (ret == 0)                                                  \
			as_node(path, &st->st_mode, &st->st_rdev);             \
		return ret;                                                    \
	}
HOOK_STATAT(fstatat, stat)
HOOK_STATAT(fstatat64, stat64)

#define HOOK_FSTAT(name, kind)                                              \
	DECLARE_NEXT(name);                                                 \
	EXPORT int name(int fd, struct kind *st)                            \
	{                                                                   \
		int ret = NEXT(name)(fd, st);                               \
		if (ret == 0 && play_of(fd).handle && S_ISREG(st->st_mode)) \
			st->st_mode = S_IFCHR | 0666;                       \
		return ret;                                                 \
	}
HOOK_FSTAT(fstat, stat)
HOOK_FSTAT(fstat64, stat64)

/* Programs built against glibc before 2.33. */
int __xstat(int version, const char *path, struct stat *st);
int __lxstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
#define HOOK_XSTAT(name, kind)                                          \
	DECLARE_NEXT(name);                                             \
	EXPORT int name(int version, const char *path, struct kind *st) \
	{                                                               \
		char room[PATH_MAX];                                    \
		int ret = NEXT(name)(version, P, st);                   \
		if (ret == 0)                                           \
			as_node(path, &st->st_mode, &st->st_rdev);      \
		return ret;                                             \
	}
HOOK_XSTAT(__xstat, stat)
HOOK_XSTAT(__lxstat, stat)
HOOK_XSTAT(__xstat64, stat64)
HOOK_XSTAT(__lxstat64, stat64)

DECLARE_NEXT(statx);
EXPORT int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict st)
{
	char room[PATH_MAX];
	int ret = NEXT(statx)(dir, P, flags, mask, st);
	if (ret == 0 && play_is_node(path))
		st->stx_mode = S_IFCHR | 0666;
	return ret;
}

/* ---- paths that come back: without the play directory ---- */
static char *stripped(char *path)
{
	size_t n = strlen(play_dir);
	if (path && play_on() && strncmp(path, play_dir, n) == 0 && under(path + n, "/root"))
		memmove(path, path + n + 5, strlen(path + n + 5) + 1);
	return path;
}
DECLARE_NEXT(realpath);
EXPORT char *realpath(const char *restrict path, char *restrict resolved)
{
	char room[PATH_MAX];
	return stripped(NEXT(realpath)(P, resolved));
}
char *__realpath_chk(const char *path, char *resolved, size_t size);
EXPORT char *__realpath_chk(const char *path, char *resolved, size_t size)
{
	(void)size;
	return realpath(path, resolved);
}
EXPORT char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

#define HOOK_GLOB(name, kind)                                                                                         \
	DECLARE_NEXT(name);                                                                                           \
	EXPORT int name(const char *restrict path, int flags, int (*failed)(const char *, int), kind *restrict found) \
	{                                                                                                             \
		char room[PATH_MAX];                                                                                  \
		int ret = NEXT(name)(P, flags, failed, found);                                                        \
		for (size_t i = 0; ret == 0 && play_on() && i < found->gl_pathc; i++)                                 \
			stripped(found->gl_pathv[i + (flags & GLOB_DOOFFS ? found->gl_offs : 0)]);                    \
		return ret;                                                                                           \
	}
HOOK_GLOB(glob, glob_t)
HOOK_GLOB(glob64, glob64_t)
