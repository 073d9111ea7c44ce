#include "dispatch.h"

#ifdef __x86_64__
#include <asm/prctl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <ucontext.h>

#include "guard.h"
#include "kernel_signals.h"
#include "process.h"
#include "real.h"
#include "ring.h"

#define USER_DISPATCH 2 /* SYS_USER_DISPATCH, asm-generic/siginfo.h since 5.11 */

bool dispatch_on;
static bool prepared;
static uint8_t selector; /* one for all threads: 0 lets calls pass, 1 dispatches them */
static uintptr_t libc_text, gadget;
static size_t libc_size;

/* ---- what may call the kernel: libc's text ---- */

static int find_libc(struct dl_phdr_info *info, size_t size, void *of)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = (uintptr_t)(info->dlpi_addr + p->p_vaddr);
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || (uintptr_t)of - start >= p->p_memsz)
			continue;
		libc_text = start;
		libc_size = p->p_memsz;
		return 1;
	}
	return 0;
}

/* Goroutines call the kernel on stacks of 2 KiB; a signal's frame is larger. The note is cmd/link's build id. */
static int is_go(struct dl_phdr_info *info, size_t size, void *none)
{
	(void)size, (void)none;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const char *at = (const char *)(uintptr_t)(info->dlpi_addr + p->p_vaddr), *end = at + p->p_memsz;
		while (p->p_type == PT_NOTE && end - at > (ptrdiff_t)(sizeof(ElfW(Nhdr)) + sizeof "Go")) {
			const ElfW(Nhdr) *note = (const void *)at;
			if (note->n_namesz == 4 && !memcmp(note + 1, "Go\0", 4))
				return 1;
			at += sizeof *note + ((note->n_namesz + 3ul) & ~3ul) + ((note->n_descsz + 3ul) & ~3ul);
		}
	}
	return 0;
}

static bool switch_on(void)
{
	return REAL(prctl)(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, libc_text, libc_size, &selector) == 0;
}

void dispatch_prepare(void)
{
	void *in_libc = dlsym(RTLD_NEXT, "gnu_get_libc_version"), *in_threads = (void *)pthread_setspecific;
	bool found = in_libc && dl_iterate_phdr(find_libc, in_libc);
	/* Before glibc 2.34 threads were another library, which makes calls with every signal blocked. */
	const void *call = found && (uintptr_t)in_threads - libc_text < libc_size
				   ? memmem((void *)libc_text, libc_size, "\x0f\x05\xc3" /* syscall; ret */, 3)
				   : NULL;
	gadget = (uintptr_t)call;
	if (call && !dl_iterate_phdr(is_go, NULL) && switch_on()) /* so far everything passes */
		dispatch_on = true;
	else
		ring_lost(VRR_LOSS_RAW_UNSEEN, 1);
}

void dispatch_start(void)
{
	if (!dispatch_on)
		return;
	prepared = true;
	if (guard_bare || pthread_atfork(NULL, NULL, dispatch_arm)) {
		dispatch_stop(false);
		return;
	}
	guard_thread();
	__atomic_store_n(&selector, 1, __ATOMIC_RELEASE);
}

void dispatch_arm(void)
{
	if (!dispatch_on)
		return;
	guard_thread();
	if (!switch_on())
		ring_lost(VRR_LOSS_RAW_UNSEEN, 1);
}

void dispatch_stop(bool taken)
{
	if (taken)
		prepared = false;
	if (!dispatch_on)
		return;
	__atomic_store_n(&selector, 0, __ATOMIC_RELEASE);
	dispatch_on = false;
	ring_lost(VRR_LOSS_RAW_UNSEEN, 1);
	struct sigaction theirs;
	if (sigaction(SIGSYS, NULL, &theirs) == 0)
		sigaction(SIGSYS, &theirs, NULL); /* with its own flags and mask from now on */
}

/* ---- signal masks ---- */

const sigset_t *dispatch_mask(const sigset_t *mask, sigset_t *copy)
{
	if (!unlikely(dispatch_on) || !mask || guard_copy(copy, mask, KERNEL_SET))
		return mask;
	sigdelset(copy, SIGSYS);
	return copy;
}

#define P(i) ((void *)a[i])
#define I(i) ((int)a[i])

/* What the handler's return sets. */
static void keep_mask(ucontext_t *uc)
{
	sigset_t now;
	if (REAL(syscall)(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, KERNEL_SET) == 0)
		memcpy(&uc->uc_sigmask, &now, KERNEL_SET);
}

/* ---- calls that return twice ---- */

/* clone(gregs, arguments, number, gadget): by libc's instruction, since ours would be dispatched. The child has its own
 * stack, on which lie: where to go on here, rdi, rsi, and where the program goes on. */
