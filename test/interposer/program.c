/*
 * One program with many small scenes for the interposer's tests, run on the stand-in: program SCENE [ARGUMENT…].
 * Prints what it saw, so that two runs can be compared.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

void *volatile nowhere = (void *)16;

int device_open(void)
{
	int group = open("/dev/vfio/12", O_RDWR);
	return ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
}

uint32_t get(int fd, off_t at)
{
	uint32_t value = 0;
	if (pread(fd, &value, sizeof value, at) != sizeof value)
		perror("pread");
	return value;
}

void put(int fd, off_t at, uint32_t value)
{
	if (pwrite(fd, &value, sizeof value, at) != sizeof value)
		perror("pwrite");
}

static int basic(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	printf("version %d", ioctl(container, VFIO_GET_API_VERSION));
	printf(", extension %d\n", ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU));
	int device = device_open();
	put(device, 0x40, 0xdeadbeef);
	printf("%x\n", get(device, 0x40));
	printf("missing %d %d\n", open("/dev/vfio/missing", O_RDWR), errno);
	char text[300];
	memset(text, 'x', sizeof text);
	printf("%zd", pwrite(device, text, sizeof text, 4096));
	printf(" %zd\n", pread(device, text, sizeof text, 4096));
	struct iovec v[2] = {{text, 10}, {text + 100, 20}};
	printf("%zd", preadv(device, v, 2, 4096));
	printf(" %zd\n", pwritev(device, v, 2, 8192));
	int other = dup(device);
	printf("%x\n", get(other, 0x40));
	close(device);
	close(other);
	return close(container);
}

static int regions(void)
{
	int device = device_open();
	char buffer[256] = {0};
	struct vfio_region_info *info = (void *)buffer;
	info->argsz = sizeof *info;
	info->index = 2;
	ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info);
	printf("argsz %u flags %u cap %u\n", info->argsz, info->flags, info->cap_offset);
	ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info);
	printf("argsz %u flags %u cap %u\n", info->argsz, info->flags, info->cap_offset);
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	printf("mapped %d", map != MAP_FAILED);
	printf(" protected %d", mprotect(map, 4096, PROT_READ));
	printf(" unmapped %d\n", munmap(map, 4096));
	return 0;
}

static void *read_many(void *fd)
{
	for (int i = 0; i < 20000; i++)
		get((int)(intptr_t)fd, 4 * (i % 1000));
	return NULL;
}

static int threads(void)
{
	int device = device_open();
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, read_many, (void *)(intptr_t)device);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	return 0;
}

static int signal_device;
static volatile int signals;
static void on_alarm(int nr)
{
	(void)nr;
	int saved = errno;
	uint32_t value;
	if (pread(signal_device, &value, sizeof value, 0x800) == sizeof value)
		signals++;
	errno = saved;
}

/* A handler that records, in the middle of everything. */
static int handlers(void)
{
	signal_device = device_open();
	struct sigaction act = {.sa_handler = on_alarm};
	sigaction(SIGALRM, &act, NULL);
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &often, NULL);
	int mine = 0;
	char big[5000];
	for (; signals < 2000; mine++)
		if (mine % 16)
			get(signal_device, 0x40);
		else if (pread(signal_device, big, sizeof big, 0) != sizeof big)
			return 1;
	setitimer(ITIMER_REAL, &never, NULL);
	fprintf(stderr, "%d %d\n", mine, signals);
	return 0;
}

static sigjmp_buf out;
static volatile int faults;
static void on_fault(int nr, siginfo_t *info, void *context)
{
	(void)context;
	faults++;
	if (info->si_addr != nowhere)
		_exit(9);
	siglongjmp(out, nr);
}

