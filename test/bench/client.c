/*
 * Makes one call many times on a stand-in device and prints what it cost: client pread|ioctl CALLS
 * Output: ns of processor time a call, ns of wall time a call.
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

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long calls = atol(argv[2]);
	uint32_t value;
	int group = open("/dev/vfio/12", O_RDWR);
	int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	if (device < 0)
		return 1;
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
	if (!strcmp(argv[1], "pread")) {
		for (long i = 0; i < calls; i++)
			if (pread(device, &value, 4, i & 0xffc) != 4)
				return 1;
	} else {
		/* FIONREAD: a system call that does next to nothing, as cheap as a request can be. */
		for (long i = 0; i < calls; i++)
			ioctl(device, 0x541b, &value);
	}
	printf("%.2f ", (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)calls);
	printf("%.2f\n", (now(CLOCK_MONOTONIC) - wall) / (double)calls);
	return 0;
}
