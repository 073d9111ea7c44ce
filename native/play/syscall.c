/* syscall(): programs that name the system call by its number reach VFIO descriptors that way too. */
#define _GNU_SOURCE
#include "play.h"
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

DECLARE_NEXT(syscall);
DECLARE_NEXT(lseek64);

static bool played(long fd)
{
	return play_of((int)fd).handle != 0;
}

EXPORT long syscall(long nr, ...)
{
	long a[6];
	va_list list;
	va_start(list, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (!play_on())
		return NEXT(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	switch (nr) {
	case SYS_ioctl:
		if (played(a[0]))
			return ioctl((int)a[0], (unsigned long)a[1], (void *)a[2]);
		break;
	case SYS_read:
		if (played(a[0]))
			return read((int)a[0], (void *)a[1], (size_t)a[2]);
		break;
	case SYS_write:
		if (played(a[0]))
			return write((int)a[0], (const void *)a[1], (size_t)a[2]);
		break;
	case SYS_pread64:
		if (played(a[0]))
			return pread64((int)a[0], (void *)a[1], (size_t)a[2], a[3]);
		break;
	case SYS_pwrite64:
		if (played(a[0]))
			return pwrite64((int)a[0], (const void *)a[1], (size_t)a[2], a[3]);
		break;
	case SYS_readv:
		if (played(a[0]))
			return readv((int)a[0], (const struct iovec *)a[1], (int)a[2]);
		break;
	case SYS_writev:
		if (played(a[0]))
			return writev((int)a[0], (const struct iovec *)a[1], (int)a[2]);
		break;
#ifdef SYS_open
	case SYS_open:
		return open64((const char *)a[0], (int)a[1], (mode_t)a[2]);
#endif
	case SYS_openat:
		return openat64((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
	case SYS_close:
		return close((int)a[0]);
	case SYS_close_range:
		return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
	case SYS_dup:
		return dup((int)a[0]);
#ifdef SYS_dup2
	case SYS_dup2:
		return dup2((int)a[0], (int)a[1]);
#endif
	case SYS_dup3:
		return dup3((int)a[0], (int)a[1], (int)a[2]);
	case SYS_mmap:
		return (long)mmap((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4], a[5]);
	case SYS_munmap:
		return munmap((void *)a[0], (size_t)a[1]);
		/* Node's fs, Go and others ask for files by number, and so look at /dev and /sys */
#ifdef SYS_stat
	case SYS_stat:
		return stat((const char *)a[0], (struct stat *)a[1]);
	case SYS_lstat:
		return lstat((const char *)a[0], (struct stat *)a[1]);
	case SYS_access:
		return access((const char *)a[0], (int)a[1]);
	case SYS_readlink:
		return readlink((const char *)a[0], (char *)a[1], (size_t)a[2]);
#endif
	case SYS_newfstatat:
		return fstatat((int)a[0], (const char *)a[1], (struct stat *)a[2], (int)a[3]);
	case SYS_statx:
		return statx((int)a[0], (const char *)a[1], (int)a[2], (unsigned)a[3], (struct statx *)a[4]);
	case SYS_faccessat:
		return faccessat((int)a[0], (const char *)a[1], (int)a[2], 0);
	case SYS_readlinkat:
		return readlinkat((int)a[0], (const char *)a[1], (char *)a[2], (size_t)a[3]);
	default:
		break;
	}
	return NEXT(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* None of the kernel's VFIO files can seek: they are made with no llseek (no_llseek, or as streams). */
EXPORT off64_t lseek64(int fd, off64_t offset, int whence)
{
	return play_of(fd).handle ? (off64_t)play_result(-ESPIPE) : NEXT(lseek64)(fd, offset, whence);
}
EXPORT off_t lseek(int fd, off_t offset, int whence)
{
	return lseek64(fd, offset, whence);
}
