#include "guard.h"

#include <ucontext.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "dispatch.h"
#include "known.h"
#include "real.h"
#include "ring.h"
#include "trap.h"
#include "vfork.h"

/* No handlers of ours are in place: only memory that is there for certain is looked at. */
__attribute__((used)) uint8_t guard_bare = 1;
size_t guard_copy_known(void *to, const void *from, size_t n);

/* Labels that the signal handler knows: a fault in [from, to) goes on at `on`. */
#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".hidden guard_copy, guard_touch\n"
	".globl guard_copy, guard_touch\n"
	".type guard_copy, @function\n"
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

static bool resume(ucontext_t *context)
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

/* ---- signals ---- */

#define SIGNALS 65
#define OURS	4
static const int ours_signals[OURS] = {SIGSEGV, SIGBUS, SIGTRAP, SIGSYS};
static bool started;
static uint8_t handled = 3; /* which of them: SIGTRAP if regions are trapped, SIGSYS if calls are dispatched */
static struct sigaction theirs[OURS][2]; /* the program's settings, two versions each */
static uint8_t current[OURS];
static uint8_t masked[SIGNALS];	 /* which of ours the program put in this signal's sa_mask */
static __thread uint8_t blocked; /* which of ours it believes blocked in this thread */

static int slot(int signal)
{
	for (int i = 0; i < OURS; i++)
		if (ours_signals[i] == signal && handled & 1 << i)
			return i;
	return -1;
}

/* The same in the child of vfork(), whose memory is the parent's and whose handlers are not. */
static __thread struct {
	struct sigaction theirs[OURS];
	uint8_t masked[SIGNALS], blocked;
} apart;

static struct sigaction setting(int i)
{
	if (unlikely(vfork_on) && vfork_child())
		return apart.theirs[i];
	return theirs[i][__atomic_load_n(&current[i], __ATOMIC_ACQUIRE)];
}

static void set(int i, const struct sigaction *act)
{
	if (unlikely(vfork_on) && vfork_child()) {
		apart.theirs[i] = *act;
		return;
	}
	uint8_t other = !__atomic_load_n(&current[i], __ATOMIC_RELAXED);
	theirs[i][other] = *act;
	__atomic_store_n(&current[i], other, __ATOMIC_RELEASE);
}

static uint8_t *masked_by(int signal)
{
	return unlikely(vfork_on) && vfork_child() ? &apart.masked[signal] : &masked[signal];
}

void guard_part(void)
{
	for (int i = 0; i < OURS; i++)
		apart.theirs[i] = setting(i);
	memcpy(apart.masked, masked, sizeof masked);
	apart.blocked = blocked;
}

void guard_join(bool kept)
{
	if (!kept) {
		blocked = apart.blocked;
		return;
	}
	for (int i = 0; i < OURS; i++)
		set(i, &apart.theirs[i]);
	memcpy(masked, apart.masked, sizeof masked);
}

static uint8_t strip(sigset_t *mask)
{
	uint8_t had = 0;
	for (int i = 0; i < OURS; i++)
		if (handled & 1 << i && sigismember(mask, ours_signals[i]) == 1) {
			had |= (uint8_t)(1 << i);
			sigdelset(mask, ours_signals[i]);
		}
	return had;
}

static void unstrip(sigset_t *mask, uint8_t had)
{
	for (int i = 0; i < OURS; i++)
		if (had & 1 << i)
			sigaddset(mask, ours_signals[i]);
}

static bool touching(const ucontext_t *context)
{
	uintptr_t pc = (uintptr_t)PC(context);
	return pc >= (uintptr_t)guard_touch && pc < (uintptr_t)guard_untouched;
}

/* A fault of our own copying, of the ring, or of a trapped region; a dispatched call. */
static bool ours(int signal, const siginfo_t *info, ucontext_t *context)
{
	if (signal == SIGSYS)
		return dispatch_call(info, context);
	if (signal == SIGTRAP)
		return trap_stepped(context);
	if (signal == SIGBUS && !touching(context) && ring_fault(info->si_addr))
		return true;
	return resume(context) || (signal == SIGSEGV && trap_fault(info, context));
}

static void handler(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	ucontext_t *uc = context;
	int i = slot(signal);
	bool fault = info->si_code > 0; /* not sent by somebody */
	if (fault && ours(signal, info, uc)) {
		errno = saved;
		return;
	}
	struct sigaction act = setting(i);
	bool ends = act.sa_handler == SIG_DFL || (signal == SIGSYS && fault && act.sa_handler == SIG_IGN);
	if (fault && signal != SIGTRAP && signal != SIGSYS &&
	    (act.sa_handler == SIG_DFL || act.sa_handler == SIG_IGN || blocked & 1 << i)) {
		/* The instruction faults again, and a blocked fault is the end: the core shows the program's own state.
		 */
		sigaddset(&uc->uc_sigmask, signal);
	} else if (ends) {
		act = (struct sigaction){.sa_handler = SIG_DFL};
		REAL(sigaction)(signal, &act, NULL);
		raise(signal); /* delivered when this handler returns */
	} else if (act.sa_handler != SIG_IGN) {
		if (act.sa_flags & (int)SA_RESETHAND) {
			struct sigaction none = {.sa_handler = SIG_DFL};
			set(i, &none);
		}
		errno = saved;
		if (act.sa_flags & SA_SIGINFO)
			act.sa_sigaction(signal, info, context);
		else
			act.sa_handler(signal);
		return;
	}
	errno = saved;
}

