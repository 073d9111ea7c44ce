/*
 * The process and its threads: start, fork, thread numbers.
 *
 * Contract: process_start() is the only place that makes system calls for its own sake; under a filter that outlived
 * exec() those of every dynamic loader only (openat, read, newfstatat, mmap, brk, close). After it, only process_link()
 * does (readlink), and what makes a child known (getpid), only while no seccomp filter is known to be in force.
 */
#ifndef VFIO_RR_PROCESS_H
#define VFIO_RR_PROCESS_H
#include "libc.h"

/** A page that the kernel empties in a forked child (MADV_WIPEONFORK): 0 there until process_forked() ran. */
extern volatile uint32_t *process_generation;
extern bool process_filtered; /* a seccomp filter is in force that the recorder does not have, or was asked for */
extern uint32_t process_pid;

/** First thing in a forked child: number the process anew and record it. */
void process_forked(void);
/** Records a process. */
void process_note(uint32_t pid, uint32_t parent);
/** A filter is asked for; surely: it comes now. */
void process_filter(bool surely);
/** Thread number, read from the thread's own descriptor; 0 unknown. */
uint32_t process_tid(void);
/** Reads the link of a descriptor into target (NUL-terminated); false: no such, or a filter forbids to look. */
bool process_link(int fd, char target[256]);
/** Arranges that ring_thread_ends() runs when this thread ends. */
void process_watch_thread(void *token);

#endif
