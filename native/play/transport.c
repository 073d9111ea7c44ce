/* How a thread asks the server: one write to the request FIFO, one read of its own reply FIFO (schema/play.ts). */
#define _GNU_SOURCE
#include "play.h"
#include <dirent.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Some 50 us. */
#define LOOKS 200

char play_dir[PATH_MAX / 2];
static int own_fd_min;
static int looks; /* at the reply FIFO before a read that sleeps */
static int requests = -1;
static pid_t self; /* by getpid, kept here; a vfork child speaks with its parent's voice, whose memory it uses */
static pthread_key_t thread_end;
static bool greeted; /* the server knows this process and program */
static __thread struct {
	int fd; /* reply FIFO, 0 not yet */
	pid_t pid, tid;
	uint32_t seq;
} me;

bool play_on(void)
{
	return play_dir[0] != 0;
}

void *play_next(const char *name, void **slot)
{
	void *found = __atomic_load_n(slot, __ATOMIC_RELAXED);
	if (!found) {
		found = dlsym(RTLD_NEXT, name);
		__atomic_store_n(slot, found, __ATOMIC_RELAXED);
	}
	return found;
}

/* System calls made here must not come back to our hooks or the recorder's, nor be cancellation points. */
DECLARE_NEXT(syscall);
static long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret = NEXT(syscall)(nr, a, b, c, d, e, f);
	return ret == -1 ? -errno : ret;
}
static long sys3(long nr, long a, long b, long c)
{
	return sys6(nr, a, b, c, 0, 0, 0);
}
static long sys4(long nr, long a, long b, long c, long d)
{
	return sys6(nr, a, b, c, d, 0, 0);
}

bool play_copy(void *to, const void *from, size_t length)
{
	struct iovec into = {to, length}, out_of = {(void *)(uintptr_t)from, length};
	return sys6(SYS_process_vm_readv, self, (long)&into, 1, (long)&out_of, 1, 0) == (long)length;
}

int play_keep_copy(int fd)
{
	int copy = (int)sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, own_fd_min);
	if (copy < 0)
		copy = (int)sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
	play_set(copy, play_own);
	return copy;
}
void play_drop(int fd)
{
	play_set(fd, (struct played){0, 0});
	sys3(SYS_close, fd, 0, 0);
}
static int kept(int fd)
{
	int copy = play_keep_copy(fd);
	sys3(SYS_close, fd, 0, 0);
	return copy;
}

static void reply_path(char *path, size_t size, pid_t pid, pid_t tid)
{
	snprintf(path, size, "%s/reply/%d.%d", play_dir, (int)pid, (int)tid);
}

static void leave_thread(void *unused)
{
	char path[PATH_MAX];
	(void)unused;
	if (!me.fd || me.pid != self)
		return;
	reply_path(path, sizeof(path), me.pid, me.tid);
	sys3(SYS_unlinkat, AT_FDCWD, (long)path, 0);
	play_drop(me.fd);
	me.fd = 0;
}

/* Most answers come sooner than a sleeping thread is woken on another CPU, which takes 25 us and more in a virtual
 * machine: so first look for a while, where there is another CPU for the server. */
static void look_for_answer(void)
{
	struct pollfd answer = {.fd = me.fd, .events = POLLIN};
	struct timespec none = {0, 0};
	for (int i = 0; i < looks; i++)
		if (sys6(SYS_ppoll, (long)&answer, 1, (long)&none, 0, 8, 0))
			return;
}

static long read_all(int fd, void *to, size_t length)
{
	size_t got = 0;
	while (got < length) {
		long n = sys3(SYS_read, fd, (long)to + (long)got, (long)(length - got));
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n ? n : -EPIPE;
		got += (size_t)n;
	}
	return (long)got;
}

