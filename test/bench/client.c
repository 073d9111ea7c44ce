/*
 * Makes one call many times on a stand-in device and prints what it cost: client CALL CALLS [THREADS [PROCESSES]]
 * CALL is pread (4 bytes), ioctl (FIONREAD), info (GET_IRQ_INFO: a structure is read and written) or load (4 bytes of the
 * mapped region).
 * Output, a line a process: ns of processor time a call; ns on the clock a call, the lower quartile of blocks of 50, so
 * that what else the machine does falls out. CALLS are each thread's.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

#define BLOCK 50

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

struct worker {
	const char *call;
	int device;
	const volatile uint32_t *region;
	long blocks;
	double *wall; /* ns of each block; NULL: not wanted */
	int failed;
};

static void *work(void *argument)
{
	struct worker *w = argument;
	uint32_t value;
	struct vfio_irq_info info = {.argsz = sizeof info};
	char call = w->call[0] == 'i' ? w->call[1] : w->call[0];
	for (long i = 0; i < w->blocks; i++) {
		double start = now(CLOCK_MONOTONIC);
		switch (call) {
		case 'p':
			for (long k = 0; k < BLOCK; k++)
				w->failed |= pread(w->device, &value, 4, (i * BLOCK + k) & 0xffc) != 4;
			break;
		case 'l':
			for (long k = 0; k < BLOCK; k++)
				(void)w->region[k];
			break;
		case 'n':
			for (long k = 0; k < BLOCK; k++)
				w->failed |= ioctl(w->device, VFIO_DEVICE_GET_IRQ_INFO, &info) != 0;
			break;
		default:
			/* FIONREAD: a system call that does next to nothing, as cheap as a request can be. */
			for (long k = 0; k < BLOCK; k++)
				ioctl(w->device, 0x541b, &value);
		}
		if (w->wall)
			w->wall[i] = now(CLOCK_MONOTONIC) - start;
	}
	return NULL;
}

#define THREADS 64

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long calls = atol(argv[2]), blocks = calls / BLOCK;
	int threads = argc > 3 ? atoi(argv[3]) : 1, processes = argc > 4 ? atoi(argv[4]) : 1;
	int group = open("/dev/vfio/12", O_RDWR);
	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	double *wall = calloc((size_t)blocks + 1, sizeof *wall);
	const void *region = NULL;
	if (argv[1][0] == 'l')
		region = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	if (device < 0 || region == MAP_FAILED || !wall || threads < 1 || threads > THREADS)
		return 1;
	for (int i = 1; i < processes && fork() > 0; i++)
		;
	struct worker workers[THREADS];
	pthread_t thread[THREADS];
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < threads; i++) {
		workers[i] = (struct worker){argv[1], device, region, blocks, i ? NULL : wall, 0};
		if (i && pthread_create(&thread[i], NULL, work, &workers[i]))
			return 1;
	}
	work(&workers[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(thread[i], NULL);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(wall, (size_t)blocks, sizeof *wall, compare);
	printf("%.2f %.2f\n", cpu / (double)(blocks * BLOCK * threads), wall[blocks / 4] / BLOCK);
	fflush(stdout);
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < threads; i++)
		if (workers[i].failed)
			return 1;
	return 0;
}
