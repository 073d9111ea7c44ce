#define _GNU_SOURCE
#include "registers.h"

#if defined(__x86_64__)

greg_t *registers_at(ucontext_t *context, int n)
{
	static const int8_t gregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
					 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
	return &context->uc_mcontext.gregs[gregs[n & 15]];
}

void registers_load(ucontext_t *context, const struct insn *insn, uint64_t value)
{
	greg_t *r = registers_at(context, insn->reg);
	uint64_t old = (uint64_t)*r;
	int shift = 64 - 8 * insn->width;

	if (insn->sign)
		value = (uint64_t)((int64_t)(value << shift) >> shift);
	if (insn->high)
		*r = (greg_t)((old & ~0xff00ull) | (value & 0xff) << 8);
	else if (insn->target == 8)
		*r = (greg_t)value;
	else if (insn->target == 4)
		*r = (greg_t)(uint32_t)value; /* a 4-byte move clears the upper half */
	else if (insn->target == 2)
		*r = (greg_t)((old & ~0xffffull) | (value & 0xffff));
	else
		*r = (greg_t)((old & ~0xffull) | (value & 0xff));
}

#endif
