/* Included before everything by `make raw`: the calls that reach VFIO become bare system call instructions, as Go
 * programs and hand-written runtimes make them, so a preloaded library does not see them. x86-64. */
#ifndef RAW_H
#define RAW_H
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static inline long raw_call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	if (ret < 0 && ret >= -4095) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

#define ioctl(fd, request, ...) ((int)raw_call(SYS_ioctl, (fd), (long)(request), (long)(0, ##__VA_ARGS__), 0, 0))
#define pread(fd, buf, n, at)	((ssize_t)raw_call(SYS_pread64, (fd), (long)(buf), (long)(n), (long)(at), 0))
#define pwrite(fd, buf, n, at)	((ssize_t)raw_call(SYS_pwrite64, (fd), (long)(buf), (long)(n), (long)(at), 0))
#define read(fd, buf, n)	((ssize_t)raw_call(SYS_read, (fd), (long)(buf), (long)(n), 0, 0))
#define write(fd, buf, n)	((ssize_t)raw_call(SYS_write, (fd), (long)(buf), (long)(n), 0, 0))
#define close(fd)		((int)raw_call(SYS_close, (fd), 0, 0, 0, 0))
#define open(path, flags, ...)	((int)raw_call(SYS_openat, AT_FDCWD, (long)(path), (flags), (0, ##__VA_ARGS__), 0))
#endif
