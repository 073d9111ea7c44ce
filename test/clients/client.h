/* One line of output per call, without addresses, descriptors or times, so that two runs print the same bytes. */
#ifndef CLIENT_H
#define CLIENT_H
#include <stddef.h>
#include <stdint.h>

/* Before anything else in main(): line-buffered output; with VFIO_CLIENT_SYSCALLS=0,1,3,… in the environment, a seccomp
 * filter that kills the process at any system call but those numbers. */
void client_start(void);
/* What main() returns: 0 when every call answered as it should, else 1. */
int client_status(void);

/* Prints `name = ret` or `name = -1 ENAME`; ret must be -1 with errno `want`, or anything else when want is 0. Gives
 * ret. */
long expect(const char *name, long ret, int want);
/* The same for a call whose answer is a descriptor: its number is not printed. */
int expect_fd(const char *name, int fd, int want);
/* Prints what came back and takes anything. */
long report(const char *name, long ret);
/* A fact the client checks itself: prints `name: value` and fails the client when it is not `want`. */
void check(const char *name, uint64_t value, uint64_t want);
/* Prints `name: value` in hexadecimal. */
void note(const char *name, uint64_t value);
/* Prints the message and leaves with 1: nothing useful can follow. */
void give_up(const char *message) __attribute__((noreturn));
#endif
