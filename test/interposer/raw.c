/*
 * Calls on a device made by system call instructions of the program's own: raw SCENE. Needs a file
 * /dev/vfio/devices/vfio0, which the test makes. Prints what it saw, so that two runs can be compared.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "raw.h"

#ifdef AS_IF_GO
/* What Go's linker marks its programs with. */
__asm__(".pushsection .note.go.buildid,\"a\",@note\n"
	"	.balign 4\n	.long 4, 4, 4\n	.ascii \"Go\\0\\0id\\0\\0\"\n"
	".popsection\n");
#endif

#define VFIO0	 "/dev/vfio/devices/vfio0"
#define GET_INFO 0x3b6b /* VFIO_DEVICE_GET_INFO */

static int device;

static void open_device(void)
{
	device = (int)RAW(SYS_openat, AT_FDCWD, VFIO0, O_RDWR);
}
static long get(long at)
{
	uint32_t value = 0;
	return RAW(SYS_pread64, device, &value, 4, at);
}

static int basic(void)
{
	char text[64] = "written";
	open_device();
	printf("ioctl %ld", RAW(SYS_ioctl, device, GET_INFO, text));
	printf(" pwrite %ld", RAW(SYS_pwrite64, device, text, sizeof text, 0x100));
	printf(" pread %ld %s", RAW(SYS_pread64, device, text, 7, 0x100), text);
	long map = RAW(SYS_mmap, 0, 4096, PROT_READ, MAP_SHARED, device, 0);
	printf(" mapped %s", (char *)map + 0x100);
	printf(" unmapped %ld", RAW(SYS_munmap, map, 4096));
	errno = 77;
	printf(" fault %ld errno %d", RAW(SYS_pread64, device, 16, 4, 0), errno);
	long copy = RAW(SYS_dup, device);
	printf(" dup %d", copy > device);
	printf(" close %ld %ld %ld\n", RAW(SYS_close, copy), RAW(SYS_close, device), RAW(SYS_close, 999));
	printf("missing %ld %ld\n", RAW(SYS_openat, AT_FDCWD, "/dev/vfio/99", O_RDWR), RAW(1000));
	return 0;
}

static void *thread(void *at)
{
	return (void *)get((long)at);
}
static int thread_c11(void *at)
{
	return (int)get((long)at);
}

static int threads(void)
{
	pthread_t t;
	void *ret;
	open_device();
	get(0x10);
	for (long i = 0; i < 3; i++) {
		pthread_create(&t, NULL, thread, (void *)(0x20 + i));
		pthread_join(t, &ret);
		printf("%ld ", (long)ret);
	}
	thrd_t c11;
	int result;
	thrd_create(&c11, thread_c11, (void *)0x30);
	thrd_join(c11, &result);
	printf("%d\n", result);
	return 0;
}

/* What came is known by its number alone from then on. */
static int messages(void)
{
	struct {
		struct cmsghdr head;
		int fd;
	} right = {{CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}, -1};
	char byte = 1;
	struct iovec iov = {&byte, 1};
	struct mmsghdr m = {.msg_hdr = {NULL, 0, &iov, 1, &right, sizeof right, 0}};
	int pair[2];
	open_device();
	right.fd = device;
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	printf("%ld ", RAW(SYS_sendmmsg, pair[0], &m, 1, 0));
	printf("%ld ", RAW(SYS_recvmmsg, pair[1], &m, 1, 0, NULL));
	device = right.fd;
	printf("%ld %d\n", get(0x10), device);
	return 0;
}

static void wait_for(long pid)
{
	int status;
	waitpid((pid_t)pid, &status, 0);
	printf("%d ", WEXITSTATUS(status));
	fflush(stdout);
}

static int forks(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD}, cleared = {CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
	long pid;
	open_device();
	for (int way = 0; way < 8; way++) {
		switch (way) {
		case 0:
			pid = fork();
			break;
		case 1:
			pid = RAW(SYS_fork);
			break;
		case 2:
			pid = RAW(SYS_vfork);
			break;
		case 3:
			pid = RAW(SYS_clone, SIGCHLD);
			break;
		case 4:
			pid = RAW(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD);
			break;
		case 5:
			pid = RAW(SYS_clone3, &args, sizeof args);
			break;
		case 6:
			pid = RAW(SYS_clone3, &cleared, sizeof cleared);
			break;
		default:
			pid = syscall(SYS_clone3, &cleared, sizeof cleared);
			break;
		}
		if (pid == 0) {
			RAW(SYS_ioctl, device, GET_INFO, 16); /* a fault of the library's own, which looks there */
			get(0x40 + way);
			RAW(SYS_exit_group, way + 10);
		}
		wait_for(pid);
	}
	printf("\n");
	return 0;
}

