/* libc's declarations, and those that it exports without declaring them everywhere. */
#ifndef VFIO_RR_LIBC_H
#define VFIO_RR_LIBC_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* What is defined here under these names is what the program finds; all else of ours is hidden. */
#pragma GCC visibility push(default)
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t size);
ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t size);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
int __poll_chk(struct pollfd *p, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);
/** ioctl's entry as it is called by machines where a variable argument is passed like any other: all of ours. */
int ioctl_entry(int fd, unsigned long request, void *argument) __asm__("ioctl");
int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);
int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);
int epoll_pwait2(int epfd, struct epoll_event *events, int n, const struct timespec *timeout, const sigset_t *mask);
int __sigaction(int signal, const struct sigaction *act, struct sigaction *old);
sighandler_t bsd_signal(int signal, sighandler_t handler);
sighandler_t __sysv_signal(int signal, sighandler_t handler);
#pragma GCC visibility pop

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
