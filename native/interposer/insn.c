#include "insn.h"

#include <stddef.h>
#include <string.h>

struct cursor {
	const uint8_t *at;
	uint8_t rex;
	bool operand16, repeated, locked, address32;
	bool group; /* ModRM.reg says which instruction, and is no register */
};

static uint64_t little(const uint8_t *at, int n)
{
	uint64_t v = 0;
	memcpy(&v, at, (size_t)n);
	return v;
}

static void prefixes(struct cursor *c)
{
	for (int i = 0; i < 4; i++, c->at++) {
		if (*c->at == 0x66)
			c->operand16 = true;
		else if (*c->at == 0x67)
			c->address32 = true;
		else if (*c->at == 0xf2 || *c->at == 0xf3)
			c->repeated = true;
		else if (*c->at == 0xf0)
			c->locked = true;
		else if (*c->at != 0x2e && *c->at != 0x36 && *c->at != 0x3e && *c->at != 0x26)
			break;
	}
	if ((*c->at & 0xf0) == 0x40)
		c->rex = *c->at++;
}

/* Steps over ModRM, SIB and displacement; false for a register operand. */
static bool memory_operand(struct cursor *c, struct insn *i)
{
	uint8_t modrm = *c->at++;
	uint8_t mod = modrm >> 6, rm = modrm & 7;

	i->reg = ((modrm >> 3) & 7) | ((c->rex & 4) << 1);
	i->base = INSN_NONE;
	if (mod == 3)
		return false;
	if (rm == 4) {
		uint8_t sib = *c->at++;
		if ((sib & 7) == 5 && mod == 0)
			c->at += 4;
		else
			i->base = (sib & 7) | ((c->rex & 1) << 3);
		uint8_t index = ((sib >> 3) & 7) | ((c->rex & 2) << 2);
		if (index != 4 && index == i->base)
			i->base = INSN_NONE;
	} else if (rm == 5 && mod == 0) {
		c->at += 4; /* relative to the instruction */
	} else {
		i->base = rm | ((c->rex & 1) << 3);
	}
	c->at += mod == 1 ? 1 : mod == 2 ? 4 : 0;
	/* A base that is operand or index too cannot be moved for a step: other bytes would reach the device. */
	if (i->reg == i->base && !c->group)
		i->base = INSN_NONE;
	return true;
}

/* Neither can one that the instruction takes without naming it: rax, rcx, rdx or rbx. */
static void unnamed_operands(struct insn *i)
{
	if (i->base < 4)
		i->base = INSN_NONE;
}

static uint8_t operand_size(const struct cursor *c)
{
	return c->rex & 8 ? 8 : c->operand16 ? 2 : 4;
}

/* Registers 4 to 7 of byte instructions without REX are ah, ch, dh, bh. */
static void byte_register(const struct cursor *c, struct insn *i)
{
	if (!c->rex && i->reg >= 4) {
		i->high = true;
		i->reg -= 4;
	}
}

static void immediate(struct cursor *c, struct insn *i)
{
	int n = i->width == 8 ? 4 : i->width;

	i->kind = INSN_STORE_IMMEDIATE;
	i->immediate = little(c->at, n);
	if (i->width == 8)
		i->immediate = (uint64_t)(int64_t)(int32_t)i->immediate;
	c->at += n;
}

static void extended(struct cursor *c, struct insn *i)
{
	uint8_t op = *c->at++;

	if ((op & 0xf6) == 0xb6) { /* b6 b7 movzx, be bf movsx */
		if (!memory_operand(c, i))
			return;
		i->kind = INSN_LOAD;
		i->width = op & 1 ? 2 : 1;
		i->target = operand_size(c);
		i->sign = op & 8;
	} else if (op == 0xc3) { /* movnti */
		if (!memory_operand(c, i))
			return;
		i->kind = INSN_STORE;
		i->width = operand_size(c);
	} else if (op != 0x38 && op != 0x3a) {
		memory_operand(c, i);			    /* SSE moves and the like: only the base register */
		if (op == 0xb0 || op == 0xb1 || op == 0xc7) /* cmpxchg and its kin */
			unnamed_operands(i);
	}
}

/* Two- and three-byte VEX prefixes stand for REX (inverted) and 0f. */
static void vex(struct cursor *c, struct insn *i, bool three)
{
	uint8_t inverted = (uint8_t) ~*c->at;

	c->rex = (inverted >> 5) & (three ? 7 : 4);
	c->at += three ? 2 : 1;
	c->at++; /* the opcode */
	memory_operand(c, i);
}

static void primary(struct cursor *c, struct insn *i)
{
	uint8_t op = *c->at++;

	switch (op) {
	case 0x88:
	case 0x89:
	case 0x8a:
	case 0x8b:
		if (!memory_operand(c, i))
			return;
		i->width = i->target = op & 1 ? operand_size(c) : 1;
		i->kind = op & 2 ? INSN_LOAD : INSN_STORE;
		if (i->width == 1)
			byte_register(c, i);
		return;
	case 0xc6:
	case 0xc7:
		if (!memory_operand(c, i) || (i->reg & 7) != 0)
			return;
		i->width = op & 1 ? operand_size(c) : 1;
		immediate(c, i);
		return;
	case 0x63: /* movsxd */
		if (!memory_operand(c, i) || operand_size(c) == 2)
			return;
		i->kind = INSN_LOAD;
		i->width = 4;
		i->target = operand_size(c);
		i->sign = true;
		return;
	case 0x0f:
		extended(c, i);
		return;
	case 0xc4:
	case 0xc5:
		vex(c, i, op == 0xc4);
		return;
	default:
		/* Arithmetic on memory (add, or, and, sub, xor, cmp, test …): not emulated, but its base register is
		 * known. */
		c->group = (op >= 0x80 && op <= 0x83) || op >= 0xf6;
		if ((op < 0x40 && (op & 7) < 4) || (op >= 0x80 && op <= 0x87) || op == 0xf6 || op == 0xf7 ||
		    op == 0xfe || op == 0xff)
			memory_operand(c, i);
		if ((op == 0xf6 || op == 0xf7) && (i->reg & 4)) /* mul, div */
			unnamed_operands(i);
	}
}

struct insn insn_decode(const uint8_t *code)
{
	struct insn i = {.kind = INSN_UNKNOWN, .base = INSN_NONE};
	struct cursor c = {.at = code};

	prefixes(&c);
	if (c.address32 || (c.repeated && *c.at != 0x0f))
		return i; /* string instructions */
	primary(&c, &i);
	if (c.repeated || c.locked)
		i.kind = INSN_UNKNOWN; /* an SSE move; what may not be locked */
	if (i.kind != INSN_UNKNOWN)
		i.length = (uint8_t)(c.at - code);
	return i;
}
