#include "guard_copy.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "guard.h"
#include "known.h"
#include "ring.h"

/* No handlers of ours are in place: only memory that is there for certain is looked at. */
__attribute__((used)) uint8_t guard_bare = 1;
size_t guard_copy_known(void *to, const void *from, size_t n);

/* Labels that the signal handler knows: a fault in [from, to) goes on at `on`. */
#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".hidden guard_copy, guard_touch\n"
	".globl guard_copy, guard_touch\n"
	".type guard_copy, @function\n"
	".type guard_copy_sure, @function\n"
	".type guard_touch, @function\n"
	"guard_copy:\n"
	"	cmpb $0, guard_bare(%rip)\n"
	"	jne guard_copy_known\n"
	".globl guard_copy_sure\n"
	".hidden guard_copy_sure\n"
	"guard_copy_sure:\n"
	"	cmp $128, %rdx\n"
	"	jae 3f\n"
	"guard_words:\n"
	"	cmp $8, %rdx\n"
	"	jb 2f\n"
	"	mov (%rsi), %rax\n"
	"	mov %rax, (%rdi)\n"
	"	add $8, %rsi\n"
	"	add $8, %rdi\n"
	"	sub $8, %rdx\n"
	"	jmp guard_words\n"
	"2:	cmp $4, %rdx\n"
	"	jb guard_bytes\n"
	"	mov (%rsi), %eax\n"
	"	mov %eax, (%rdi)\n"
	"	add $4, %rsi\n"
	"	add $4, %rdi\n"
	"	sub $4, %rdx\n"
	"guard_bytes:\n"
	"	test %rdx, %rdx\n"
	"	je guard_done\n"
	"	movb (%rsi), %al\n"
	"	movb %al, (%rdi)\n"
	"	inc %rsi\n"
	"	inc %rdi\n"
	"	dec %rdx\n"
	"	jmp guard_bytes\n"
	"guard_done:\n"
	"	mov %rdx, %rax\n"
	"	ret\n"
	"3:	mov %rdx, %rcx\n"
	"guard_block:\n"
	"	rep movsb\n"
	"guard_block_done:\n"
	"	mov %rcx, %rax\n"
	"	ret\n"
	".size guard_copy, .-guard_copy\n"
	".size guard_copy_sure, .-guard_copy_sure\n"
	"guard_touch:\n"
	"	lock orb $0, (%rdi)\n"
	"	mov $1, %eax\n"
	"	ret\n"
	"guard_untouched:\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	".size guard_touch, .-guard_touch\n"
	/* Goes on with these registers (order of gregs[]): what guard_copy() uses, what its caller expects kept. */
	".globl guard_continue\n"
	".hidden guard_continue\n"
	"guard_continue:\n"
	"	mov %rdi, %r11\n"
	"	mov 32(%r11), %r12\n"
	"	mov 40(%r11), %r13\n"
	"	mov 48(%r11), %r14\n"
	"	mov 56(%r11), %r15\n"
	"	mov 64(%r11), %rdi\n"
	"	mov 72(%r11), %rsi\n"
	"	mov 80(%r11), %rbp\n"
	"	mov 88(%r11), %rbx\n"
	"	mov 96(%r11), %rdx\n"
	"	mov 104(%r11), %rax\n"
	"	mov 112(%r11), %rcx\n"
	"	mov 128(%r11), %r10\n"
	"	mov 120(%r11), %rsp\n"
	"	jmp *%r10\n"
	".popsection\n");
_Static_assert(REG_R12 == 4 && REG_R15 == 7 && REG_RDI == 8 && REG_RSI == 9 && REG_RBP == 10 && REG_RBX == 11 &&
		       REG_RDX == 12 && REG_RAX == 13 && REG_RCX == 14 && REG_RSP == 15 && REG_RIP == 16,
	       "guard_continue reads gregs[] by these numbers");
__attribute__((visibility("hidden"), noreturn)) void guard_continue(const greg_t *registers);
#define PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
	".hidden guard_copy, guard_touch\n"
	".globl guard_copy, guard_touch\n"
	".type guard_copy, %function\n"
	".type guard_copy_sure, %function\n"
	".type guard_touch, %function\n"
	"guard_copy:\n"
	"	adrp x3, guard_bare\n"
	"	ldrb w3, [x3, :lo12:guard_bare]\n"
	"	cbnz w3, guard_copy_known\n"
	".globl guard_copy_sure\n"
	".hidden guard_copy_sure\n"
	"guard_copy_sure:\n"
	"guard_words:\n"
	"	cmp x2, #8\n"
	"	b.lo guard_bytes\n"
	"	ldr x3, [x1]\n"
	"	str x3, [x0]\n"
	"	add x1, x1, #8\n"
	"	add x0, x0, #8\n"
	"	sub x2, x2, #8\n"
	"	b guard_words\n"
	"guard_bytes:\n"
	"	cbz x2, guard_done\n"
	"	ldrb w3, [x1]\n"
	"	strb w3, [x0]\n"
	"	add x1, x1, #1\n"
	"	add x0, x0, #1\n"
	"	sub x2, x2, #1\n"
	"	b guard_bytes\n"
	"guard_block:\n"
	"guard_block_done:\n"
	"guard_done:\n"
	"	mov x0, x2\n"
	"	ret\n"
	".size guard_copy, .-guard_copy\n"
	".size guard_copy_sure, .-guard_copy_sure\n"
	"guard_touch:\n"
	"	ldxrb w1, [x0]\n"
	"	stxrb w2, w1, [x0]\n"
	"	cbnz w2, guard_touch\n"
	"	mov w0, #1\n"
	"	ret\n"
	"guard_untouched:\n"
	"	mov w0, #0\n"
	"	ret\n"
	".popsection\n");