__asm__(".pushsection .text\n"
	".hidden dispatch_clone, dispatch_child\n"
	".globl dispatch_clone, dispatch_child\n"
	"dispatch_clone:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rcx, %r11\n"
	"	mov %rdx, %rax\n"
	"	mov 32(%rdi), %r12\n	mov 40(%rdi), %r13\n	mov 48(%rdi), %r14\n	mov 56(%rdi), %r15\n"
	"	mov 80(%rdi), %rbp\n	mov 88(%rdi), %rbx\n"
	"	mov %rsi, %rcx\n"
	"	mov (%rcx), %rdi\n	mov 8(%rcx), %rsi\n	mov 16(%rcx), %rdx\n"
	"	mov 24(%rcx), %r10\n	mov 32(%rcx), %r8\n	mov 40(%rcx), %r9\n"
	"	call *%r11\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	"dispatch_child:\n"
	"	pop %rdi\n	pop %rsi\n"
	"	ret\n"
	".popsection\n");
__attribute__((visibility("hidden"))) long dispatch_clone(const greg_t *registers, const long *a, long nr,
							  uintptr_t by);
extern __attribute__((visibility("hidden"))) const char dispatch_child[];

/* false: not to be had here, the program makes it itself. */
static bool call_clone(long nr, const long *a, const greg_t *g, long *ret)
{
	struct clone_args args = {0};
	long b[6];
	memcpy(b, a, sizeof b);
	size_t size = nr == SYS_clone3 && (size_t)a[1] < sizeof args ? (size_t)a[1] : sizeof args;
	if (nr == SYS_clone)
		args.flags = (uint64_t)a[0], args.stack = (uint64_t)a[1];
	else if ((size_t)a[1] > sizeof args || guard_copy(&args, P(0), size))
		return false;
	if (!args.stack) { /* on our own: what the memory is copied for, or our caller waits for */
		if (args.flags & CLONE_SETTLS || (args.flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM)
			return false;
		args.flags &= ~(uint64_t)CLONE_VM; /* we could not return twice by one frame */
		b[0] = nr == SYS_clone ? (long)args.flags : (long)&args;
		*ret = REAL(syscall)(nr, b[0], b[1], b[2], b[3], b[4], b[5]);
		*ret = *ret == -1 ? -errno : *ret;
		if (*ret == 0)
			process_forked();
		return true;
	}
	uintptr_t top = args.stack + (nr == SYS_clone ? 0 : args.stack_size);
	uintptr_t words[] = {(uintptr_t)dispatch_child, (uintptr_t)a[0], (uintptr_t)a[1], (uintptr_t)g[REG_RIP]};
	if (guard_copy((void *)(top - sizeof words), words, sizeof words))
		return false;
	args.stack_size -= sizeof words;
	if (nr == SYS_clone)
		b[1] = (long)(top - sizeof words);
	else
		b[0] = (long)&args;
	*ret = dispatch_clone(g, b, nr, gadget);
	if (*ret > 0)
		ring_lost(VRR_LOSS_RAW_CLONED, 1);
	return true;
}

/* ---- the calls ---- */

/* Made again by the program's own instruction, as are all from now on. */
static void leave_alone(greg_t *g)
{
	dispatch_stop(false);
	g[REG_RIP] -= 2;
}

bool dispatch_call(const siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	if (info->si_code != USER_DISPATCH || !prepared)
		return false;
	long nr = g[REG_RAX], ret;
	const long a[6] = {g[REG_RDI], g[REG_RSI], g[REG_RDX], g[REG_R10], g[REG_R8], g[REG_R9]};
	/* ARCH_SET_FS moves our own variables away. */
	if (info->si_arch != AUDIT_ARCH_X86_64 || (nr == SYS_arch_prctl && I(0) == ARCH_SET_FS))
		return leave_alone(g), true;
	switch (nr) {
	case SYS_rt_sigreturn:
		g[REG_RIP] = (greg_t)gadget; /* on the program's stack, where its frame is */
		return true;
	case SYS_clone:
	case SYS_clone3:
		if (!call_clone(nr, a, g, &ret))
			return leave_alone(g), true;
		g[REG_RAX] = ret;
		return true;
	case SYS_rt_sigprocmask:
		g[REG_RAX] = kernel_sigprocmask(a);
		keep_mask(uc);
		return true;
	case SYS_rt_sigaction:
		g[REG_RAX] = kernel_sigaction(a);
		return true;
	case SYS_vfork:
		ret = fork(); /* see call_clone() */
		break;
	case SYS_execve:
		ret = execve(P(0), P(1), P(2));
		break;
	case SYS_execveat:
		ret = execveat(I(0), P(1), P(2), P(3), I(4));
		break;
	default:
		ret = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		if (nr == SYS_sigaltstack && ret == 0)
			REAL(syscall)(nr, NULL, &uc->uc_stack);
		break;
	}
	g[REG_RAX] = ret == -1 ? -errno : ret;
	return true;
}
#endif
