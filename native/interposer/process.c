#include "process.h"

#include "dispatch.h"
#include "dma.h"

#include <stdlib.h>
#include <sys/auxv.h>

#include "fds.h"
#include "guard.h"
#include "known.h"
#include "real.h"
#include "ring.h"
#include "trap.h"
#include "vfork.h"

/* Where struct pthread keeps the tid (glibc nptl/descr.h: after a header of fixed size and a list node). */
#if defined(__x86_64__)
#define TID_AT 720
#else
#define TID_AT 208
#endif
#define TID_SEARCH  1024
#define KEYS_INLINE 32 /* PTHREAD_KEY_2NDLEVEL_SIZE: setting a higher key allocates */

static uint32_t no_page;
volatile uint32_t *process_generation = &no_page;
bool process_filtered;
uint32_t process_pid;
static uint32_t generation = 1; /* in ordinary memory: survives fork */
static int tid_at = -1;
static pthread_key_t key;
static bool have_key;
static char exe[256];
static __thread uint32_t known_tid;

uint32_t process_tid(void)
{
	if (unlikely(vfork_on))
		return vfork_pid();
	if (tid_at < 0)
		return 0;
	known_tid = *(volatile uint32_t *)((char *)pthread_self() + tid_at);
	return known_tid;
}

static void find_tid(uint32_t tid)
{
	const char *self = (const char *)pthread_self();
	if (*(const uint32_t *)(self + TID_AT) == tid) {
		tid_at = TID_AT;
		return;
	}
	for (int at = 0; at < TID_SEARCH; at += 4)
		if (*(const uint32_t *)(self + at) == tid) {
			tid_at = at;
			return;
		}
}

void process_watch_thread(void *token)
{
	if (have_key)
		pthread_setspecific(key, token);
}

void process_forked(void)
{
	uint32_t parent = process_pid, before = known_tid;
	if (vfork_on) {
		parent = vfork_pid();
		vfork_left();
	}
	uint32_t tid = process_tid();
	/* fork() keeps the thread's descriptor up to date; a bare clone() does not. */
	if (tid_at >= 0 && tid != before)
		process_pid = tid;
	else if (!process_filtered)
		process_pid = (uint32_t)REAL(syscall)(SYS_getpid);
	*process_generation = ++generation;
	ring_reset();
	if (!process_filtered)
		guard_forked();
	dispatch_arm();
	process_note(process_pid, parent);
}

void process_note(uint32_t pid, uint32_t parent)
{
	rec_note(VRR_OP_PROCESS, -1, 0, pid, parent, 0, 0, 0, exe);
}

void process_filter(bool surely)
{
	if (vfork_child()) {
		vfork_filtered();
		return;
	}
	if (surely)
		dispatch_stop(false);
	process_filtered = true;
}

bool process_link(int fd, char target[256])
{
	if (process_filtered)
		return false;
	char path[32] = "/proc/self/fd/", digits[12];
	int n = 0, at = 14, saved = errno;
	unsigned left = (unsigned)fd;
	do
		digits[n++] = (char)('0' + left % 10);
	while ((left /= 10));
	while (n)
		path[at++] = digits[--n];
	path[at] = 0;
	ssize_t length = readlink(path, target, 255);
	errno = saved;
	if (length < 0)
		return false;
	target[length] = 0;
	return true;
}

/* ---- start ---- */

static uint64_t number_after(const char *text, const char *name, uint64_t missing)
{
	const char *at = strstr(text, name);
	if (!at)
		return missing;
	at += strlen(name);
	while (*at == ' ' || *at == '\t')
		at++;
	uint64_t value = 0;
	while (*at >= '0' && *at <= '9')
		value = value * 10 + (uint64_t)(*at++ - '0');
	return value;
}

struct status {
	uint32_t pid, parent;
	uint64_t filters; /* UINT64_MAX: not known */
};

/* By the calls that every dynamic loader makes, since a filter that outlived exec() may kill at any other. */
static struct status read_status(void)
{
	char text[4096];
	size_t length = 0;
	ssize_t n = 0;
	int fd = REAL(open64)("/proc/self/status", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		while (length < sizeof text - 1 && (n = REAL(read)(fd, text + length, sizeof text - 1 - length)) > 0)
			length += (size_t)n;
		REAL(close)(fd);
	}
	text[length] = 0;
	/* Kernels before 5.9 do not say how many. */
	uint64_t mode = number_after(text, "\nSeccomp:", UINT64_MAX);
	return (struct status){
		.pid = (uint32_t)number_after(text, "\nPid:", 0),
		.parent = (uint32_t)number_after(text, "\nPPid:", 0),
		.filters = number_after(text, "\nSeccomp_filters:", mode ? UINT64_MAX : 0),
	};
}

/* A page apart, so that the kernel can wipe it in children. Without it only fork() itself is noticed. */
static void make_page(void)
{
	void *page = REAL(mmap64)(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return;
	madvise(page, 4096, MADV_WIPEONFORK);
	process_generation = page;
}

static void find_exe(void)
{
	ssize_t length = -1;
	if (process_filtered)
		length = guard_string(exe, (const char *)getauxval(AT_EXECFN), sizeof exe);
	else
		length = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[length > 0 ? length : 0] = 0;
}

/* What makes system calls that a filter may not expect. */
static void start_freely(void)
{
	ring_populate();
#ifdef __x86_64__
	reads_looked_at = writes_looked_at = trap_on = ring->mmio == VRR_MMIO_TRAP;
#endif
	dma_start();
#ifdef __x86_64__
	if (ring->raw == VRR_RAW_DISPATCH)
		dispatch_prepare();
#endif
	guard_start();
#ifdef __x86_64__
	dispatch_start();
#endif
}

__attribute__((constructor(101))) static void process_start(void)
{
	int saved = errno;
	real_find();
	const char *path = getenv(VRR_ENV_RING);
	if (!path || !*path)
		return;
	struct status status = read_status();
	if (ring_open(path)) {
		/* As many filters as the recorder has are a container's, which allow what programs commonly do. */
		process_filtered = status.filters > ring->seccomp_filters;
		process_pid = process_filtered ? status.pid : (uint32_t)getpid();
		find_tid(process_filtered ? status.pid : (uint32_t)REAL(syscall)(SYS_gettid));
		if (!process_filtered)
			make_page();
		*process_generation = generation;
		have_key = pthread_key_create(&key, ring_thread_ends) == 0;
		if (have_key && key >= KEYS_INLINE) {
			pthread_key_delete(key);
			have_key = false;
		}
		if (process_filtered && ring->raw == VRR_RAW_DISPATCH)
			ring_lost(VRR_LOSS_RAW_UNSEEN, 1);
		if (process_filtered)
			known_start();
		else
			start_freely();
		find_exe();
		process_note(process_pid, status.parent);
		if (!process_filtered)
			fds_scan();
	}
	errno = saved;
}
