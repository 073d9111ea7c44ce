#include "tracee.h"

#include <dirent.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>

#include "interposer/process.h"
#include "interposer/real.h"
#include "interposer/trap.h"
#include "tracer.h"

#define STACK  (256u << 10) /* a hook's frames: control data and descriptor lists of messages are the largest */
#define STACKS 4096	    /* traced threads inside a recorded call at one time */

/* What the hooks take as theirs. */
extern __thread struct thread *tracee_self; /* the hooks' ring_self */
static uint32_t one = 1;
volatile uint32_t *process_generation = &one;
bool process_filtered;
uint32_t process_pid;
bool trap_on;

pid_t tracer_pid;
char *tracer_stacks;
size_t tracer_stacks_size, tracer_ring_size;

static struct tracee *tracees, *current;
static ucontext_t loop;
static unsigned free_stacks[STACKS], stacks_free;

long hook_syscall(long nr, ...);
long hook_fork(void);
long hook_prctl(int option, ...);

/* ---- the hooks' call, made by the traced thread ---- */

static long traced(void)
{
	struct tracee *t = current;

	if (t->call == CALL_RESTS) { /* a second call of one hook: there is no second call to make */
		errno = ENOSYS;
		return -1;
	}
	t->call = CALL_RESTS;
	swapcontext(&t->context, &loop);
	if (t->result < 0 && t->result > -4096) {
		errno = (int)-t->result;
		return -1;
	}
	return t->result;
}

/* fork and prctl need nothing around them here: the kernel tells of children and filters. */
long hook_fork(void)
{
	return traced();
}
long hook_prctl(int option, ...)
{
	(void)option;
	return traced();
}

struct real real;
void real_find(void)
{
}

uint32_t process_tid(void)
{
	return current ? (uint32_t)current->tid : 0;
}
void process_forked(void)
{
}
void process_filter(bool surely)
{
	(void)surely;
	process_filtered = true;
}
void process_watch_thread(void *token)
{
	(void)token;
}

bool process_link(int fd, char target[256])
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/fd/%d", tracer_pid, fd);
	ssize_t length = readlink(path, target, 255);
	if (length < 0)
		return false;
	target[length] = 0;
	return true;
}

/* Trapping is the interposer's alone. */
bool trap_guard(void *address, size_t length, int prot, int fd, uint32_t entry, uint64_t offset)
{
	(void)address, (void)length, (void)prot, (void)fd, (void)entry, (void)offset;
	return false;
}
unsigned trap_take(void *address, size_t length)
{
	(void)address, (void)length;
	return 0;
}
void trap_open(unsigned token)
{
	(void)token;
}
void trap_settle(unsigned token, bool over)
{
	(void)token, (void)over;
}
bool trap_protect(void *address, size_t length, int prot)
{
	(void)address, (void)length, (void)prot;
	return false;
}
void *trap_alias(const void *address, size_t length)
{
	(void)length;
	return (void *)(uintptr_t)address;
}

void tracee_start(void)
{
	tracer_stacks_size = (size_t)STACK * STACKS;
	tracer_stacks = mmap((void *)TRACER_STACKS, tracer_stacks_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (tracer_stacks == MAP_FAILED) {
		perror("vfio-rr-trace: no memory");
		exit(127);
	}
	for (unsigned i = 0; i < STACKS; i++)
		free_stacks[stacks_free++] = i;
#define TRACED(result, name, parameters) *(void **)&real.name = (void *)traced;
	REAL_CALLS(TRACED)
#undef TRACED
}

/* ---- threads ---- */

static void become(struct tracee *t)
{
	current = t;
	tracee_self = &t->self;
	tracee_fds = t->process->table;
	tracer_pid = t->tid;
	tracer_memory = &t->process->memory;
	process_pid = (uint32_t)t->process->pid;
}

struct tracee *tracee_find(pid_t tid)
{
	for (struct tracee *t = tracees; t; t = t->next)
		if (t->tid == tid)
			return t;
	return NULL;
}

struct tracee *tracee_add(pid_t tid)
{
	struct tracee *t = calloc(1, sizeof *t);
	if (!t) {
		perror("vfio-rr-trace: no memory");
		exit(127);
	}
	t->tid = tid;
	t->self.generation = one;
	t->next = tracees;
	tracees = t;
	return t;
}

static struct process *new_process(pid_t pid)
{
	struct process *p = calloc(1, sizeof *p);
	void *table = mmap(NULL, sizeof *p->table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);
	if (!p || table == MAP_FAILED) {
		perror("vfio-rr-trace: no memory");
		exit(127);
	}
	p->pid = pid;
	p->table = table;
	p->memory = -1;
	return p;
}

static void read_exe(struct process *p)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/exe", p->pid);
	ssize_t length = readlink(path, p->exe, sizeof p->exe - 1);
	p->exe[length > 0 ? length : 0] = 0;
}