static bool send_request(struct play_request *q, const void *data, size_t length)
{
	char message[VRR_PLAY_REQUEST_MAX];
	q->size = (uint32_t)(sizeof(*q) + length);
	q->length = (uint32_t)length;
	q->pid = (uint32_t)me.pid;
	q->tid = (uint32_t)me.tid;
	memcpy(message, q, sizeof(*q));
	if (length)
		memcpy(message + sizeof(*q), data, length);
	return sys3(SYS_write, requests, (long)message, q->size) == (long)q->size;
}

static bool receive_reply(struct play_answer *answer)
{
	struct play_reply *r = &answer->reply;
	look_for_answer();
	if (read_all(me.fd, r, sizeof(*r)) < 0 || r->signals > VRR_PLAY_SIGNALS_MAX || r->length > sizeof(answer->data))
		return false;
	if (r->signals && read_all(me.fd, answer->signals, r->signals * sizeof(int32_t)) < 0)
		return false;
	return !r->length || read_all(me.fd, answer->data, r->length) >= 0;
}

static int64_t exchange(struct play_request *q, const void *data, size_t length, struct play_answer *answer, int flags)
{
	struct play_reply *r = &answer->reply;
	if (sizeof(*q) + length > VRR_PLAY_REQUEST_MAX)
		return -E2BIG;
	q->seq = ++me.seq;
	if (!send_request(q, data, length))
		return -EIO;
	for (;;) {
		struct play_request installed = {.op = VRR_PLAY_OP_INSTALLED, .seq = q->seq};
		if (!receive_reply(answer))
			return -EIO;
		if (r->seq != q->seq) /* to a call that was given up */
			continue;
		if (!(r->flags & VRR_PLAY_FLAG_INSTALL))
			return r->ret;
		installed.handle = r->handle;
		installed.a = (uint64_t)(int64_t)play_place((uint8_t)r->kind, r->handle, flags,
							    q->op == VRR_PLAY_OP_OPEN ? data : NULL);
		if (!send_request(&installed, NULL, 0))
			return -EIO;
	}
}

/* The reply FIFO is first held open for writing too, so that the read waits for the server to open it; from the first
 * answer on only the server writes, and its end is end-of-file here. */
static bool enter_thread(void)
{
	char path[PATH_MAX];
	struct play_request hello = {.op = VRR_PLAY_OP_HELLO, .a = VRR_PLAY_VERSION};
	struct play_answer *answer = malloc(sizeof(*answer));
	int both, only;
	bool fine = false;
	if (!answer)
		return false;
	me.pid = self;
	me.tid = (pid_t)sys3(SYS_gettid, 0, 0, 0);
	me.seq = 0;
	reply_path(path, sizeof(path), me.pid, me.tid);
	sys4(SYS_mknodat, AT_FDCWD, (long)path, S_IFIFO | 0600, 0);
	both = (int)sys4(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0);
	if (both >= 0) {
		me.fd = kept(both);
		hello.b = (uint64_t)sys3(SYS_getppid, 0, 0, 0);
		hello.c = !__atomic_exchange_n(&greeted, true, __ATOMIC_ACQ_REL);
		fine = exchange(&hello, NULL, 0, answer, 0) == 0;
		only = fine ? (int)sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0) : -1;
		play_drop(me.fd);
		me.fd = only < 0 ? 0 : kept(only);
		fine = me.fd > 0;
	}
	free(answer);
	if (fine)
		pthread_setspecific(thread_end, &me);
	return fine;
}

/* The kernel's sigset, 64 bits; libc's is larger. */
static uint64_t block_signals(void)
{
	uint64_t all = ~0ULL, before = 0;
	sys4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&before, 8);
	return before;
}

/* A write to a server that is gone leaves SIGPIPE pending: the program must not die of it. */
static void unblock_signals(uint64_t before, bool broken)
{
	if (broken && !(before & (1ULL << (SIGPIPE - 1)))) {
		uint64_t pipe = 1ULL << (SIGPIPE - 1);
		struct timespec now = {0, 0};
		sys4(SYS_rt_sigtimedwait, (long)&pipe, 0, (long)&now, 8);
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8);
}

