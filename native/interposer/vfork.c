#include "vfork.h"

#include "brief.h"
#include "dispatch.h"
#include "guard.h"
#include "real.h"

#define NUMBERS 1024 /* descriptors whose change is remembered one by one; of those above, that there was one */

static __thread struct {
	void *back; /* where vfork() returns to: what the child calls lies over it on the stack */
	struct brief record;
	struct thread streams; /* the parent's */
	uint32_t pid;
	bool busy; /* from vfork_begin() on, until the parent is back */
	bool filtered, beyond;
	uint64_t changed[NUMBERS / 64];
} made;
__thread bool vfork_on;

uint32_t vfork_pid(void)
{
	return made.pid;
}

static void begin_child(void)
{
	made.streams = ring_self;
	made.filtered = made.beyond = false;
	memset(made.changed, 0, sizeof made.changed);
	made.pid = (uint32_t)REAL(syscall)(SYS_getpid);
	guard_part();
	ring_part(VFORKED);
	vfork_on = true;
	dispatch_arm();
	process_note(made.pid, process_pid);
}

/* The child is gone, in the middle of a record too. */
static void end_child(void)
{
	ring_close();
	ring_self = made.streams;
	guard_join(false);
	vfork_on = false;
}

bool vfork_child(void)
{
	if (!vfork_on)
		return false;
	/* A handler of the parent's may run before vfork() has returned. */
	if (!made.filtered && (uint32_t)REAL(syscall)(SYS_getpid) == process_pid)
		end_child();
	return vfork_on;
}

void vfork_filtered(void)
{
	made.filtered = true;
}

/* ---- its descriptors ---- */

bool vfork_gone(int fd)
{
	return fd >= NUMBERS ? made.beyond : fd >= 0 && made.changed[fd / 64] >> fd % 64 & 1;
}

void vfork_set(int fd, uint32_t entry)
{
	uint64_t bit = 1ull << (fd & 63);
	if (fd >= NUMBERS)
		made.beyond = true;
	else if (fd >= 0 && entry == fds_get(fd))
		made.changed[fd / 64] &= ~bit;
	else if (fd >= 0)
		made.changed[fd / 64] |= bit;
}

uint32_t vfork_take(int fd)
{
	uint32_t entry = vfork_gone(fd) ? 0 : fds_get(fd);
	if (entry)
		vfork_set(fd, 0);
	return entry;
}

void vfork_left(void)
{
	vfork_on = made.busy = false;
	guard_join(true);
	for (int fd = 0; fd <= fds_top; fd++)
		if (vfork_gone(fd))
			fds_set(fd, 0);
}

#if defined(__x86_64__)

struct way {
	pid_t (*call)(void);
	long twice; /* 0: as it is */
};

struct return_ {
	long value;
	void *to;
};

__attribute__((visibility("hidden"))) struct way vfork_begin(void *back);
__attribute__((visibility("hidden"))) struct return_ vfork_end(pid_t pid);

__attribute__((used)) struct way vfork_begin(void *back)
{
	if (!ring)
		return (struct way){REAL(vfork), 0};
	/* The child of a child, that of a handler inside vfork(), and one that may not ask for its number, get memory
	 * of their own. */
	if (process_filtered || made.busy)
		return (struct way){fork, 0};
	pid_t (*call)(void) = REAL(vfork);
	made.busy = true;
	made.back = back;
	made.record = rec_brief(VRR_OP_FORK, -1, 0, 0, 0, 0, 0);
	return (struct way){call, 1};
}

__attribute__((used)) struct return_ vfork_end(pid_t pid)
{
	int saved = errno;
	if (pid == 0) {
		begin_child();
	} else {
		if (vfork_on)
			end_child();
		brief_leave(&made.record, rec_result(pid), 0, 0);
	}
	errno = saved;
	struct return_ back = {pid, made.back};
	if (pid)
		made.busy = false;
	return back;
}

/* Nothing of ours is on the stack while the child runs; libc's vfork() keeps its own return address in a register. It
 * is called, since no other instruction than libc's may make a system call where they are dispatched. */
__attribute__((naked)) pid_t vfork(void)
{
	__asm__("mov (%rsp), %rdi\n"
		"	sub $8, %rsp\n"
		"	call vfork_begin\n"
		"	add $8, %rsp\n"
		"	test %rdx, %rdx\n"
		"	jne 1f\n"
		"	jmp *%rax\n"
		"1:	add $8, %rsp\n"
		"	call *%rax\n"
		"	sub $16, %rsp\n"
		"	mov %eax, %edi\n"
		"	call vfork_end\n"
		"	mov %rdx, 8(%rsp)\n"
		"	add $8, %rsp\n"
		"	ret");
}

#else

/* A child in our memory needs a vfork() that leaves nothing on the stack, which is written for x86-64 alone. */
pid_t vfork(void)
{
	return fork();
}

#endif