static int exec(void)
{
	char *argv[] = {"raw", "basic", NULL};
	open_device();
	get(0x50);
	RAW(SYS_close, device);
	return (int)RAW(SYS_execve, "/proc/self/exe", argv, environ);
}

/* ---- signals ---- */

static volatile long handled;
static void handler(int nr)
{
	(void)nr;
	handled += get(0x60);
}
static void await(long what)
{
	for (int i = 0; i < 100 && handled < what; i++)
		usleep(1000);
	printf("%ld ", handled);
}

static void *thread_blocked(void *at)
{
	sigset_t now;
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	printf("%ld %d ", get((long)at), sigismember(&now, SIGSYS));
	return NULL;
}

static int blocked(void)
{
	sigset_t all, old, now;
	uint64_t kernel = ~0ull, before = 0;
	pthread_attr_t attributes;
	pthread_t t;
	open_device();
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setsigmask_np(&attributes, &all);
	pthread_create(&t, &attributes, thread_blocked, (void *)0x70);
	pthread_join(t, NULL);
	sigprocmask(SIG_SETMASK, &all, &old);
	printf("%ld ", get(0x71));
	sigprocmask(SIG_SETMASK, &old, &now);
	printf("%d\n", sigismember(&now, SIGSYS));
	printf("%ld ", RAW(SYS_rt_sigprocmask, SIG_SETMASK, &kernel, &before, 8));
	printf("%ld ", get(0x72));
	kill(getpid(), SIGUSR1); /* stays pending, or the default action ends us */
	printf("%ld ", RAW(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &kernel, 8));
	printf("%llx %llx\n", (unsigned long long)before, (unsigned long long)kernel);
	return 0;
}

/* BSD's and System V's calls. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static const char *name_of(sighandler_t h)
{
	return h == SIG_DFL    ? "default"
	       : h == SIG_IGN  ? "ignore"
	       : h == SIG_HOLD ? "hold"
	       : h == handler  ? "handler"
			       : "?";
}
static int traditional(void)
{
	open_device();
	printf("%x ", sigblock(1 << (SIGSYS - 1) | 1 << (SIGUSR1 - 1)));
	printf("%ld ", get(0x74));
	printf("%x ", sigsetmask(~0));
	printf("%ld ", get(0x75));
	printf("%x\n", sigsetmask(0));
	static const int signals[] = {SIGSYS, SIGSEGV, SIGUSR1, 0, 65};
	for (int i = 0; i < 5; i++) {
		int s = signals[i];
		printf("%s ", name_of(sigset(s, SIG_HOLD)));
		printf("%s ", name_of(sigset(s, SIG_HOLD)));
		printf("%ld ", get(0x78 + i));
		printf("%d ", sigrelse(s));
		printf("%s ", name_of(sigset(s, handler)));
		printf("%d ", sighold(s));
		printf("%ld ", get(0x90 + i));
		printf("%s ", name_of(sigset(s, SIG_IGN)));
		printf("%d %ld\n", sigignore(s), RAW(SYS_ioctl, device, GET_INFO, 16));
	}
	return 0;
}
#pragma GCC diagnostic pop

struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};
void restorer(void);
__asm__(".globl restorer\nrestorer:\n\tmov $15, %eax\n\tsyscall\n");

static int handlers(void)
{
	struct sigaction act = {.sa_handler = handler}, was;
	struct kernel_action raw = {handler, 0x04000000 /* SA_RESTORER */, restorer, ~0ull}, old;
	open_device();
	sigfillset(&act.sa_mask);
	sigaction(SIGUSR1, &act, NULL);
	sigaction(SIGUSR1, NULL, &was);
	printf("%d ", sigismember(&was.sa_mask, SIGSYS));
	kill(getpid(), SIGUSR1);
	await(4);
	printf("%ld ", RAW(SYS_rt_sigaction, SIGUSR2, &raw, &old, 8));
	printf("%ld ", RAW(SYS_rt_sigaction, SIGUSR2, NULL, &old, 8));
	printf("%llx ", (unsigned long long)old.mask);
	RAW(SYS_kill, getpid(), SIGUSR2);
	await(8);
	/* A frame that the program returns from by itself. */
	RAW(SYS_rt_sigaction, SIGSYS, &raw, NULL, 8);
	kill(getpid(), SIGSYS);
	await(12);
	sigset_t all_but;
	sigfillset(&all_but);
	sigprocmask(SIG_BLOCK, &all_but, NULL);
	kill(getpid(), SIGUSR1);
	sigdelset(&all_but, SIGUSR1);
	printf("%d ", sigsuspend(&all_but));
	await(16);
	kill(getpid(), SIGUSR1);
	uint64_t bits;
	memcpy(&bits, &all_but, 8);
	printf("%ld ", RAW(SYS_rt_sigsuspend, &bits, 8));
	await(20);
	kill(getpid(), SIGUSR1);
	printf("%ld ", RAW(SYS_ppoll, NULL, 0, NULL, &bits, 8));
	await(24);
	kill(getpid(), SIGUSR1);
	struct {
		void *set;
		size_t size;
	} six = {&bits, 8};
	printf("%ld ", RAW(SYS_pselect6, 0, NULL, NULL, NULL, NULL, &six));
	await(28);
	kill(getpid(), SIGUSR1);
	printf("%ld ", syscall(SYS_pselect6, 0, NULL, NULL, NULL, NULL, &six));
	await(32);
	unsigned long aio = 0;
	char events[32];
	RAW(SYS_io_setup, 1, &aio);
	kill(getpid(), SIGUSR1);
	printf("%ld ", RAW(SYS_io_pgetevents, aio, 1, 1, events, NULL, &six));
	await(36);
	printf("\n");
	return 0;
}