#define PC(context) ((context)->uc_mcontext.pc)
#else
#error "no fault-safe copy for this architecture"
#endif
#define LABEL(name) extern __attribute__((visibility("hidden"))) const char name[]
LABEL(guard_words);
LABEL(guard_bytes);
LABEL(guard_done);
LABEL(guard_block);
LABEL(guard_block_done);
LABEL(guard_untouched);

bool guard_resume(ucontext_t *context)
{
	const struct {
		const char *from, *to, *on;
	} ranges[] = {
		{guard_words, guard_bytes, guard_bytes},
		{guard_bytes, guard_done, guard_done},
		{guard_block, guard_block_done, guard_block_done},
		{(const char *)guard_touch, guard_untouched, guard_untouched},
	};
	uintptr_t pc = (uintptr_t)PC(context);
	for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
		if (pc >= (uintptr_t)ranges[i].from && pc < (uintptr_t)ranges[i].to) {
			PC(context) = (__typeof__(PC(context)))(uintptr_t)ranges[i].on;
			return true;
		}
	return false;
}

__attribute__((used)) size_t guard_copy_known(void *to, const void *from, size_t n)
{
	size_t sure = known_bytes(from, n);
	if (sure < n)
		ring_lost(VRR_LOSS_UNREADABLE, 1);
	return n - sure + guard_copy_sure(to, from, sure);
}

ssize_t guard_string(char *to, const char *from, size_t size)
{
	size_t at = 0;
	while (at < size) {
		/* Not over a boundary of 64 bytes of the source: what lies behind the string may not be mapped. */
		size_t n = 64 - ((uintptr_t)(from + at) & 63);
		if (n > size - at)
			n = size - at;
		size_t got = n - guard_copy(to + at, from + at, n);
		const char *end = memchr(to + at, 0, got);
		if (end)
			return end - to;
		if (got < n)
			return -1;
		at += n;
	}
	return -1;
}

bool guard_touching(const ucontext_t *context)
{
	uintptr_t pc = (uintptr_t)PC(context);
	return pc >= (uintptr_t)guard_touch && pc < (uintptr_t)guard_untouched;
}

#if defined(__x86_64__)

static uint32_t pkru_at; /* of an XSAVE area; 0: no protection keys */

void guard_find_pkru(void)
{
	unsigned a, b, c, d;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && c & bit_OSPKE && __get_cpuid_count(13, 9, &a, &b, &c, &d))
		pkru_at = b;
}

#define AUTODISARM (1u << 31) /* SS_AUTODISARM: rt_sigreturn() arms the signal stack again */

/* Goes on after a fault of our own copying without rt_sigreturn(), which a filter need not allow. The kernel has reset
 * the floating point's control words and the protection keys for the handler; all other vector state is a called
 * function's to change. Returns where the system call is needed after all. */
void guard_leave(const ucontext_t *uc)
{
	uint64_t shadow = 0;
	__asm__ volatile("rdsspq %0" : "+r"(shadow)); /* does nothing on processors without */
	const struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
	if (shadow || !fp || (unsigned)uc->uc_stack.ss_flags & AUTODISARM)
		return;
	struct {
		uint32_t control, status, rest[5];
	} x87;
	__asm__ volatile("fnstenv %0" : "=m"(x87));
	x87.control = (x87.control & ~0xffffu) | fp->cwd;
	x87.status = (x87.status & ~0x3fu) | (fp->swd & 0x3fu); /* what happened so far; the stack is empty in a call */
	__asm__ volatile("fldenv %0\n\tldmxcsr %1" : : "m"(x87), "m"(fp->mxcsr));
	if (pkru_at) {
		uint32_t keys = 0;
		uint64_t present; /* the header of the XSAVE area: what is not in its initial state */
		memcpy(&present, (const char *)fp + 512, sizeof present);
		if (present & 1 << 9)
			memcpy(&keys, (const char *)fp + pkru_at, sizeof keys);
		__asm__ volatile(".byte 0x0f, 0x01, 0xef" /* wrpkru */ : : "a"(keys), "c"(0), "d"(0) : "memory");
	}
	guard_continue(uc->uc_mcontext.gregs);
}

#else

void guard_find_pkru(void)
{
}
void guard_leave(const ucontext_t *uc)
{
	(void)uc;
}

#endif
