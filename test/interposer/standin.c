/*
 * A VFIO without a kernel: preloaded below the interposer (LD_PRELOAD="libvfio-rr.so standin.so"), it answers open() of
 * /dev/vfio/… with memory files and a few requests with made-up but well-formed answers. Reads and writes of regions go
 * to the memory file by the real calls, so their cost is a real call's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TOP 1024
#define V1_REGION 9 /* the region that is a v1 migration region */
enum kind { NONE, CONTAINER, GROUP, DEVICE, DATA };
static unsigned char kinds[TOP];

static int make(enum kind kind)
{
	char name[] = "standin-0";
	name[sizeof name - 2] += (char)kind;
	int fd = (int)syscall(SYS_memfd_create, name, 0);
	if (fd >= 0 && fd < TOP) {
		kinds[fd] = (unsigned char)kind;
		if (ftruncate(fd, 1 << 20))
			return -1;
	}
	return fd;
}

static int opened(const char *path)
{
	if (!strcmp(path, "/dev/vfio/missing")) {
		errno = ENOENT;
		return -1;
	}
	return make(!strcmp(path, "/dev/vfio/vfio") ? CONTAINER : !strncmp(path, "/dev/vfio/d", 11) ? DEVICE : GROUP);
}

int open64(const char *path, int flags, ...)
{
	static int (*next)(const char *, int, ...);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "open64");
	va_list list;
	va_start(list, flags);
	mode_t mode = va_arg(list, mode_t);
	va_end(list);
	return strncmp(path, "/dev/vfio/", 10) ? next(path, flags, mode) : opened(path);
}

int open(const char *path, int flags, ...)
{
	va_list list;
	va_start(list, flags);
	mode_t mode = va_arg(list, mode_t);
	va_end(list);
	return open64(path, flags, mode);
}

/* With STANDIN_LINKS, what a descriptor is shows in /proc/self/fd, as the kernel's do: also one that came over a socket. */
ssize_t readlink(const char *path, char *to, size_t n)
{
	static const char prefix[] = "/memfd:standin-";
	static const char *const shown[] = {"", "/dev/vfio/vfio", "/dev/vfio/12", "/dev/vfio/devices/vfio0", "anon_inode:vfio_mig"};
	ssize_t length = syscall(SYS_readlink, path, to, n);
	if (length <= (ssize_t)sizeof prefix || memcmp(to, prefix, sizeof prefix - 1) || !getenv("STANDIN_LINKS"))
		return length;
	int kind = to[sizeof prefix - 1] - '0', fd = atoi(path + strlen("/proc/self/fd/"));
	if (fd >= 0 && fd < TOP)
		kinds[fd] = (unsigned char)kind;
	size_t shows = strlen(shown[kind]);
	memcpy(to, shown[kind], shows < n ? shows : n);
	return (ssize_t)(shows < n ? shows : n);
}

static int region_info(struct vfio_region_info *info)
{
	struct vfio_region_info_cap_sparse_mmap *cap = (void *)(info + 1);
	unsigned size = sizeof *info + sizeof *cap + sizeof cap->areas[0];
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP |
		      VFIO_REGION_INFO_FLAG_CAPS;
	info->offset = (unsigned long long)info->index << 12;
	info->size = 4096;
	info->cap_offset = 0;
	if (info->argsz >= size) {
		memset(cap, 0, sizeof *cap + sizeof cap->areas[0]);
		cap->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		cap->nr_areas = 1;
		cap->areas[0].size = 4096;
		info->cap_offset = sizeof *info;
	}
	if (info->index == V1_REGION && info->argsz >= sizeof *info + sizeof(struct vfio_region_info_cap_type)) {
		struct vfio_region_info_cap_type *type = (void *)(info + 1);
		*type = (struct vfio_region_info_cap_type){
			.header = {.id = VFIO_REGION_INFO_CAP_TYPE},
			.type = VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
			.subtype = VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED,
		};
		info->cap_offset = sizeof *info;
	}
	info->argsz = size;
	return 0;
}

/* In the order of the kernel: the argument's memory first (EFAULT by a call that reads it), then its meaning. */
static int readable(const void *at, size_t n)
{
	int fd[2], ok = !pipe(fd) && write(fd[1], at, n) == (ssize_t)n;
	close(fd[0]);
	close(fd[1]);
	if (!ok)
		errno = EFAULT;
	return ok;
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*next)(int, unsigned long, ...);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "ioctl");
	va_list list;
	va_start(list, request);
	void *argument = va_arg(list, void *);
	va_end(list);
	enum kind kind = fd >= 0 && fd < TOP ? kinds[fd] : NONE;
	if (request == KVM_IRQFD || request == KVM_IOEVENTFD) /* KVM is any descriptor */
		return 0;
	if (kind == NONE || _IOC_TYPE(request) != VFIO_TYPE)
		return next(fd, request, argument);
	if (kind == CONTAINER && request == VFIO_GET_API_VERSION)
		return VFIO_API_VERSION;
	if (kind == CONTAINER && request == VFIO_CHECK_EXTENSION)
		return 1;
	if (kind == CONTAINER && request == VFIO_IOMMU_MAP_DMA)
		return readable(argument, 32) ? 0 : -1;
	if (kind == CONTAINER && request == VFIO_IOMMU_UNMAP_DMA)
		return readable(argument, 24) ? 0 : -1;
	if (kind == GROUP && request == VFIO_GROUP_GET_DEVICE_FD)
		return make(DEVICE);
	if (kind == DEVICE && request == VFIO_DEVICE_RESET)
		return 0;					   /* no system call at all */
	if (kind == DEVICE && request == VFIO_DEVICE_GET_IRQ_INFO) /* one that costs what a call costs */
		return next(fd, FIONREAD, &((struct vfio_irq_info *)argument)->count);
	if (kind == DEVICE && request == VFIO_DEVICE_GET_REGION_INFO)
		return readable(argument, 32) ? region_info(argument) : -1;
	if (kind == DEVICE && request == VFIO_DEVICE_SET_IRQS)
		return readable(argument, 20) ? 0 : -1;
	if (kind == DEVICE && request == VFIO_DEVICE_IOEVENTFD)
		return 0;
	if (kind == DEVICE && request == VFIO_DEVICE_FEATURE) {
		struct vfio_device_feature *feature = argument;
		unsigned id = feature->flags & VFIO_DEVICE_FEATURE_MASK;
		if (id == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && feature->flags & VFIO_DEVICE_FEATURE_SET) {
			int *state = (int *)feature->data;
			state[1] = make(DATA);
			return 0;
		}
		if (id == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && feature->flags & VFIO_DEVICE_FEATURE_GET) {
			((struct vfio_device_feature_mig_state *)feature->data)->device_state = VFIO_DEVICE_STATE_ERROR;
			return 0;
		}
		if (id == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT) {
			struct vfio_device_feature_dma_logging_report *report = (void *)feature->data;
			((unsigned char *)(unsigned long)report->bitmap)[0] |= 0x80;
			return 0;
		}
	}
	errno = ENOTTY;
	return -1;
}
