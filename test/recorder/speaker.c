/*
 * Says numbers 0, 1, 2, … to a device by pwrite, in each of several threads and in a signal's handler that interrupts
 * the first of them, while one more thread waits for an interrupt most of the time; and beside that, in a shared file
 * that outlives it, how far each is: what a trace of it must then hold is known without asking the recorder.
 *   speaker STATE THREADS CALLS SEED PACE [DIE]
 * STATE: u64 pid, then per thread, for the handler and for the waiting thread: u64 begun, u64 returned.
 * Every 32nd call says up to 20 KB, each word of it told by the number; PACE: microseconds between bursts of calls. DIE:
 * microseconds from the first call on after which the kernel kills it, wherever it is. When its parent dies it goes on
 * for a while, slower: the ring has room for that much without anybody who drains it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BURST	 8
#define OUTLIVES 120 /* calls of each thread after the recorder died */
#define LONGEST	 2560
#define STRIDE	 0x9e3779b97f4a7c15u

struct voice {
	_Atomic uint64_t begun, returned;
};
static struct {
	_Atomic uint64_t pid;
	struct voice voice[64];
} * state;
static int device, irq, threads;
static uint64_t calls, seed;
static useconds_t pace;
static volatile sig_atomic_t orphaned;
static pthread_t first;

static void say(uintptr_t me, size_t words)
{
	uint64_t number = state->voice[me].begun, bytes[LONGEST];
	for (size_t i = 0; i < words; i++)
		bytes[i] = (me << 32 | number) + i * STRIDE;
	atomic_store(&state->voice[me].begun, number + 1);
	if (pwrite(device, bytes, words * 8, 64) != (ssize_t)words * 8)
		abort();
	atomic_store(&state->voice[me].returned, number + 1);
}

static void *talk(void *argument)
{
	uintptr_t me = (uintptr_t)argument;
	uint64_t random = seed * STRIDE + me;
	for (uint64_t i = 0, rest = OUTLIVES; i < calls && rest; i++, rest -= orphaned) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		say(me, i % 32 == 31 ? 2 + (random >> 40) % (LONGEST - 2) : 1);
		if (!me && i % 64 == 63)
			eventfd_write(irq, 1);
		if (i % BURST == BURST - 1)
			usleep(pace / 2 + (useconds_t)(random >> 33) % (pace + 1) + (orphaned ? 4 * pace : 0));
	}
	return NULL;
}

static void on_alarm(int nr)
{
	(void)nr;
	if (pthread_self() == first)
		say((uintptr_t)threads, 1);
}
static void on_orphaned(int nr)
{
	(void)nr;
	orphaned = 1;
}

static void *wait_for_interrupts(void *unused)
{
	struct voice *me = &state->voice[threads + 1];
	for (uint64_t count = 0; count < 1u << 20;) {
		atomic_fetch_add(&me->begun, 1);
		if (read(irq, &count, 8) != 8)
			abort();
		atomic_fetch_add(&me->returned, 1);
	}
	return unused;
}

static timer_t every(int signal, long microseconds, int once, int tid)
{
	struct sigevent event = {.sigev_notify = tid ? SIGEV_THREAD_ID : SIGEV_SIGNAL, .sigev_signo = signal};
	event._sigev_un._tid = tid;
	struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000 + 1};
	struct itimerspec spec = {once ? (struct timespec){0, 0} : time, time};
	timer_t timer;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &spec, NULL))
		abort();
	return timer;
}

int main(int argc, char **argv)
{
	pthread_t thread[64], waiting;
	if (argc < 6)
		return 2;
	threads = atoi(argv[2]);
	calls = strtoull(argv[3], NULL, 0);
	seed = strtoull(argv[4], NULL, 0);
	pace = (useconds_t)strtoul(argv[5], NULL, 0);
	int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*state)) || threads > 60)
		return 2;
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (state == MAP_FAILED)
		return 2;
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_orphaned, .sa_flags = SA_RESTART}, NULL);
	sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm, .sa_flags = SA_RESTART}, NULL);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	atomic_store(&state->pid, (uint64_t)getpid());
	if (argc > 6)
		every(SIGKILL, atol(argv[6]), 1, 0);
	int group = open("/dev/vfio/12", O_RDWR);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	irq = eventfd(0, 0);
	struct {
		struct vfio_irq_set set;
		int fd;
	} irqs = {{sizeof irqs, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 1}, irq};
	if (device < 0 || irq < 0 || ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs))
		return 1;
	first = pthread_self();
	pthread_create(&waiting, NULL, wait_for_interrupts, NULL);
	for (intptr_t i = 1; i < threads; i++)
		pthread_create(&thread[i], NULL, talk, (void *)i);
	timer_t timer = every(SIGALRM, 700, 0, (int)syscall(SYS_gettid));
	talk((void *)0);
	timer_delete(timer);
	for (int i = 1; i < threads; i++)
		pthread_join(thread[i], NULL);
	eventfd_write(irq, 1u << 20);
	pthread_join(waiting, NULL);
	return 0;
}
