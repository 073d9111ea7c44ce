/* Scenes of interrupts: eventfds that a device has, read and waited for. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#include "program.h"

/* An eventfd that the device has for an interrupt. */
static void give(int device, int irq)
{
	struct {
		struct vfio_irq_set set;
		int fd;
	} irqs = {{sizeof irqs, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 1}, irq};
	ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs);
}

int interrupts(void)
{
	int device = device_open(), quiet = eventfd(3, 0), irq = eventfd(0, EFD_NONBLOCK), copy = dup(irq);
	uint64_t count = 0;
	(void)!read(quiet, &count, 8);
	give(device, irq);
	count = 5;
	(void)!write(irq, &count, 8);
	struct pollfd p[2] = {{quiet, POLLIN, 0}, {irq, POLLIN, 0}};
	printf("poll %d\n", poll(p, 2, 100));
	int ep = epoll_create1(0);
	struct epoll_event e = {EPOLLIN, {.u64 = 77}};
	epoll_ctl(ep, EPOLL_CTL_ADD, copy, &e);
	printf("epoll %d\n", epoll_wait(ep, &e, 1, 100));
	fd_set set;
	FD_ZERO(&set);
	FD_SET(irq, &set);
	printf("select %d\n", select(irq + 1, &set, NULL, NULL, NULL));
	(void)!read(copy, &count, 8);
	printf("count %lu\n", count);
	printf("again %zd %d\n", read(copy, &count, 8), errno);
	printf("poll %d\n", poll(p + 1, 1, 1));
	close(ep);
	return 0;
}

/* More than the interposer's tables hold: waited for by epoll, by select, mapped, given to devices. */
int crowds(void)
{
	struct rlimit most;
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	int device = device_open(), irq = eventfd(1, 0), ep = epoll_create1(0), container = open("/dev/vfio/vfio", O_RDWR);
	give(device, irq);
	fd_set set;
	FD_ZERO(&set);
	int failed = 0;
	for (int i = 0; i < 1030; i++) {
		struct epoll_event e = {EPOLLIN, {.u64 = (unsigned)i}};
		int fd = dup(irq);
		failed += epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
		if (i < 70)
			FD_SET(fd, &set);
	}
	struct epoll_event events[66];
	printf("%d %d", failed, epoll_wait(ep, events, 66, 0));
	printf(" %d\n", select(FD_SETSIZE, &set, NULL, NULL, NULL));
	for (unsigned i = 0; i < 1026; i++) {
		struct vfio_iommu_type1_dma_map map = {sizeof map, VFIO_DMA_MAP_FLAG_READ, 0x10000000u + 4096 * i, 4096 * i,
						       4096};
		failed += ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
	}
	char *map[514];
	for (int i = 0; i < 514; i++)
		map[i] = mmap(NULL, 4096, PROT_READ, MAP_SHARED, device, 0);
	printf("%d %d %d\n", failed, munmap(map[0], 4096), munmap(map[513], 4096));
	return 0;
}