static int segv(const char *how)
{
	int device = device_open();
	errno = 0;
	printf("%d", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, nowhere));
	printf(" %d\n", errno);
	printf("%zd", pwrite(device, nowhere, 4, 0));
	printf(" %d\n", errno);
	printf("%zd", pread(device, nowhere, 4, 0));
	printf(" %d\n", errno);
	printf("%zd", readv(device, nowhere, 2));
	printf(" %d\n", errno);
	sigset_t all, was;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &was);
	printf("%zd", pwrite(device, nowhere, 400, 0));
	printf(" %d\n", errno);
	pthread_sigmask(SIG_SETMASK, &was, &all);
	printf("segv was unblocked %d, blocked %d\n", !sigismember(&was, SIGSEGV), sigismember(&all, SIGSEGV));
	fflush(stdout);
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER}, old;
	if (!strcmp(how, "default")) {
		*(volatile int *)nowhere = 1;
	} else if (!strcmp(how, "sent")) {
		raise(SIGSEGV);
	} else if (!strcmp(how, "bus")) {
		raise(SIGBUS);
	} else if (!strcmp(how, "blocked")) {
		sigaction(SIGSEGV, &act, NULL);
		pthread_sigmask(SIG_BLOCK, &all, NULL);
		*(volatile int *)nowhere = 1;
	} else if (!strcmp(how, "ignored")) {
		signal(SIGSEGV, SIG_IGN);
		raise(SIGSEGV);
		printf("still here\n");
		fflush(stdout);
		*(volatile int *)nowhere = 1;
	} else if (!strcmp(how, "once")) {
		act.sa_flags |= (int)SA_RESETHAND;
		sigaction(SIGSEGV, &act, NULL);
		if (!sigsetjmp(out, 1))
			*(volatile int *)nowhere = 1;
		printf("caught %d\n", faults);
		fflush(stdout);
		*(volatile int *)nowhere = 1;
	} else {
		printf("set %d", sigaction(SIGSEGV, &act, &old));
		printf(" before %d\n", old.sa_handler == SIG_DFL);
		for (volatile int i = 0; i < 3; i++)
			if (!sigsetjmp(out, 1))
				*(volatile int *)nowhere = 1;
		sigaction(SIGSEGV, NULL, &old);
		printf("caught %d, handler mine %d, flags %x\n", faults, old.sa_sigaction == on_fault,
		       old.sa_flags & ~0x04000000);
		printf("%d\n", signal(SIGSEGV, SIG_DFL) == (void *)on_fault);
	}
	return 0;
}

/* Kills on every call that is not listed; rt_sigreturn is in neither list. */
static void confine_to(const int *allowed, unsigned count)
{
	struct sock_filter filter[100] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
	unsigned n = 1;
	for (unsigned i = 0; i < count; i++) {
		filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
		filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	struct sock_fprog program = {(unsigned short)n, filter};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		exit(3);
}

#define CALLS                                                                                                  \
	SYS_pread64, SYS_pwrite64, SYS_ioctl, SYS_read, SYS_write, SYS_close, SYS_exit_group, SYS_exit,        \
		SYS_eventfd2, SYS_dup, SYS_memfd_create, SYS_ftruncate, SYS_pipe, SYS_pipe2, SYS_futex

static void confine(void)
{
	static const int allowed[] = {CALLS};
	confine_to(allowed, sizeof allowed / sizeof *allowed);
}

/* Bad pointers: the kernel says EFAULT. */
static int confined_faults(void)
{
	int device = device_open();
	double kept = 1.25, sum = 0;
	confine();
	for (int i = 0; i < 20; i++) {
		char line[64];
		int a = ioctl(device, VFIO_DEVICE_GET_REGION_INFO, nowhere), error = errno;
		ssize_t b = pwrite(device, nowhere, i & 1 ? 4 : 400, 0);
		sum += kept * i;
		(void)!write(1, line, (size_t)sprintf(line, "%d %d %zd %d %d\n", a, error, b, errno, (int)(sum * 4)));
	}
	_exit(0);
}

/* What a dynamic loader needs besides: the filter outlives exec. */
static int confined_exec(char **argv, bool executed)
{
	static const int allowed[] = {CALLS,	  SYS_execve,	    SYS_brk,	  SYS_access,
				      SYS_openat, SYS_newfstatat,   SYS_mmap,	  SYS_munmap,
				      SYS_mprotect, SYS_arch_prctl, SYS_set_tid_address, SYS_set_robust_list,
				      SYS_rseq,	  SYS_prlimit64,    SYS_getrandom};
	if (!executed) {
		int device = device_open();
		confine_to(allowed, sizeof allowed / sizeof *allowed);
		get(device, 8);
		execl("/proc/self/exe", argv[0], "executed", (char *)NULL);
		_exit(4);
	}
	static struct vfio_region_info fixed = {.argsz = sizeof fixed};
	struct vfio_region_info local = {.argsz = sizeof local}, *heap = calloc(1, sizeof *heap);
	struct vfio_region_info *mapped =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap->argsz = mapped->argsz = sizeof *heap;
	int device = device_open();
	printf("%d", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &fixed));
	printf(" %d", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &local));
	printf(" %d", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, heap));
	printf(" %d", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, mapped));
	printf(" %d", ioctl(device, VFIO_DEVICE_GET_REGION_INFO, nowhere));
	printf(" %d", errno);
	printf(" %x\n", get(device, 0));
	printf("%zd", pwrite(device, nowhere, 4, 0));
	printf(" %d\n", errno);
	return 0;
}

