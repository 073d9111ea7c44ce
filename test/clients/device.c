#include "device.h"

#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void device_find(struct device *d, const char *name)
{
	memset(d, 0, sizeof(*d));
	d->container = d->group = d->iommufd = d->fd = -1;
	snprintf(d->name, sizeof(d->name), "%s", name);
	snprintf(d->sysfs, sizeof(d->sysfs), "/sys/bus/%s/devices/%s", strchr(name, ':') ? "pci" : "mdev", name);
	if (access(d->sysfs, F_OK))
		give_up("no such device");
}

static void type1_info(struct device *d)
{
	struct vfio_iommu_type1_info *info = calloc(1, 4096);

	info->argsz = sizeof(*info);
	expect("VFIO_IOMMU_GET_INFO", ioctl(d->container, VFIO_IOMMU_GET_INFO, info), 0);
	note("  bytes it would give", info->argsz);
	info->argsz = 4096;
	expect("VFIO_IOMMU_GET_INFO with room", ioctl(d->container, VFIO_IOMMU_GET_INFO, info), 0);
	note("  flags", info->flags);
	note("  page sizes", info->iova_pgsizes);
	if (info->flags & VFIO_IOMMU_INFO_CAPS)
		for (uint32_t at = info->cap_offset; at;) {
			struct vfio_info_cap_header *cap = (void *)((char *)info + at);
			note("  capability", cap->id);
			at = cap->next;
		}
	free(info);
}

void device_open_group(struct device *d)
{
	char path[256], link[256];
	struct vfio_group_status status = {.argsz = sizeof(status)};
	ssize_t n;

	snprintf(path, sizeof(path), "%s/iommu_group", d->sysfs);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		give_up("the device is in no IOMMU group");
	link[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);

	d->container = expect_fd("open container", open("/dev/vfio/vfio", O_RDWR), 0);
	check("VFIO_GET_API_VERSION", (uint64_t)ioctl(d->container, VFIO_GET_API_VERSION), VFIO_API_VERSION);
	check("VFIO_CHECK_EXTENSION type1", (uint64_t)ioctl(d->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 1);
	check("VFIO_CHECK_EXTENSION type1 v2", (uint64_t)ioctl(d->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU),
	      1);
	report("VFIO_CHECK_EXTENSION unmap all", ioctl(d->container, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL));
	d->group = expect_fd("open group", open(path, O_RDWR), 0);
	if (d->group < 0)
		give_up("the group does not open");
	expect("VFIO_GROUP_GET_STATUS", ioctl(d->group, VFIO_GROUP_GET_STATUS, &status), 0);
	note("  flags", status.flags);
	expect("VFIO_GROUP_SET_CONTAINER", ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container), 0);
	expect("VFIO_SET_IOMMU", ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	type1_info(d);
	d->fd = expect_fd("VFIO_GROUP_GET_DEVICE_FD", ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->name), 0);
	if (d->fd < 0)
		give_up("the group gives no device");
}

static int open_cdev(const char *sysfs)
{
	char path[512];
	struct dirent *entry;
	DIR *dir;
	int fd = -1;

	snprintf(path, sizeof(path), "%s/vfio-dev", sysfs);
	dir = opendir(path);
	if (!dir)
		give_up("the device has no cdev");
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "vfio", 4)) {
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
			fd = expect_fd("open cdev", open(path, O_RDWR), 0);
		}
	closedir(dir);
	if (fd < 0)
		give_up("the cdev does not open");
	return fd;
}

void device_open_cdev(struct device *d)
{
	d->cdev = true;
	d->iommufd = expect_fd("open iommufd", open("/dev/iommu", O_RDWR), 0);
	d->fd = open_cdev(d->sysfs);

	struct vfio_device_info early = {.argsz = sizeof(early)};
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = d->iommufd};
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach)};

	expect("VFIO_DEVICE_GET_INFO before bind", ioctl(d->fd, VFIO_DEVICE_GET_INFO, &early), EINVAL);
	bind.argsz = offsetof(struct vfio_device_bind_iommufd, out_devid) + sizeof(bind.out_devid);
	expect("VFIO_DEVICE_BIND_IOMMUFD", ioctl(d->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0);
	expect("IOMMU_IOAS_ALLOC", ioctl(d->iommufd, IOMMU_IOAS_ALLOC, &alloc), 0);
	d->ioas = alloc.out_ioas_id;
	attach.pt_id = d->ioas;
	attach.argsz = offsetof(struct vfio_device_attach_iommufd_pt, pt_id) + sizeof(attach.pt_id);
	expect("VFIO_DEVICE_ATTACH_IOMMUFD_PT", ioctl(d->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), 0);
	d->hwpt = attach.pt_id;

	struct iommu_iova_range ranges[8] = {0};
	struct iommu_ioas_iova_ranges query = {
		.size = sizeof(query),
		.ioas_id = d->ioas,
		.num_iovas = 8,
		.allowed_iovas = (uintptr_t)ranges,
	};
	expect("IOMMU_IOAS_IOVA_RANGES", ioctl(d->iommufd, IOMMU_IOAS_IOVA_RANGES, &query), 0);
	note("  alignment", query.out_iova_alignment);
	for (unsigned i = 0; i < query.num_iovas && i < 8; i++) {
		note("  from", ranges[i].start);
		note("  to", ranges[i].last);
	}

	struct {
		uint8_t raw[64];
	} hw = {{0}};
	struct iommu_hw_info info = {
		.size = sizeof(info),
		.dev_id = bind.out_devid,
		.data_len = sizeof(hw),
		.data_uptr = (uintptr_t)&hw,
	};
	if (report("IOMMU_GET_HW_INFO", ioctl(d->iommufd, IOMMU_GET_HW_INFO, &info)) == 0) {
		note("  type", info.out_data_type);
		note("  length", info.data_len);
		note("  capabilities", info.out_capabilities);
	}
}

