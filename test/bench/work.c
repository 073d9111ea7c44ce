/*
 * The same work for every tool that is compared: a device is opened, then rounds of 14 register reads, one register
 * write and one GET_IRQ_INFO. On a stand-in device, or on the edu device at BDF.   work ROUNDS [BDF]
 * Output: calls of the loop; ns on the clock and ns of processor time for all of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../clients/client.h"
#include "../clients/device.h"
#include "../clients/edu.h"

#define READS 14

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	long rounds = atol(argv[1]);
	struct device d = {.fd = -1};
	if (argc > 2) {
		device_find(&d, argv[2]);
		device_open_group(&d);
		struct vfio_region_info region = {.argsz = sizeof region, .index = EDU_BAR};
		if (ioctl(d.fd, VFIO_DEVICE_GET_REGION_INFO, &region))
			give_up(strerror(errno));
		d.offset[EDU_BAR] = region.offset;
		uint16_t command = 2; /* memory space enable */
		struct vfio_region_info config = {.argsz = sizeof config, .index = VFIO_PCI_CONFIG_REGION_INDEX};
		if (ioctl(d.fd, VFIO_DEVICE_GET_REGION_INFO, &config) || pwrite(d.fd, &command, 2, (off_t)config.offset + 4) != 2)
			give_up(strerror(errno));
	} else {
		int group = open("/dev/vfio/12", O_RDWR);
		d.fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	}
	if (d.fd < 0)
		give_up("no device");
	off_t at = (off_t)d.offset[EDU_BAR] + EDU_LIVENESS;
	double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	for (long i = 0; i < rounds; i++) {
		uint32_t value = (uint32_t)i;
		if (pwrite(d.fd, &value, 4, at) != 4)
			give_up("pwrite failed");
		for (int k = 0; k < READS; k++)
			if (pread(d.fd, &value, 4, at) != 4)
				give_up("pread failed");
		struct vfio_irq_info irq = {.argsz = sizeof irq, .index = VFIO_PCI_MSI_IRQ_INDEX};
		if (ioctl(d.fd, VFIO_DEVICE_GET_IRQ_INFO, &irq))
			give_up("GET_IRQ_INFO failed");
	}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now(CLOCK_MONOTONIC) - wall;
	fprintf(stderr, "work: %ld %.0f %.0f\n", rounds * (READS + 2), wall, cpu);
	return 0;
}
