/* Makes calls on the emulated device of group 1 and prints how many a second: speed CALLS
 * Output: pread, pwrite, ioctl. */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define LIVENESS 4

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/1", O_RDWR);
	struct vfio_irq_info irq = {.argsz = sizeof(irq)};
	uint32_t value = 0;
	long calls = argc > 1 ? atol(argv[1]) : 0;
	int device;
	double begun;

	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) || ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return 1;
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	if (device < 0)
		return 1;
	begun = now();
	for (long i = 0; i < calls; i++)
		if (pread(device, &value, 4, LIVENESS) != 4)
			return 1;
	printf("%.0f ", (double)calls / (now() - begun));
	begun = now();
	for (long i = 0; i < calls; i++)
		if (pwrite(device, &value, 4, LIVENESS) != 4)
			return 1;
	printf("%.0f ", (double)calls / (now() - begun));
	begun = now();
	for (long i = 0; i < calls; i++)
		if (ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &irq))
			return 1;
	printf("%.0f\n", (double)calls / (now() - begun));
	return 0;
}
