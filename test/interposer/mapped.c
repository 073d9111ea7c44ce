/* Scenes of mapped regions. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "program.h"

/* Loads and stores of every width, and the wide ones that a compiler makes of memcpy. */
int mapped(void)
{
	int device = device_open();
	put(device, 0x100, 0x89abcdef);
	put(device, 0x104, 0x01234567);
	char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	printf("%x", *(volatile uint8_t *)(map + 0x101));
	printf(" %x", *(volatile uint16_t *)(map + 0x102));
	printf(" %x", *(volatile uint32_t *)(map + 0x100));
	printf(" %lx", *(volatile uint64_t *)(map + 0x100));
	printf(" %d", *(volatile int8_t *)(map + 0x103));
	printf(" %ld\n", (long)*(volatile int32_t *)(map + 0x100));
	*(volatile uint8_t *)(map + 0x1200) = 0x11;
	*(volatile uint16_t *)(map + 0x1202) = 0x2233;
	*(volatile uint32_t *)(map + 0x1204) = 0x44556677;
	*(volatile uint64_t *)(map + 0x1208) = 0x8899aabbccddeeffull;
	printf("%x %x %x %x\n", get(device, 0x1200), get(device, 0x1204), get(device, 0x1208), get(device, 0x120c));
	char copy[64];
	memcpy(copy, map + 0x100, sizeof copy);
	(*(volatile uint32_t *)(map + 0x300))++;
	__atomic_fetch_add((uint32_t *)(map + 0x300), 5, __ATOMIC_SEQ_CST);
	printf("%x %x\n", *(uint32_t *)copy, get(device, 0x300));
	printf("%zd", pwrite(device, map + 0x100, 8, 0x800));
	printf(" %x\n", get(device, 0x804));
	printf("%d", munmap(map + 4096, 4096));
	printf(" %x", *(volatile uint32_t *)(map + 0x104));
	printf(" %d\n", munmap(map, 4096));
	fflush(stdout);
	return *(volatile uint8_t *)map;
}

/* Other memory is put over the first of two trapped pages; the second stays trapped. */
int covered(void)
{
	int device = device_open();
	put(device, 0x100, 0x11111111);
	put(device, 0x1100, 0x22222222);
	char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	printf("%x", *(volatile uint32_t *)(map + 0x100));
	char *over = mmap(map, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	printf(" %d", over == map);
	printf(" %x", *(volatile uint32_t *)(map + 0x100));
	*(volatile uint32_t *)(map + 0x100) = 0x33333333;
	printf(" %x %x", *(volatile uint32_t *)(map + 0x100), get(device, 0x100));
	printf(" %x\n", *(volatile uint32_t *)(map + 0x1100));
	return 0;
}

static volatile sig_atomic_t overruled_by;

static void skip_load(int signal, siginfo_t *info, void *context)
{
	(void)info;
	ucontext_t *uc = context;
	overruled_by = signal;
	uc->uc_mcontext.gregs[REG_RIP] += 2; /* mov (%rax), %eax */
}

/* A handler and a mask set by the kernel's own calls, through libc's syscall(). */
int overruled(void)
{
	struct {
		void (*handler)(int, siginfo_t *, void *);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} ours = {0}, old = {0};
	uint64_t blocks = 1ull << (SIGSEGV - 1), was = 0;
	int device = device_open();
	put(device, 0x100, 0x11111111);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	struct sigaction by_libc = {.sa_sigaction = skip_load, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &by_libc, NULL);
	/* The same once more, with libc's restorer, which only the kernel tells. */
	printf("%ld", syscall(SYS_rt_sigaction, SIGSEGV, NULL, &ours, 8));
	printf(" %d", ours.handler == skip_load);
	printf(" %ld", syscall(SYS_rt_sigaction, SIGSEGV, &ours, &old, 8));
	printf(" %d", old.handler == skip_load);
	printf(" %ld", syscall(SYS_rt_sigaction, SIGSEGV, &ours, NULL, 4));
	printf(" %d", errno);
	printf(" %x", *(volatile uint32_t *)(map + 0x100));
	uint32_t value = 7;
	__asm__ volatile(".byte 0x8b, 0x00" /* mov (%rax), %eax */ : "+a"(value) : : "memory");
	printf(" %x %d", value, (int)overruled_by);
	printf(" %ld", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &blocks, &was, 8));
	printf(" %d", (was & blocks) != 0);
	printf(" %x", *(volatile uint32_t *)(map + 0x100));
	printf(" %d", ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, nowhere) == -1 && errno == EFAULT);
	printf(" %ld", syscall(SYS_rt_sigprocmask, SIG_SETMASK, &was, &blocks, 8));
	printf(" %d\n", (blocks & 1ull << (SIGSEGV - 1)) != 0);
	return 0;
}

