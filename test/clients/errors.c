/* Calls that fail, with the errnos that VFIO gives for a user's mistakes, and calls whose memory is not there.
 *   errors [BDF] */
#include "client.h"
#include "edu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static void *const nowhere = (void *)0x1000;

static void container_errors(void)
{
	int fd = expect_fd("open container", open("/dev/vfio/vfio", O_RDWR), 0);
	struct vfio_iommu_type1_info info = {.argsz = sizeof(info)};

	expect("SET_IOMMU without a group", ioctl(fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), EINVAL);
	expect("GET_INFO without an IOMMU", ioctl(fd, VFIO_IOMMU_GET_INFO, &info), EINVAL);
	expect("CHECK_EXTENSION of none", ioctl(fd, VFIO_CHECK_EXTENSION, 9999), 0);
	expect("a device's request", ioctl(fd, VFIO_DEVICE_GET_INFO, &info), EINVAL);
	expect("a terminal's request", ioctl(fd, 0x5401, &info), EINVAL);
	close(fd);
	expect("a closed descriptor", ioctl(fd, VFIO_GET_API_VERSION), EBADF);
	expect_fd("open a group that is not", open("/dev/vfio/9999", O_RDWR), ENOENT);
}

static void group_errors(struct device *d)
{
	char path[256], link[256] = {0};
	struct vfio_group_status status = {.argsz = 4};
	int none = -1, other = eventfd(0, 0);

	snprintf(path, sizeof(path), "%s/iommu_group", d->sysfs);
	if (readlink(path, link, sizeof(link) - 1) < 0)
		give_up("the device is in no IOMMU group");
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	expect_fd("open the group twice", open(path, O_RDWR), EBUSY);
	expect("GET_STATUS, argsz 4", ioctl(d->group, VFIO_GROUP_GET_STATUS, &status), EINVAL);
	expect("GET_STATUS nowhere", ioctl(d->group, VFIO_GROUP_GET_STATUS, nowhere), EFAULT);
	expect("SET_CONTAINER twice", ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container), EINVAL);
	expect("SET_CONTAINER -1", ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &none), EBADF);
	report("SET_CONTAINER to an eventfd", ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &other));
	expect("UNSET_CONTAINER in use", ioctl(d->group, VFIO_GROUP_UNSET_CONTAINER), EBUSY);
	expect("GET_DEVICE_FD of none", ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, "0000:ff:1f.7"), ENODEV);
	expect("GET_DEVICE_FD nowhere", ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, nowhere), EFAULT);
	expect("a request that is none", ioctl(d->group, _IO(VFIO_TYPE, VFIO_BASE + 99), 0), ENOTTY);
	close(other);
}

static void mapping_errors(struct device *d)
{
	size_t size = 4 * 4096;
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_iommu_type1_dma_map map = {.argsz = 8};
	struct vfio_iommu_type1_dma_unmap all = {.argsz = sizeof(all), .flags = VFIO_DMA_UNMAP_FLAG_ALL};

	edu_mapping_errors(d);
	expect("MAP_DMA, argsz 8", ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map), EINVAL);
	map.argsz = sizeof(map);
	map.flags = 0x80;
	expect("MAP_DMA, unknown flags", ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map), EINVAL);
	expect("MAP_DMA nowhere", ioctl(d->container, VFIO_IOMMU_MAP_DMA, nowhere), EFAULT);
	report("map at the top, wrapping", device_map(d, memory, ~0ull << 12, size));
	expect("map 1", device_map(d, memory, 0x100000, 4096), 0);
	expect("map 2", device_map(d, memory + 4096, 0x101000, 4096), 0);
	expect("map over both", device_map(d, memory, 0x100000, 8192), EEXIST);
	expect("map 3", device_map(d, memory + 8192, 0x200000, 8192), 0);
	expect("unmap a part", device_unmap(d, 0x200000, 4096), EINVAL);
	expect("unmap 1 and 2", device_unmap(d, 0x100000, 8192), 0);
	expect("unmap what is not", device_unmap(d, 0x300000, 8192), 0);
	expect("unmap all", ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &all), 0);
	note("  bytes", all.size);
	munmap(memory, size);
}

