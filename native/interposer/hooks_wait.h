/*
 * ppoll and pselect6 as the kernel has them: unlike libc's they write what is left of the time to their timeouts.
 *
 * Contract: as the system call of six arguments `a`, made and recorded; -1 and errno as syscall() has it.
 */
#ifndef VFIO_RR_HOOKS_WAIT_H
#define VFIO_RR_HOOKS_WAIT_H

long wait_ppoll(const long *a);
long wait_pselect6(const long *a);

#endif