static volatile bool confined_done; /* the filter allows no join */
static void *confined_thread(void *fd)
{
	for (int i = 0; i < 20000; i++)
		get((int)(intptr_t)fd, 8);
	confined_done = true;
	syscall(SYS_exit, 0);
	return NULL;
}

static int confined(void)
{
	int device = device_open(), strange = dup(0);
	pthread_t t;
	static pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, 1);
	pthread_create(&t, NULL, confined_thread, (void *)(intptr_t)device);
	confine();
	for (int i = 0; i < 40000; i++)
		get(device, 4);
	ioctl(strange, VFIO_DEVICE_RESET);
	int event = eventfd(0, 0);
	close(event);
	while (!confined_done)
		;
	(void)!write(1, "confined\n", 9);
	_exit(0);
}

static int passing(void)
{
	int device = device_open(), pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	char byte = 1, control[CMSG_SPACE(8)] = {0};
	struct iovec v = {&byte, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(8);
	int fds[2] = {device, 1};
	memcpy(CMSG_DATA(c), fds, 8);
	printf("%zd\n", sendmsg(pair[0], &m, 0));
	memset(control, 0, sizeof control);
	printf("%zd\n", recvmsg(pair[1], &m, 0));
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), 8);
	ioctl(fds[0], VFIO_DEVICE_RESET);
	return 0;
}

/* To a process that nobody records, or that never looks. */
static int sending(int times)
{
	int device = device_open(), pair[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	char byte = 1, control[CMSG_SPACE(4)] = {0};
	struct iovec v = {&byte, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(4);
	memcpy(CMSG_DATA(c), &device, 4);
	while (times-- > 0)
		printf("%zd\n", sendmsg(pair[0], &m, 0));
	return 0;
}

static int migration(void)
{
	int device = device_open();
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_mig_state state;
	} f = {{sizeof f, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE}, {2, -1}};
	printf("%d\n", ioctl(device, VFIO_DEVICE_FEATURE, &f));
	int data = f.state.data_fd;
	size_t size = 3 << 20;
	char *bytes = malloc(size);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 7 + (i >> 12));
	printf("%zd\n", write(data, bytes, size));
	lseek(data, 0, SEEK_SET);
	printf("%zd\n", read(data, bytes, size));
	printf("%zd\n", read(data, bytes, size));
	uint64_t bitmap[4] = {1, 0, 0, 1};
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_dma_logging_report report;
	} r = {{sizeof r, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT},
	       {0, 4096 * 256, 4096, (uintptr_t)bitmap}};
	printf("%d %lx\n", ioctl(device, VFIO_DEVICE_FEATURE, &r), bitmap[0]);
	return 0;
}

static void on_jump(int nr)
{
	(void)nr;
	siglongjmp(out, 1);
}

static int jumps(void)
{
	int irq = eventfd(0, 0), device = device_open();
	struct {
		struct vfio_irq_set set;
		int fd;
	} irqs = {{sizeof irqs, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 1}, irq};
	ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs);
	struct sigaction act = {.sa_handler = on_jump};
	sigaction(SIGALRM, &act, NULL);
	for (volatile int i = 0; i < 20; i++)
		if (!sigsetjmp(out, 1)) {
			struct itimerval soon = {.it_value = {0, 20000}};
			setitimer(ITIMER_REAL, &soon, NULL);
			uint64_t count;
			(void)!read(irq, &count, 8);
		}
	get(device, 0);
	return 0;
}

static int raw(void)
{
	int device = device_open();
	uint32_t value = 7;
	printf("%ld\n", syscall(SYS_pwrite64, device, &value, 4, 16));
	printf("%ld %u\n", syscall(SYS_pread64, device, &value, 4, 16), value);
	printf("%ld\n", syscall(SYS_ioctl, device, VFIO_DEVICE_RESET, 0));
	printf("%ld\n", syscall(SYS_close, device));
	return 0;
}

