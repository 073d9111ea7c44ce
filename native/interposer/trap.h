/*
 * Device regions that the program maps, under --mmio=trap: its mapping allows nothing, so each load and store faults,
 * is made through a second mapping of the same region (the alias), and is recorded with its width and value.
 *
 * Contract: a fault costs one signal and no system call, for the instructions insn.h knows. Others are single-stepped
 * with their base register moved to the alias (two signals; width and value stay unknown); those without a base
 * register open the page for the step (other threads may slip through it meanwhile: counted as MAPPED). Kernel accesses
 * to a trapped page fail with EFAULT, so hooks whose buffers may lie there use trap_alias(). Signal handlers may come
 * in the middle of a step, and touch trapped pages themselves.
 */
#ifndef VFIO_RR_TRAP_H
#define VFIO_RR_TRAP_H
#include "libc.h"

#include <ucontext.h>

/** Whether mappings of device regions are to be trapped. */
extern bool trap_on;

/** After a successful mmap of a device region, PROT_NONE too: makes the alias and guards the program's mapping. false:
 * left as it is.
 */
bool trap_guard(void *address, size_t length, int prot, int fd, uint32_t entry, uint64_t offset);
/** A call is to map [address, +length) anew or no more: what is trapped there is not, until trap_settle() says whether
 * it is over or stays. Before the call, since after it the addresses may be another thread's. 0: nothing is. */
unsigned trap_take(void *address, size_t length);
void trap_settle(unsigned token, bool over);
/** What was taken is as if it had never been trapped. */
void trap_open(unsigned token);
/** mprotect on a trapped range: the protection it would have; true: it was one, and nothing more is to be done. */
bool trap_protect(void *address, size_t length, int prot);
/** Where the kernel can reach [address, +length) of the program's: the alias, or the address itself. */
void *trap_alias(const void *address, size_t length);

/** SIGSEGV on a trapped page: does what the instruction does; false: not ours. */
bool trap_fault(const siginfo_t *info, ucontext_t *context);
/** SIGTRAP after a single step of ours; false: not ours. */
bool trap_stepped(ucontext_t *context);

#endif
