/*
 * The next library's version of every entry that is hooked: libc's, or that of a library preloaded below this one.
 *
 * Contract: real.NAME is NULL until real_find() ran (the constructor, or the first call that comes before it); use
 * REAL(name). An entry that no library below has answers ENOSYS. Nothing here makes a system call.
 */
#ifndef VFIO_RR_REAL_H
#define VFIO_RR_REAL_H
#include "libc.h"

/* X(result, name, parameters) */
#define REAL_CALLS(X)                                                                                     \
	X(void *, mmap64, (void *, size_t, int, int, int, off64_t))                                       \
	X(int, munmap, (void *, size_t))                                                                  \
	X(void *, mremap, (void *, size_t, size_t, int, ...))                                             \
	X(int, mprotect, (void *, size_t, int))                                                           \
	X(int, ioctl, (int, unsigned long, ...))                                                          \
	X(ssize_t, read, (int, void *, size_t))                                                           \
	X(ssize_t, write, (int, const void *, size_t))                                                    \
	X(ssize_t, readv, (int, const struct iovec *, int))                                               \
	X(ssize_t, writev, (int, const struct iovec *, int))                                              \
	X(ssize_t, pread64, (int, void *, size_t, off64_t))                                               \
	X(ssize_t, pwrite64, (int, const void *, size_t, off64_t))                                        \
	X(ssize_t, preadv64, (int, const struct iovec *, int, off64_t))                                   \
	X(ssize_t, pwritev64, (int, const struct iovec *, int, off64_t))                                  \
	X(ssize_t, preadv64v2, (int, const struct iovec *, int, off64_t, int))                            \
	X(ssize_t, pwritev64v2, (int, const struct iovec *, int, off64_t, int))                           \
	X(ssize_t, __read_chk, (int, void *, size_t, size_t))                                             \
	X(ssize_t, __pread64_chk, (int, void *, size_t, off64_t, size_t))                                 \
	X(int, open64, (const char *, int, ...))                                                          \
	X(int, openat64, (int, const char *, int, ...))                                                   \
	X(int, __open64_2, (const char *, int))                                                           \
	X(int, __openat64_2, (int, const char *, int))                                                    \
	X(int, creat64, (const char *, mode_t))                                                           \
	X(int, close, (int))                                                                              \
	X(int, close_range, (unsigned, unsigned, int))                                                    \
	X(void, closefrom, (int))                                                                         \
	X(int, dup, (int))                                                                                \
	X(int, dup2, (int, int))                                                                          \
	X(int, dup3, (int, int, int))                                                                     \
	X(int, fcntl64, (int, int, ...))                                                                  \
	X(ssize_t, sendmsg, (int, const struct msghdr *, int))                                            \
	X(ssize_t, recvmsg, (int, struct msghdr *, int))                                                  \
	X(int, sendmmsg, (int, struct mmsghdr *, unsigned, int))                                          \
	X(int, recvmmsg, (int, struct mmsghdr *, unsigned, int, struct timespec *))                       \
	X(int, poll, (struct pollfd *, nfds_t, int))                                                      \
	X(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))               \
	X(int, __poll_chk, (struct pollfd *, nfds_t, int, size_t))                                        \
	X(int, __ppoll_chk, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t)) \
	X(int, select, (int, fd_set *, fd_set *, fd_set *, struct timeval *))                             \
	X(int, pselect, (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))   \
	X(int, epoll_ctl, (int, int, int, struct epoll_event *))                                          \
	X(int, epoll_wait, (int, struct epoll_event *, int, int))                                         \
	X(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *))                      \
	X(int, epoll_pwait2, (int, struct epoll_event *, int, const struct timespec *, const sigset_t *)) \
	X(int, eventfd, (unsigned, int))                                                                  \
	X(int, eventfd_read, (int, eventfd_t *))                                                          \
	X(int, eventfd_write, (int, eventfd_t))                                                           \
	X(pid_t, vfork, (void))                                                                           \
	X(pid_t, fork, (void))                                                                            \
	X(int, execve, (const char *, char *const[], char *const[]))                                      \
	X(int, execvpe, (const char *, char *const[], char *const[]))                                     \
	X(int, execv, (const char *, char *const[]))                                                      \
	X(int, execvp, (const char *, char *const[]))                                                     \
	X(int, fexecve, (int, char *const[], char *const[]))                                              \
	X(int, execveat, (int, const char *, char *const[], char *const[], int))                          \
	X(int, sigaction, (int, const struct sigaction *, struct sigaction *))                            \
	X(sighandler_t, signal, (int, sighandler_t))                                                      \
	X(sighandler_t, __sysv_signal, (int, sighandler_t))                                               \
	X(int, sigprocmask, (int, const sigset_t *, sigset_t *))                                          \
	X(int, sigsuspend, (const sigset_t *))                                                            \
	X(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))          \
	X(int, pthread_attr_getsigmask_np, (const pthread_attr_t *, sigset_t *))                          \
	X(int, thrd_create, (thrd_t *, thrd_start_t, void *))                                             \
	X(int, pthread_sigmask, (int, const sigset_t *, sigset_t *))                                      \
	X(int, prctl, (int, ...))                                                                         \
	X(long, syscall, (long, ...))

struct real {
#define FIELD(result, name, parameters) result(*name) parameters;
	REAL_CALLS(FIELD)
#undef FIELD
};
extern struct real real;
void real_find(void);

#define REAL(name) (*(__builtin_expect(real.name == NULL, 0) ? (real_find(), real.name) : real.name))

#endif