/* Memory given to devices: one piece goes away while it is mapped, one after. */
static int dma(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	char *memory = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 2; i++) {
		struct vfio_iommu_type1_dma_map map = {sizeof map, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						       (uintptr_t)memory + 8192u * (unsigned)i, 0x100000u * (unsigned)i,
						       8192};
		printf("%d\n", ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
	}
	struct vfio_iommu_type1_dma_unmap unmap = {sizeof unmap, 0, 0, 8192};
	printf("%d", ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap));
	printf(" %d", munmap(memory, 8192));
	printf(" %d", munmap(memory + 12288, 4096));
	printf(" %p\n", (void *)((uintptr_t)mmap(memory + 8192, 4096, PROT_NONE,
						 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) &
				 4095));
	return close(container);
}

/* Opens, copies, replaces and closes devices at the same time as others do, so that numbers are used again at once. */
static void *churning(void *unused)
{
	(void)unused;
	uint32_t seed = (uint32_t)(uintptr_t)&unused;
	for (int i = 0; i < 300; i++) {
		int fds[5] = {open("/dev/vfio/devices/vfio0", O_RDWR), -1, -1, -1, -1};
		get(fds[0], 0);
		fds[1] = dup(fds[0]);
		fds[2] = fcntl(fds[0], F_DUPFD_CLOEXEC, 40);
		fds[3] = open("/dev/null", O_RDONLY);
		fds[3] = dup3(fds[0], fds[3], O_CLOEXEC);
		int event = eventfd(0, 0);
		fds[4] = dup2(event, fds[1]);
		close(event);
		for (int k = 0; k < 4; k++)
			if (k != 1)
				get(fds[k], 4 * k);
		seed = seed * 1664525 + 1013904223;
		close(fds[seed >> 16 & 3]);
		for (int k = 0; k < 4; k++)
			if (k != (int)(seed >> 16 & 3))
				close(fds[k]);
	}
	return NULL;
}

static int churn(void)
{
	pthread_t t[16];
	for (int i = 0; i < 16; i++)
		pthread_create(&t[i], NULL, churning, NULL);
	for (int i = 0; i < 16; i++)
		pthread_join(t[i], NULL);
	return 0;
}

static int loops(const char *call, long count)
{
	int device = device_open();
	uint32_t value;
	struct timespec a, b;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	if (!strcmp(call, "pread"))
		for (long i = 0; i < count; i++)
			(void)!pread(device, &value, 4, i & 0xffc);
	else if (!strcmp(call, "ioctl"))
		for (long i = 0; i < count; i++) {
			struct vfio_irq_info info = {sizeof info, 0, 2, 0};
			ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info);
		}
	else if (!strcmp(call, "load")) {
		volatile uint32_t *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
		for (long i = 0; i < count; i++)
			value = map[i & 0x3ff];
	} else if (!strcmp(call, "bare")) /* no argument to capture */
		for (long i = 0; i < count; i++)
			ioctl(device, 0x541b /* FIONREAD */, &value);
	else
		for (long i = 0; i < count; i++)
			(void)!pread(0, &value, 4, 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	printf("%.2f\n", ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)count);
	return 0;
}

int main(int argc, char **argv)
{
	const char *scene = argc > 1 ? argv[1] : "";
#define SCENE(name, call)         \
	if (!strcmp(scene, name)) \
		return call;
	SCENE("basic", basic())
	SCENE("regions", regions())
	SCENE("threads", threads())
	SCENE("forks", forks())
	SCENE("vforks", vforks(argv))
	SCENE("handlers", handlers())
	SCENE("segv", segv(argc > 2 ? argv[2] : ""))
	SCENE("confined", confined())
	SCENE("confined-faults", confined_faults())
	SCENE("confined-exec", confined_exec(argv, false))
	SCENE("executed", confined_exec(argv, true))
	SCENE("passing", passing())
	SCENE("sending", sending(argc > 2 ? atoi(argv[2]) : 1))
	SCENE("interrupts", interrupts())
	SCENE("crowds", crowds())
	SCENE("migration", migration())
	SCENE("jumps", jumps())
	SCENE("raw", raw())
	SCENE("churn", churn())
	SCENE("dma", dma())
	SCENE("mapped", mapped())
	SCENE("covered", covered())
	SCENE("overruled", overruled())
	SCENE("failing", failing())
	SCENE("protecting", protecting())
	SCENE("operands", operands())
	SCENE("interrupting", interrupting())
	SCENE("own-handler", own_handler())
	SCENE("loop", loops(argv[2], atol(argv[3])))
	return 2;
}
