/*
 * Each sort of call a number of times, on a stand-in device, with a call of mark() before each sort and after the last,
 * where a profiler ends a part: calls CALLS. Prints the names of the sorts, in order.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int device, event, other;

static int pread4(void)
{
	uint32_t value;
	return pread(device, &value, 4, 16) == 4;
}

static int pwrite4(void)
{
	uint32_t value = 7;
	return pwrite(device, &value, 4, 16) == 4;
}

static int pread256(void)
{
	char value[256];
	return pread(device, value, sizeof value, 0) == sizeof value;
}

static int event_read(void)
{
	uint64_t value;
	return read(event, &value, sizeof value) == sizeof value;
}

/* A request without an argument, one that is not VFIO's, one with a structure that the call fills. */
static int reset(void)
{
	return ioctl(device, VFIO_DEVICE_RESET) == 0;
}

static int foreign(void)
{
	int value;
	return ioctl(device, FIONREAD, &value) == 0;
}

static int irq_info(void)
{
	struct vfio_irq_info info = {.argsz = sizeof info, .index = 1};
	return ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info) == 0;
}

static int region_info(void)
{
	struct vfio_region_info info = {.argsz = sizeof info, .index = 1};
	return ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0;
}

static int unwatched_read(void)
{
	uint32_t value;
	return read(other, &value, 4) == 4;
}

static int unwatched_ioctl(void)
{
	int value;
	ioctl(other, FIONREAD, &value);
	return 1;
}

static const struct sort {
	const char *name;
	int (*call)(void);
} sorts[] = {
	{"pread of 4 bytes", pread4},
	{"pwrite of 4 bytes", pwrite4},
	{"pread of 256 bytes", pread256},
	{"read of an eventfd", event_read},
	{"ioctl without an argument", reset},
	{"ioctl that is not VFIO's", foreign},
	{"ioctl with a structure, GET_IRQ_INFO", irq_info},
	{"ioctl with a structure, GET_REGION_INFO", region_info},
	{"read of an unwatched descriptor", unwatched_read},
	{"ioctl on an unwatched descriptor", unwatched_ioctl},
};

__attribute__((noipa)) void mark(void);
void mark(void)
{
	__asm__ volatile("");
}

static int arm(int fd)
{
	char buffer[sizeof(struct vfio_irq_set) + sizeof fd];
	struct vfio_irq_set *set = (void *)buffer;
	*set = (struct vfio_irq_set){.argsz = sizeof buffer,
				     .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				     .count = 1};
	memcpy(set->data, &fd, sizeof fd);
	return ioctl(device, VFIO_DEVICE_SET_IRQS, set);
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) : 0;
	int group = open("/dev/vfio/12", O_RDWR);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	event = eventfd(1 << 30, EFD_SEMAPHORE);
	other = open("/dev/zero", O_RDONLY);
	if (calls <= 0 || device < 0 || event < 0 || other < 0 || arm(event))
		return 1;
	for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) {
		/* What the first call of a sort finds out is not the price of the others. */
		if (!sorts[i].call())
			return 1;
		mark();
		for (long n = 0; n < calls; n++)
			if (!sorts[i].call())
				return 1;
		mark();
		puts(sorts[i].name);
	}
	return 0;
}
