/*
 * The registers of a faulting x86-64 thread, by the numbers that its instructions give them.
 *
 * Contract: async-signal safe; touches the context alone.
 */
#ifndef VFIO_RR_REGISTERS_H
#define VFIO_RR_REGISTERS_H
#include "insn.h"
#include <ucontext.h>

/** Register n as the faulting thread will have it again, in the numbering of ModRM. Only the low 4 bits of n count. */
greg_t *registers_at(ucontext_t *context, int n);

/** What the decoded load `insn` does to its register when memory holds `value`: extended, or merged with the old. */
void registers_load(ucontext_t *context, const struct insn *insn, uint64_t value);

#endif
