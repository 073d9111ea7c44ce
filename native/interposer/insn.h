/*
 * The x86-64 instructions that compilers emit for a load from, or a store to, a device register.
 *
 * Contract: insn_decode() reads at most INSN_MAX bytes and touches nothing else. What it does not know is for the
 * caller to single-step. Intel SDM vol. 2, MOV, MOVZX, MOVSX, MOVSXD, MOVNTI.
 */
#ifndef VFIO_RR_INSN_H
#define VFIO_RR_INSN_H
#include <stdbool.h>
#include <stdint.h>

#define INSN_MAX  15
#define INSN_NONE 0xff

enum insn_kind { INSN_UNKNOWN, INSN_LOAD, INSN_STORE, INSN_STORE_IMMEDIATE };

struct insn {
	uint8_t kind;
	uint8_t length; /* bytes of the instruction; 0 when it could not be measured */
	uint8_t width;	/* bytes of memory it touches: 1, 2, 4, 8; 0 unknown */
	uint8_t reg;	/* register moved, in the numbering of ModRM (rax 0, rcx 1, rdx 2, rbx 3, rsp 4 …) */
	uint8_t target; /* LOAD: bytes of the register that are written (4 clears the upper half) */
	bool sign;	/* LOAD: sign-extended to target, else zero-extended */
	bool high;	/* reg is ah, ch, dh or bh: byte 1 of register reg */
	uint8_t base;	/* base register of the memory operand, INSN_NONE: none */
	uint64_t immediate;
};

/** Decodes the instruction at `code`; kind is INSN_UNKNOWN for all others, with length and base where they are plain.
 */
struct insn insn_decode(const uint8_t *code);

#endif