static void region_errors(struct device *d)
{
	struct vfio_region_info region = {.argsz = sizeof(region), .index = 77};
	struct vfio_irq_info irq = {.argsz = sizeof(irq), .index = 77};
	off_t config = (off_t)d->offset[VFIO_PCI_CONFIG_REGION_INDEX], bar = (off_t)d->offset[EDU_BAR];
	uint32_t value = 0;

	expect("GET_REGION_INFO of none", ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &region), EINVAL);
	region.argsz = 8;
	expect("GET_REGION_INFO, argsz 8", ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &region), EINVAL);
	expect("GET_REGION_INFO nowhere", ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, nowhere), EFAULT);
	expect("GET_IRQ_INFO of none", ioctl(d->fd, VFIO_DEVICE_GET_IRQ_INFO, &irq), EINVAL);
	expect("pread of a region that is none", pread(d->fd, &value, 4, (off_t)77 << 40), EINVAL);
	expect("pread nowhere", pread(d->fd, nowhere, 4, config), EFAULT);
	expect("pwrite from nowhere", pwrite(d->fd, nowhere, 4, bar + EDU_LIVENESS), EFAULT);
	report("pread past the end of the configuration space", pread(d->fd, &value, 4, config + 4096));
	report("pread past the end of the BAR", pread(d->fd, &value, 4, bar + (off_t)d->size[EDU_BAR]));
	report("pread of an empty BAR", pread(d->fd, &value, 4, (off_t)d->offset[3]));
	report("pread of nothing", pread(d->fd, &value, 0, config));
	report("mmap of the configuration space",
	       mmap(NULL, 4096, PROT_READ, MAP_SHARED, d->fd, config) == MAP_FAILED ? -1 : 0);
}

static void irq_errors(struct device *d)
{
	struct vfio_irq_set set = {.argsz = 4};

	expect("SET_IRQS, argsz 4", ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &set), EINVAL);
	expect("SET_IRQS nowhere", ioctl(d->fd, VFIO_DEVICE_SET_IRQS, nowhere), EFAULT);
	set.argsz = sizeof(set);
	set.index = 77;
	expect("SET_IRQS of an index that is none", ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &set), EINVAL);
	expect("SET_IRQS, an eventfd that is none", irq_eventfd(d, VFIO_PCI_MSI_IRQ_INDEX, 999), EBADF);
	expect("SET_IRQS, too many", irq_action(d, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 99), EINVAL);
	expect("SET_IRQS, a trigger of what is off",
	       irq_action(d, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 1), EINVAL);
}

static void feature_errors(struct device *d)
{
	struct vfio_device_feature f = {.argsz = 4, .flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION};

	expect("FEATURE, argsz 4", ioctl(d->fd, VFIO_DEVICE_FEATURE, &f), EINVAL);
	f.argsz = sizeof(f);
	report("FEATURE MIGRATION of a device without", ioctl(d->fd, VFIO_DEVICE_FEATURE, &f));
	f.flags = VFIO_DEVICE_FEATURE_MIGRATION;
	report("FEATURE, neither get nor set", ioctl(d->fd, VFIO_DEVICE_FEATURE, &f));
	f.flags = 0x80000000u;
	expect("FEATURE, unknown flags", ioctl(d->fd, VFIO_DEVICE_FEATURE, &f), EINVAL);
	expect("FEATURE nowhere", ioctl(d->fd, VFIO_DEVICE_FEATURE, nowhere), EFAULT);
}

int main(int argc, char **argv)
{
	struct device d;

	client_start();
	container_errors();
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_group(&d);
	device_describe(&d);
	edu_config_space(&d);
	group_errors(&d);
	mapping_errors(&d);
	region_errors(&d);
	irq_errors(&d);
	feature_errors(&d);
	edu_reset(&d);
	device_close(&d);
	return client_status();
}