#if defined(__x86_64__)

static uint32_t pkru_at; /* of an XSAVE area; 0: no protection keys */

static void find_pkru(void)
{
	unsigned a, b, c, d;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && c & bit_OSPKE && __get_cpuid_count(13, 9, &a, &b, &c, &d))
		pkru_at = b;
}

#define AUTODISARM (1u << 31) /* SS_AUTODISARM: rt_sigreturn() arms the signal stack again */

/* Goes on after a fault of our own copying without rt_sigreturn(), which a filter need not allow. The kernel has reset
 * the floating point's control words and the protection keys for the handler; all other vector state is a called
 * function's to change. Returns where the system call is needed after all. */
static void leave(const ucontext_t *uc)
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

static void find_pkru(void)
{
}
static void leave(const ucontext_t *uc)
{
	(void)uc;
}

#endif

/* Installed where the kernel leaves the signal mask alone for it, so that there is nothing to be set back. */
static void light_handler(int signal, siginfo_t *info, void *context)
{
	int saved = errno;
	if (info->si_code > 0 && signal != SIGTRAP) {
		if (signal == SIGBUS && !touching(context) && ring_fault(info->si_addr)) {
			errno = saved;
			return;
		}
		if (resume(context)) {
			errno = saved;
			leave(context);
			return;
		}
	}
	handler(signal, info, context);
}

/* What the kernel is told: our handler, with the program's flags and mask. */
static struct sigaction installed(int signal, const struct sigaction *act)
{
	struct sigaction ours = *act;
	ours.sa_sigaction = handler;
	if (signal == SIGSYS &&
	    dispatch_on) { /* a call of the program's, made with its own mask and on its own stack */
		ours.sa_flags = SA_NODEFER | SA_SIGINFO;
		sigemptyset(&ours.sa_mask);
		return ours;
	}
	if (act->sa_handler == SIG_DFL || act->sa_handler == SIG_IGN) {
		ours.sa_flags = SA_ONSTACK | SA_NODEFER;
		sigemptyset(&ours.sa_mask);
	}
	ours.sa_flags = (ours.sa_flags & ~(int)SA_RESETHAND) | SA_SIGINFO;
	strip(&ours.sa_mask);
	if (ours.sa_flags & SA_NODEFER && sigisemptyset(&ours.sa_mask))
		ours.sa_sigaction = light_handler;
	return ours;
}

void guard_start(void)
{
	handled = (uint8_t)(3 | (trap_on ? 4 : 0) | (dispatch_on ? 8 : 0));
	find_pkru();
	for (int i = 0; i < OURS; i++) {
		if (!(handled & 1 << i))
			continue;
		int signal = ours_signals[i];
		struct sigaction act;
		if (REAL(sigaction)(signal, NULL, &act))
			return;
		set(i, &act);
		struct sigaction ours = installed(signal, &act);
		if (REAL(sigaction)(signal, &ours, NULL))
			return;
	}
	started = true;
	guard_bare = 0;
}

void guard_forked(void)
{
	struct sigaction now;
	if (!started || REAL(sigaction)(SIGSEGV, NULL, &now) || now.sa_sigaction == handler ||
	    now.sa_sigaction == light_handler)
		return;
	memset(masked, 0, sizeof masked);
	guard_start();
}

int guard_action(int signal, const struct sigaction *act, struct sigaction *old)
{
	if (!started || signal <= 0 || signal >= SIGNALS)
		return REAL(sigaction)(signal, act, old);
	int i = slot(signal);
	struct sigaction now, ours;
	uint8_t in_mask = 0, was_in_mask = *masked_by(signal);
	if (act) {
		now = *act;
		ours = i < 0 ? *act : installed(signal, act);
		in_mask = strip(&now.sa_mask);
		strip(&ours.sa_mask);
		now = *act;
	}
	struct sigaction was = i < 0 ? (struct sigaction){0} : setting(i);
	/* The program's setting first: a fault may come between the two. */
	if (act && i >= 0)
		set(i, &now);
	if (REAL(sigaction)(signal, act ? &ours : NULL, old)) {
		if (act && i >= 0)
			set(i, &was);
		return -1;
	}
	if (act)
		*masked_by(signal) = in_mask;
	if (old && i >= 0)
		*old = was;
	else if (old)
		unstrip(&old->sa_mask, was_in_mask);
	return 0;
}

bool guard_handles(int signal)
{
	return started && slot(signal) >= 0;
}

int guard_mask(int (*real_set)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set_, sigset_t *old)
{
	if (!started)
		return real_set(how, set_, old);
	uint8_t was = blocked, is = was;
	sigset_t ours;
	if (set_) {
		ours = *set_;
		uint8_t had = strip(&ours);
		is = how == SIG_BLOCK ? was | had : how == SIG_UNBLOCK ? was & (uint8_t)~had : had;
		if (how == SIG_UNBLOCK)
			unstrip(&ours, had);
	}
	int ret = real_set(how, set_ ? &ours : NULL, old);
	if (ret)
		return ret;
	blocked = is;
	if (old)
		unstrip(old, was);
	return 0;
}

void guard_thread(void)
{
	sigset_t mask;
	if (!started || REAL(sigprocmask)(SIG_BLOCK, NULL, &mask))
		return;
	uint8_t had = strip(&mask);
	if (had && REAL(sigprocmask)(SIG_SETMASK, &mask, NULL) == 0)
		blocked |= had;
}