#define MMAP(address, length, prot, flags, fd) mmap(address, length, prot, MAP_SHARED | (flags), fd, 0)

/* Calls that would end a mapping, and fail. */
int failing(void)
{
	int device = device_open();
	put(device, 0x100, 0x11111111);
	put(device, 0x1100, 0x22222222);
	char *map = MMAP(NULL, 8192, PROT_READ | PROT_WRITE, 0, device), *end = map + 8192;
	/* No room to grow. */
	if (mmap(end, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
		errno = 0;
	printf("%d", munmap(map + 1, 4096));
	printf(" %d", munmap(map, 0));
	printf(" %x", *(volatile uint32_t *)(map + 0x100));
	printf(" %d", MMAP(map, 8192, PROT_READ, MAP_FIXED, -1) == MAP_FAILED);
	printf(" %x", *(volatile uint32_t *)(map + 0x100));
	printf(" %d", mremap(map, 8192, 16384, 0) == MAP_FAILED);
	printf(" %x", *(volatile uint32_t *)(map + 0x1100));
	printf(" %d", mremap(map + 1, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, map + 4096) == MAP_FAILED);
	printf(" %x", *(volatile uint32_t *)(map + 0x1100));
	printf(" %d", munmap(map, 4096));
	printf(" %x\n", *(volatile uint32_t *)(map + 0x1100));
	return 0;
}

/* The protection of a mapping that allows nothing at first, and of a part. */
int protecting(void)
{
	int device = device_open();
	put(device, 0x100, 0x11111111);
	char *map = MMAP(NULL, 3 * 4096, PROT_NONE, 0, device);
	printf("%d", mprotect(map, 3 * 4096, PROT_READ | PROT_WRITE));
	printf(" %x", *(volatile uint32_t *)(map + 0x100));
	printf(" %d", mprotect(map + 4096, 4096, PROT_READ));
	*(volatile uint32_t *)(map + 0x200) = 0x22222222;
	*(volatile uint32_t *)(map + 0x2200) = 0x33333333;
	printf(" %x %x %x", get(device, 0x200), *(volatile uint32_t *)(map + 0x1200), get(device, 0x2200));
	printf(" %d\n", munmap(map, 3 * 4096));
	map = MMAP(NULL, 4096, PROT_NONE, 0, device);
	mprotect(map, 4096, PROT_READ | PROT_WRITE);
	mprotect(map, 4096, PROT_READ);
	fflush(stdout);
	*(volatile uint32_t *)map = 1;
	return 0;
}

/* Stepped over by way of another address, but for one that takes the register with the address as operand too. */
int operands(void)
{
	int device = device_open();
	put(device, 0x100, 3);
	char *map = MMAP(NULL, 4096, PROT_READ | PROT_WRITE, 0, device);
	uint64_t a = (uintptr_t)(map + 0x100), high;
	__asm__ volatile("lock incl (%0)" : : "a"(a) : "memory");
	__asm__ volatile("subl $2, (%0)" : : "b"(a), "c"(5) : "memory");
	__asm__ volatile("lock xaddl %%eax, (%1)" : "=a"(high) : "r"(a), "a"(40) : "memory");
	printf("%lu %u", high, get(device, 0x100));
	uint64_t product = a;
	__asm__ volatile("mull (%%rax)" : "+a"(product), "=d"(high) : : "memory");
	printf(" %d %d\n", product == (uint32_t)((uint32_t)a * 42u), high == ((a & 0xffffffff) * 42) >> 32);
	return 0;
}

/* An instruction that is stepped over. */
static void count_up(char *at)
{
	__asm__ volatile("lock incl %0" : "+m"(*(uint32_t *)at));
}

static char *interrupted_map;
static volatile int interrupts_seen, copies_bad;
static sigjmp_buf left;
/* Set again by each handler at its end: on a slow machine one that repeats would leave no time between handlers. */
static const struct itimerval soon = {.it_value = {0, 50}};

static void on_interrupt(int nr)
{
	(void)nr;
	uint32_t before = *(volatile uint32_t *)(interrupted_map + 0x4200);
	count_up(interrupted_map + 0x4200);
	copies_bad += *(volatile uint32_t *)(interrupted_map + 0x4200) != before + 1;
	interrupts_seen++;
	setitimer(ITIMER_REAL, &soon, NULL);
	if (interrupts_seen % 16 == 0)
		siglongjmp(left, 1);
}

/* Handlers that touch trapped pages, in the middle of steps over instructions with one operand there and with two. */
int interrupting(void)
{
	int device = device_open();
	char *map = MMAP(NULL, 5 * 4096, PROT_READ | PROT_WRITE, 0, device);
	struct sigaction act = {.sa_handler = on_interrupt};
	struct itimerval never = {{0, 0}, {0, 0}};
	volatile int copied = 0;
	for (int i = 0; i < 64; i++)
		put(device, 0x400 + 4 * i, 0x01010101u * (unsigned)i);
	interrupted_map = map;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	static volatile uint32_t counted;
	sigsetjmp(left, 1);
	while (interrupts_seen < 2000 || !copied) {
		char *to = map + 0x3600, *from = map + 0x400;
		size_t n = 16;
		count_up(map + 0x300);
		counted++;
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
		copied = 1;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	/* A handler that left may have taken a count with it. */
	uint32_t lost = get(device, 0x300) - counted;
	printf("%d %d %d", get(device, 0x4200) == (uint32_t)interrupts_seen, copies_bad, lost > 2000 / 16);
	printf(" %d\n", get(device, 0x360c) == 0x03030303);
	fprintf(stderr, "%d\n", interrupts_seen);
	return 0;
}

static int own_device, own_times;
static char *own_map;
static sigjmp_buf own_out;

static void on_own(int nr, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	sigset_t mask, other, before;
	uint32_t value = *(volatile uint32_t *)(own_map + 0x100);
	count_up(own_map + 0x100);
	errno = 0;
	int ret = ioctl(own_device, VFIO_DEVICE_GET_REGION_INFO, nowhere);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	printf("[%d %x %d %d blocked %d %d", nr, value, ret, errno, sigismember(&mask, SIGSEGV), sigismember(&mask, SIGUSR1));
	printf(" %d]", sigismember(&mask, SIGSTKFLT));
	/* Its mask taken and given back changes nothing. */
	sigemptyset(&other);
	sigaddset(&other, SIGUSR2);
	sigprocmask(SIG_BLOCK, &other, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	switch (own_times++) {
	case 0: /* waits until the handler has ended */
		raise(SIGSEGV);
		printf("after");
		siglongjmp(own_out, 1);
	case 1:
		siglongjmp(own_out, 1);
	case 2:
		sigemptyset(&other);
		sigaddset(&other, SIGSEGV);
		sigprocmask(SIG_UNBLOCK, &other, NULL);
		*(volatile int *)nowhere = 1;
		break;
	case 3:
		siglongjmp(own_out, 1);
	default:
		printf("\n");
		fflush(stdout);
		*(volatile int *)nowhere = 1;
	}
}

/* A handler for SIGSEGV, which is blocked meanwhile, touches a trapped page and gives the kernel a bad pointer. */
int own_handler(void)
{
	own_device = device_open();
	own_map = MMAP(NULL, 4096, PROT_READ | PROT_WRITE, 0, own_device);
	struct sigaction act = {.sa_sigaction = on_own, .sa_flags = SA_SIGINFO};
	sigaddset(&act.sa_mask, SIGUSR1);
	put(own_device, 0x100, 0x10);
	sigaction(SIGSEGV, &act, NULL);
	for (volatile int i = 0; i < 5; i++) {
		if (!sigsetjmp(own_out, 1))
			*(volatile int *)nowhere = 1;
		printf(" %d\n", own_times);
	}
	return 0;
}