/* Signals at any point of a dispatched call, and calls out of their handlers. */
static volatile long storm_handled, storm_read;
static void storm_handler(int nr)
{
	(void)nr;
	if (get(0x80) == 4)
		__atomic_fetch_add(&storm_handled, 1, __ATOMIC_RELAXED);
}
static void *storm_reader(void *unused)
{
	long good = 0, all = 0;
	(void)unused;
	for (; all < 2000 || storm_handled < 200; all++)
		good += get(0x84) == 4;
	__atomic_fetch_add(&storm_read, good, __ATOMIC_RELAXED);
	return (void *)(all - good);
}
static int storm(void)
{
	struct sigaction act = {.sa_handler = storm_handler, .sa_flags = SA_RESTART};
	pthread_t t[4];
	void *ret;
	open_device();
	sigaction(SIGALRM, &act, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, storm_reader, NULL);
	sigset_t alarm;
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL); /* the readers take them */
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 300}, {0, 300}}, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &ret);
		printf("%ld ", (long)ret);
	}
	fprintf(stderr, "%ld %ld", storm_read, storm_handled);
	printf("\n");
	return 0;
}

static int stacks(void)
{
	static char stack[64 << 10];
	stack_t mine = {.ss_sp = stack, .ss_size = sizeof stack}, now = {0};
	struct sigaction act = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	open_device();
	printf("%ld ", RAW(SYS_sigaltstack, &mine, NULL));
	printf("%ld %d ", RAW(SYS_sigaltstack, NULL, &now), now.ss_sp == stack);
	sigaction(SIGUSR1, &act, NULL);
	kill(getpid(), SIGUSR1);
	await(4);
	printf("\n");
	return 0;
}

/* ---- clone with a stack of its own ---- */

static _Alignas(16) char child_stack[64 << 10];
static volatile int child_gone;
static volatile uint32_t child_saw[3];

/* Starts a thread by an instruction of our own; it does its work in registers alone, then ends. */
static long start(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d, r12 __asm__("r12") = 0x12121212, r15 __asm__("r15") = 0x15151515;
	register long r8 __asm__("r8") = 0;
	long ret;
	__asm__ volatile("syscall\n"
			 "	test %%rax, %%rax\n"
			 "	jne 1f\n"
			 "	mov %%r12d, child_saw(%%rip)\n"
			 "	mov %%r15d, child_saw+4(%%rip)\n"
			 "	mov %%edi, child_saw+8(%%rip)\n"
			 "	mov $60, %%eax\n"
			 "	xor %%edi, %%edi\n"
			 "	syscall\n"
			 "1:"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r12), "r"(r15)
			 : "rcx", "r11", "memory");
	return ret;
}

