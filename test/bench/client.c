/*
 * Makes one call many times on a stand-in device and prints what it cost: client pread|ioctl CALLS
 * Output: ns of processor time a call; ns on the clock a call, the lower quartile of blocks of 50, so that what else
 * the machine does falls out.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long calls = atol(argv[2]), blocks = calls / BLOCK;
	uint32_t value;
	int group = open("/dev/vfio/12", O_RDWR);
	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	double *wall = calloc((size_t)blocks + 1, sizeof *wall);
	if (device < 0 || !wall)
		return 1;
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (long i = 0; i < blocks; i++) {
		double start = now(CLOCK_MONOTONIC);
		if (!strcmp(argv[1], "pread")) {
			for (long k = 0; k < BLOCK; k++)
				if (pread(device, &value, 4, (i * BLOCK + k) & 0xffc) != 4)
					return 1;
		} else {
			/* FIONREAD: a system call that does next to nothing, as cheap as a request can be. */
			for (long k = 0; k < BLOCK; k++)
				ioctl(device, 0x541b, &value);
		}
		wall[i] = now(CLOCK_MONOTONIC) - start;
	}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(wall, (size_t)blocks, sizeof *wall, compare);
	printf("%.2f %.2f\n", cpu / (double)(blocks * BLOCK), wall[blocks / 4] / BLOCK);
	return 0;
}
