#include "pair.h"

#include "client.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DMA_SOURCE = 0x80, DMA_TARGET = 0x88, DMA_COUNT = 0x90, DMA_COMMAND = 0x98, DMA_BUFFER = 0x40000 };

void pair_open(struct device *d, const char *name, int container)
{
	char path[256], link[256] = { 0 };

	device_find(d, name);
	d->container = container;
	snprintf(path, sizeof(path), "%s/iommu_group", d->sysfs);
	if (readlink(path, link, sizeof(link) - 1) < 0)
		give_up("the device is in no IOMMU group");
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	d->group = open(path, O_RDWR | O_CLOEXEC);
	if (d->group < 0 || ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container))
		give_up("the group does not join the container");
	ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU); /* fails for the second group: it has one then */
	d->fd = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->name);
	if (d->fd < 0)
		give_up("the group gives no device");
	for (unsigned i = 0; i < VFIO_PCI_NUM_REGIONS; i++)
		d->offset[i] = pair_offset(d, i);
	region_read(d, VFIO_PCI_CONFIG_REGION_INDEX, PCI_VENDOR_ID, 4); /* which device it is, for who reads the trace */
	region_write(d, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

uint64_t pair_offset(struct device *d, unsigned region)
{
	union {
		struct vfio_region_info info;
		uint8_t room[256]; /* for the capabilities, of which the migration region's says what it is */
	} answer = { .info = { .argsz = sizeof(answer), .index = region } };

	return ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &answer) ? 0 : answer.info.offset;
}

uint64_t v1_read(struct device *d, unsigned at, unsigned size)
{
	uint64_t value = 0;

	if (pread(d->fd, &value, size, (off_t)(pair_offset(d, MIGRATION) + at)) != (ssize_t)size)
		give_up("the migration region cannot be read");
	return value;
}

int v1_write(struct device *d, unsigned at, uint64_t value, unsigned size)
{
	return pwrite(d->fd, &value, size, (off_t)(pair_offset(d, MIGRATION) + at)) == (ssize_t)size ? 0 : -1;
}

int v1_set(struct device *d, uint32_t state)
{
	return v1_write(d, V1_STATE, state, 4);
}

size_t v1_save(struct device *d, uint8_t *data, size_t *sizes, unsigned *count)
{
	size_t total = 0;

	for (*count = 0; v1_read(d, V1_PENDING, 8); ++*count) {
		uint64_t at = v1_read(d, V1_OFFSET, 8), size = v1_read(d, V1_SIZE, 8);

		if (pread(d->fd, data + total, size, (off_t)(pair_offset(d, MIGRATION) + at)) != (ssize_t)size)
			give_up("the data section cannot be read");
		sizes[*count] = size;
		total += size;
	}
	return total;
}

void v1_load(struct device *d, const uint8_t *data, const size_t *sizes, unsigned count)
{
	for (unsigned i = 0; i < count; data += sizes[i++]) {
		uint64_t at = v1_read(d, V1_OFFSET, 8);

		if (pwrite(d->fd, data, sizes[i], (off_t)(pair_offset(d, MIGRATION) + at)) != (ssize_t)sizes[i] ||
		    v1_write(d, V1_SIZE, sizes[i], 8))
			give_up("a segment does not load");
	}
}

static void transfer(struct device *d, uint64_t from, uint64_t to, uint32_t count, uint32_t direction)
{
	region_write(d, 0, DMA_SOURCE, from, 4);
	region_write(d, 0, DMA_TARGET, to, 4);
	region_write(d, 0, DMA_COUNT, count, 4);
	region_write(d, 0, DMA_COMMAND, 1 | direction, 4);
}

void dma_in(struct device *d, uint64_t iova, uint32_t count)
{
	transfer(d, iova, DMA_BUFFER, count, 0);
}

void dma_out(struct device *d, uint64_t iova, uint32_t count)
{
	transfer(d, DMA_BUFFER, iova, count, 2);
}
