/*
 * Memory that a device on the stand-in reaches; the program is the device too, writing through another mapping of it.
 * Prints what a recording with `--doorbell BAR0+0x20:4` has to keep: point, IOVA, first byte of the page.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096ul
#define PAGES 16ul
#define IOVA  0x100000ul

static int container, device, irq;
static uint8_t *seen_by_device;

static void device_writes(unsigned long page, int value)
{
	memset(seen_by_device + page * PAGE, value, PAGE);
}

static void kept(const char *point, unsigned long page, int value)
{
	printf("%s %lx %x\n", point, IOVA + page * PAGE, value);
}

static void interrupt(void)
{
	uint64_t count = 1;
	if (write(irq, &count, 8) != 8 || read(irq, &count, 8) != 8)
		perror("eventfd");
}

static void map(void *memory)
{
	struct vfio_iommu_type1_dma_map m = {sizeof m, 3, (uintptr_t)memory, IOVA, PAGES * PAGE};
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &m))
		perror("MAP_DMA");
}

static void unmap(void)
{
	struct vfio_iommu_type1_dma_unmap u = {.argsz = sizeof u, .iova = IOVA, .size = PAGES * PAGE};
	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &u))
		perror("UNMAP_DMA");
}

int main(void)
{
	container = open("/dev/vfio/vfio", O_RDWR);
	int group = open("/dev/vfio/12", O_RDWR);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	irq = eventfd(0, EFD_NONBLOCK);
	struct vfio_region_info info = {.argsz = sizeof info};
	ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info);
	struct {
		struct vfio_irq_set set;
		int fd;
	} irqs = {{sizeof irqs, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 1}, irq};
	ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs);
	int file = memfd_create("memory", 0);
	if (ftruncate(file, PAGES * PAGE))
		perror("ftruncate");
	uint8_t *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	seen_by_device = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

	device_writes(1, 0xd1); /* before it is mapped: in memory all the same */
	map(memory);
	device_writes(2, 0xd2);
	interrupt();
	kept("interrupt", 1, 0xd1);
	kept("interrupt", 2, 0xd2);
	interrupt(); /* nothing has changed */
	device_writes(3, 0xd3);
	uint32_t value = 1;
	(void)!pwrite(device, &value, 4, (off_t)info.offset + 0x30); /* not the doorbell */
	(void)!pwrite(device, &value, 4, (off_t)info.offset + 0x20);
	kept("doorbell", 3, 0xd3);
	device_writes(2, 0);
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_mig_state state;
	} f = {{sizeof f, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE}, {2, -1}};
	ioctl(device, VFIO_DEVICE_FEATURE, &f);
	kept("migration", 2, 0);
	device_writes(5, 0xd5);
	unmap();
	kept("unmap", 5, 0xd5);
	interrupt(); /* the device reaches nothing now */
	map(memory);
	interrupt();
	kept("interrupt", 1, 0xd1);
	kept("interrupt", 3, 0xd3);
	kept("interrupt", 5, 0xd5);
	/* Gone from under the mapping: no fault in the program. */
	if (ftruncate(file, 12 * PAGE))
		perror("ftruncate");
	device_writes(6, 0xd6);
	interrupt();
	kept("interrupt", 6, 0xd6);
	return 0;
}