static int clones(void)
{
	const long flags =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	struct clone_args args = {.flags = (uint64_t)flags,
				  .child_tid = (uint64_t)&child_gone,
				  .stack = (uint64_t)child_stack,
				  .stack_size = sizeof child_stack};
	open_device();
	for (int way = 0; way < 2; way++) {
		child_gone = 1;
		child_saw[0] = child_saw[1] = 0;
		long tid =
			way ? start(SYS_clone3, (long)&args, sizeof args, 0, 0)
			    : start(SYS_clone, flags, (long)(child_stack + sizeof child_stack), 0, (long)&child_gone);
		while (child_gone)
			usleep(1000);
		printf("%d %x %x %d ", tid > 0, child_saw[0], child_saw[1],
		       child_saw[2] == (uint32_t)(way ? (uintptr_t)&args : (uintptr_t)flags));
	}
	printf("%ld\n", get(0x80));
	return 0;
}

/* ---- what a call leaves alone ---- */

static int registers(void)
{
	uint64_t in[2] = {0x1122334455667788, 0x99aabbccddeeff00}, out[2] = {0};
	long ret, zone = 0, flags = 0;
	open_device();
	uint32_t value;
	register long r10 __asm__("r10") = 0x90;
	register long r9 __asm__("r9") = 0x9999;
	__asm__ volatile("movdqu %[in], %%xmm7\n"
			 "	movq $0x5a5a, -8(%%rsp)\n"
			 "	movq $0xa5a5, -128(%%rsp)\n"
			 "	stc\n"
			 "	syscall\n"
			 "	setc %b[flags]\n"
			 "	movdqu %%xmm7, %[out]\n"
			 "	movq -8(%%rsp), %[zone]\n"
			 "	xorq -128(%%rsp), %[zone]\n"
			 : "=a"(ret), [out] "=m"(out), [zone] "=&r"(zone), [flags] "+&b"(flags), "+r"(r9)
			 : "0"(SYS_pread64), "D"((long)device), "S"(&value), "d"(4L), "r"(r10), [in] "m"(in)
			 : "rcx", "r11", "memory", "xmm7");
	printf("%ld %d %lx %ld %lx\n", ret, memcmp(in, out, sizeof in), zone, flags, r9);
	return 0;
}

/* ---- seccomp ---- */

static void trapped(int nr, siginfo_t *info, void *context)
{
	(void)nr, (void)context;
	printf("trapped %d ", info->si_syscall == SYS_getppid);
}

static int filter(void)
{
	struct sigaction act = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof f / sizeof *f, f};
	open_device();
	printf("%ld ", get(0xa0));
	sigaction(SIGSYS, &act, NULL);
	printf("%ld ", RAW(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1));
	printf("%ld ", RAW(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	RAW(SYS_getppid);
	printf("%ld\n", get(0xa1));
	return 0;
}

/* A dispatch of the program's own takes the place of ours. */
static volatile char own_selector;
static void dispatched(int nr, siginfo_t *info, void *context)
{
	(void)nr, (void)context;
	own_selector = 0;
	printf("own %d ", info->si_code == 2);
}
static int own(void)
{
	struct sigaction act = {.sa_sigaction = dispatched, .sa_flags = SA_SIGINFO};
	open_device();
	sigaction(SIGSYS, &act, NULL);
	get(0xb0);
	printf("%d ", prctl(59, 1, 0, 0, &own_selector));
	own_selector = 1;
	getppid();
	printf("%ld\n", get(0xb1));
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} scenes[] = {{"basic", basic},	    {"threads", threads},   {"forks", forks},	{"exec", exec},
		      {"blocked", blocked}, {"traditional", traditional}, {"handlers", handlers}, {"stacks", stacks}, {"clones", clones},
		      {"filter", filter},   {"own", own},	    {"storm", storm},	{"registers", registers}, {"messages", messages}};
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	for (size_t i = 0; argc > 1 && i < sizeof scenes / sizeof *scenes; i++)
		if (!strcmp(argv[1], scenes[i].name))
			return scenes[i].run();
	return 2;
}
