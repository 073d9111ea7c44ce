/*
 * Waits for an interrupt by system call instructions of the program's own, on the stand-in. Prints what they return,
 * and what they leave of their timeouts.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "raw.h"

int main(void)
{
	int group = open("/dev/vfio/12", O_RDWR), device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	int irq = eventfd(1, 0), ep = epoll_create1(0);
	struct {
		struct vfio_irq_set set;
		int fd;
	} irqs = {{sizeof irqs, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 2, 0, 1}, irq};
	sigset_t mask;
	struct {
		const void *set;
		size_t size;
	} six = {&mask, 8};
	struct timespec left = {100, 0};
	struct timeval most = {100, 0};
	struct pollfd p = {irq, POLLIN, 0};
	struct epoll_event e = {EPOLLIN, {.u64 = 77}};
	fd_set set;

	ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs);
	sigemptyset(&mask);
	epoll_ctl(ep, EPOLL_CTL_ADD, irq, &e);
	printf("ppoll %ld", RAW(SYS_ppoll, &p, 1, &left, &mask, 8));
	printf(" left %ld\n", left.tv_sec);
	FD_ZERO(&set);
	FD_SET(irq, &set);
	printf("select %ld", RAW(SYS_select, irq + 1, &set, NULL, NULL, &most));
	printf(" left %ld\n", most.tv_sec);
	left = (struct timespec){100, 0};
	printf("pselect6 %ld", RAW(SYS_pselect6, irq + 1, &set, NULL, NULL, &left, &six));
	printf(" left %ld\n", left.tv_sec);
	left = (struct timespec){100, 0};
	printf("epoll_pwait %ld", RAW(SYS_epoll_pwait, ep, &e, 1, 100, &mask, 8));
	printf(" size %ld\n", RAW(SYS_epoll_pwait, ep, &e, 1, 100, &mask, 4));
	printf("epoll_pwait2 %ld", RAW(SYS_epoll_pwait2, ep, &e, 1, &left, &mask, 8));
	printf(" left %ld\n", left.tv_sec);
	return 0;
}