void play_ask_making(struct play_request *request, const void *data, size_t length, struct play_answer *answer,
		     int flags)
{
	int saved = errno;
	uint64_t mask = block_signals();
	memset(&answer->reply, 0, sizeof(answer->reply));
	answer->reply.ret = -EIO;
	if (me.fd && me.pid != self) /* forked: the FIFO is the parent's */
		play_drop(me.fd), me.fd = 0;
	if (me.fd || enter_thread())
		answer->reply.ret = exchange(request, data, length, answer, flags);
	if (answer->reply.ret == -EIO)
		answer->reply.signals = 0;
	for (uint32_t i = 0; i < answer->reply.signals && i < VRR_PLAY_SIGNALS_MAX; i++)
		play_signal(answer->signals[i]);
	unblock_signals(mask, answer->reply.ret == -EIO);
	errno = saved;
}

static void *listen_thread(void *unused)
{
	struct play_answer *answer = malloc(sizeof(*answer));
	(void)unused;
	while (answer) {
		struct play_request q = {.op = VRR_PLAY_OP_WAIT};
		play_ask(&q, NULL, 0, answer);
		if (answer->reply.ret < 0)
			break;
	}
	free(answer);
	return NULL;
}

static pid_t listening;
/* Starts the thread that signals eventfds while no call is under way. */
void play_listen(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	uint64_t mask;
	if (__atomic_exchange_n(&listening, self, __ATOMIC_ACQ_REL) == self)
		return;
	mask = block_signals();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_create(&thread, &attr, listen_thread, NULL);
	pthread_attr_destroy(&attr);
	unblock_signals(mask, false);
}

static void forked(void)
{
	self = (pid_t)sys3(SYS_getpid, 0, 0, 0);
	greeted = false;
	/* The server learns of this process, and which played descriptors it holds, before anything is closed. */
	if (play_on()) {
		struct play_request q = {.op = VRR_PLAY_OP_CLOSE, .fd = -1};
		struct play_answer answer;
		play_ask(&q, NULL, 0, &answer);
	}
}

/* Above the numbers that programs choose by themselves or count on being low: the uppermost eighth of those that can
 * be had and looked up. */
static int high_place(void)
{
	struct rlimit most;
	rlim_t top = PLAY_FD_MAX;
	if (getrlimit(RLIMIT_NOFILE, &most) == 0 && most.rlim_cur < top)
		top = most.rlim_cur;
	return (int)(top - top / 8);
}

__attribute__((constructor)) static void begin(void)
{
	const char *dir = getenv(VRR_ENV_PLAY);
	char path[PATH_MAX];
	DIR *open_fds;
	cpu_set_t cpus;
	self = getpid();
	if (!dir || dir[0] != '/' || strlen(dir) >= sizeof(play_dir))
		return;
	snprintf(path, sizeof(path), "%s/requests", dir);
	requests = (int)sys4(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (requests < 0)
		return; /* no server: the program sees its own machine */
	own_fd_min = high_place();
	looks = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 1 ? LOOKS : 0;
	requests = kept(requests);
	sys3(SYS_fcntl, requests, F_SETFL, O_WRONLY);
	if (pthread_key_create(&thread_end, leave_thread) != 0)
		return;
	strcpy(play_dir, dir);
	pthread_atfork(NULL, NULL, forked);
	/* Played descriptors that came through exec, perhaps with interrupts armed. */
	open_fds = opendir("/proc/self/fd");
	for (struct dirent *d; open_fds && (d = readdir(open_fds));) {
		int fd = atoi(d->d_name);
		play_recognise(fd);
		if (play_of(fd).kind == VRR_KIND_DEVICE)
			play_listen();
	}
	if (open_fds)
		closedir(open_fds);
}