void device_open(struct device *d, const char *how, const char *name)
{
	device_find(d, name);
	if (!strcmp(how, "cdev"))
		device_open_cdev(d);
	else
		device_open_group(d);
}

void device_describe(struct device *d)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};
	char name[64];

	expect("VFIO_DEVICE_GET_INFO", ioctl(d->fd, VFIO_DEVICE_GET_INFO, &info), 0);
	note("  flags", info.flags);
	note("  regions", info.num_regions);
	note("  irqs", info.num_irqs);
	for (unsigned i = 0; i <= info.num_regions && i <= VFIO_PCI_NUM_REGIONS; i++) {
		struct vfio_region_info region = {.argsz = sizeof(region), .index = i};

		snprintf(name, sizeof(name), "VFIO_DEVICE_GET_REGION_INFO %u", i);
		if (report(name, ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &region)) || i >= VFIO_PCI_NUM_REGIONS)
			continue;
		d->offset[i] = region.offset;
		d->size[i] = region.size;
		d->flags[i] = region.flags;
		note("  size", region.size);
		/* whether a region may be mapped is what --mmio=hide changes; the rest must not change */
		note("  read, write", region.flags & (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE));
	}
	for (unsigned i = 0; i <= info.num_irqs; i++) {
		struct vfio_irq_info irq = {.argsz = sizeof(irq), .index = i};

		snprintf(name, sizeof(name), "VFIO_DEVICE_GET_IRQ_INFO %u", i);
		if (report(name, ioctl(d->fd, VFIO_DEVICE_GET_IRQ_INFO, &irq)))
			continue;
		note("  flags", irq.flags);
		note("  count", irq.count);
	}
}

void device_close(struct device *d)
{
	if (d->cdev) {
		struct vfio_device_detach_iommufd_pt detach = {
			.argsz = offsetof(struct vfio_device_detach_iommufd_pt, flags) + sizeof(detach.flags),
		};
		struct iommu_destroy destroy = {.size = sizeof(destroy), .id = d->ioas};

		expect("VFIO_DEVICE_DETACH_IOMMUFD_PT", ioctl(d->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach), 0);
		expect("IOMMU_DESTROY", ioctl(d->iommufd, IOMMU_DESTROY, &destroy), 0);
		expect("IOMMU_DESTROY again", ioctl(d->iommufd, IOMMU_DESTROY, &destroy), ENOENT);
		expect("close device", close(d->fd), 0);
		expect("close iommufd", close(d->iommufd), 0);
		return;
	}
	expect("close device", close(d->fd), 0);
	expect("VFIO_GROUP_UNSET_CONTAINER", ioctl(d->group, VFIO_GROUP_UNSET_CONTAINER), 0);
	expect("close group", close(d->group), 0);
	expect("close container", close(d->container), 0);
}

long device_map(struct device *d, void *memory, uint64_t iova, uint64_t size)
{
	if (d->cdev) {
		struct iommu_ioas_map map = {
			.size = sizeof(map),
			.ioas_id = d->ioas,
			.user_va = (uintptr_t)memory,
			.length = size,
			.iova = iova,
			.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		};
		return ioctl(d->iommufd, IOMMU_IOAS_MAP, &map);
	}
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};
	return ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map);
}

long device_unmap(struct device *d, uint64_t iova, uint64_t size)
{
	if (d->cdev) {
		struct iommu_ioas_unmap unmap = {
			.size = sizeof(unmap), .ioas_id = d->ioas, .iova = iova, .length = size};

		return ioctl(d->iommufd, IOMMU_IOAS_UNMAP, &unmap) ? -1 : (long)unmap.length;
	}
	struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof(unmap), .iova = iova, .size = size};

	return ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -1 : (long)unmap.size;
}

uint64_t region_read(struct device *d, unsigned index, uint64_t at, unsigned size)
{
	uint64_t value = 0;
	ssize_t n = pread(d->fd, &value, size, (off_t)(d->offset[index] + at));

	if (n == (ssize_t)size)
		return value;
	expect("pread", n, 0);
	return ~0ull;
}

void region_write(struct device *d, unsigned index, uint64_t at, uint64_t value, unsigned size)
{
	ssize_t n = pwrite(d->fd, &value, size, (off_t)(d->offset[index] + at));

	if (n != (ssize_t)size)
		expect("pwrite", n, 0);
}

long irq_eventfd(struct device *d, unsigned index, int fd)
{
	uint64_t room[4] = {0};
	struct vfio_irq_set *set = (void *)room;

	set->argsz = sizeof(*set) + sizeof(int32_t);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->count = 1;
	memcpy(set->data, &fd, sizeof(int32_t));
	return ioctl(d->fd, VFIO_DEVICE_SET_IRQS, set);
}

long irq_action(struct device *d, unsigned index, uint32_t action, unsigned count)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | action,
		.index = index,
		.count = count,
	};
	return ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &set);
}

uint64_t irq_wait(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	uint64_t count = 0;

	if (poll(&ready, 1, 10000) != 1 || read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}