void tracee_belongs(struct tracee *t, const struct tracee *parent, bool thread)
{
	if (thread) {
		t->process = parent->process;
	} else {
		t->process = new_process(t->tid);
		if (parent) {
			for (int fd = 0; fd <= fds_top; fd++)
				(*t->process->table)[fd] = (*parent->process->table)[fd];
			memcpy(t->process->exe, parent->process->exe, sizeof t->process->exe);
			tracee_note(t, VRR_OP_PROCESS, (uint64_t)t->tid, (uint64_t)parent->process->pid, 0,
				    t->process->exe);
		}
	}
	t->process->threads++;
}

void tracee_remove(struct tracee *t)
{
	for (struct tracee **at = &tracees; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	for (int i = 0; i < LEVELS; i++)
		if (t->self.level[i].segment)
			release(&t->self.level[i].segment->closed, 1);
	if (t->stack)
		free_stacks[stacks_free++] = (unsigned)((t->stack - tracer_stacks) / STACK);
	if (t->process && --t->process->threads == 0) {
		munmap(t->process->table, sizeof *t->process->table);
		if (t->process->memory >= 0)
			close(t->process->memory);
		free(t->process);
	}
	if (current == t)
		current = NULL;
	free(t);
}

void tracee_note(struct tracee *t, int op, uint64_t a, uint64_t b, long ret, const char *path)
{
	char here[sizeof t->process->exe] = ""; /* where memory.c knows it for ours */

	become(t);
	if (path)
		memcpy(here, path, strnlen(path, sizeof here - 1));
	rec_note(op, -1, 0, a, b, ret, 0, 0, path ? here : NULL);
}

void tracee_executed(struct tracee *t)
{
	char target[256];

	read_exe(t->process);
	become(t);
	tracer_open_memory();
	tracee_note(t, VRR_OP_PROCESS, (uint64_t)t->process->pid, (uint64_t)getpid(), 0, t->process->exe);
	for (int fd = 0; fd <= fds_top; fd++)
		if (fds_get(fd) && !process_link(fd, target))
			fds_take(fd);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/fd", t->process->pid);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));)
		if (e->d_name[0] != '.' && !fds_get(atoi(e->d_name)))
			fds_look(atoi(e->d_name), 0, 0);
	if (dir)
		closedir(dir);
}

/* ---- calls ---- */

bool tracee_concerns(const struct tracee *t)
{
	const uint32_t *table = *t->process->table;
	int fd = (int)t->arguments[0];

	switch (t->nr) {
	case SYS_mmap:
		fd = (int)t->arguments[4];
		if (t->arguments[3] & (MAP_ANONYMOUS | MAP_FIXED))
			return t->arguments[3] & MAP_FIXED;
		break;
	case SYS_read:
	case SYS_write:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_readv:
	case SYS_writev:
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_preadv2:
	case SYS_pwritev2:
	case SYS_close:
	case SYS_dup:
	case SYS_fcntl:
		break;
	case SYS_ioctl:
		if (_IOC_TYPE(t->arguments[1]) == VFIO_TYPE || _IOC_TYPE(t->arguments[1]) == VRR_KVM_TYPE)
			return true;
		break;
	default:
		return true;
	}
	return (unsigned)fd < FDS_MAX && table[fd];
}

static void run(void)
{
	struct tracee *t = current;
	const long *a = t->arguments;
	hook_syscall(t->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	t->call = CALL_DONE;
	swapcontext(&t->context, &loop);
}

enum call tracee_enter(struct tracee *t)
{
	if (!t->stack) {
		if (!stacks_free)
			return CALL_DONE;
		t->stack = tracer_stacks + (size_t)free_stacks[--stacks_free] * STACK;
	}
	become(t);
	t->call = CALL_NONE;
	tracer_missed = 0;
	getcontext(&t->context);
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK;
	t->context.uc_link = NULL;
	makecontext(&t->context, run, 0);
	swapcontext(&loop, &t->context);
	t->missed = tracer_missed;
	return t->call;
}

void tracee_leave(struct tracee *t, long result)
{
	become(t);
	t->result = result;
	tracer_missed = t->missed;
	swapcontext(&loop, &t->context);
	t->call = CALL_NONE;
	/* A call that failed may have been given a place where nothing is, and then nothing is lost. */
	if (tracer_missed && (result >= 0 || t->process->memory < 0))
		ring_lost(VRR_LOSS_UNREADABLE, tracer_missed);
}
