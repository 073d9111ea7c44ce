/* What a container calls dirty and what a device does, after one device has written one page.
 *   dirty-scope NAME */
#include "client.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define IOVA 0x100000
#define PAGES 16

struct dirty {
	struct vfio_iommu_type1_dirty_bitmap head;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};
struct logging {
	struct vfio_device_feature head;
	union {
		struct vfio_device_feature_dma_logging_control control;
		struct vfio_device_feature_dma_logging_report report;
	};
};

static long tracking(struct device *d, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = { .argsz = sizeof(dirty), .flags = flags };

	return ioctl(d->container, VFIO_IOMMU_DIRTY_PAGES, &dirty);
}

static void of_container(struct device *d)
{
	uint64_t bits = 0;
	struct dirty dirty = {
		.head = { sizeof(dirty), VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP },
		.get = { IOVA, PAGES * 4096, { 4096, 8, (void *)&bits } },
	};

	expect("container: GET_BITMAP", ioctl(d->container, VFIO_IOMMU_DIRTY_PAGES, &dirty), 0);
	note("  dirty pages", bits);
}

static void of_device(struct device *d)
{
	uint64_t bits = 0;
	struct logging f = {
		.head = { sizeof(f), VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT },
		.report = { IOVA, PAGES * 4096, 4096, (uintptr_t)&bits },
	};

	if (report("device: DMA_LOGGING_REPORT", ioctl(d->fd, VFIO_DEVICE_FEATURE, &f)) == 0)
		note("  dirty pages", bits);
}

int main(int argc, char **argv)
{
	struct vfio_device_feature_dma_logging_range range = { IOVA, PAGES * 4096 };
	struct logging start = {
		.head = { sizeof(start), VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START },
		.control = { 4096, 1, 0, (uintptr_t)&range },
	};
	struct device d;
	uint8_t *memory;

	client_start();
	if (argc < 2)
		give_up("dirty-scope NAME");
	pair_open(&d, argv[1], open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
	memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		give_up("no memory");
	expect("map 16 pages", device_map(&d, memory, IOVA, PAGES * 4096), 0);
	expect("container: START", tracking(&d, VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0);
	report("device: DMA_LOGGING_START", ioctl(d.fd, VFIO_DEVICE_FEATURE, &start));
	dma_out(&d, IOVA + 3 * 4096, 64);
	puts("the device has written to page 3");
	of_container(&d);
	of_device(&d);
	puts("asked again");
	of_container(&d);
	of_device(&d);
	return client_status();
}
