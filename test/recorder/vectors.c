/*
 * Interrupts of a device on the stand-in, signalled by the program itself, which counts them: prints for each eventfd how
 * many signals it gave and took. Vectors 1 and 2 are KVM's for a while, and so is a doorbell.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { VECTORS = 4 };
static int device, kvm, events[VECTORS];
static unsigned long given[VECTORS], taken[VECTORS];

static void set_irqs(unsigned index, unsigned action, int count, const int *fds)
{
	struct vfio_irq_set *set = calloc(1, sizeof *set + 4 * VECTORS);
	set->argsz = (unsigned)(sizeof *set + 4 * (unsigned)count);
	set->flags = action | (count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = index;
	set->count = (unsigned)count;
	if (count)
		memcpy(set->data, fds, 4 * (unsigned)count);
	if (ioctl(device, VFIO_DEVICE_SET_IRQS, set))
		perror("SET_IRQS");
	free(set);
}

static void route(int fd, unsigned flags, int resample)
{
	struct kvm_irqfd irqfd = {.fd = (unsigned)fd, .gsi = 24, .flags = flags, .resamplefd = (unsigned)resample};
	if (ioctl(kvm, KVM_IRQFD, &irqfd))
		perror("KVM_IRQFD");
}

static void signal_vector(int vector, uint64_t times)
{
	for (uint64_t i = 0, one = 1; i < times; i++)
		given[vector] += write(events[vector], &one, 8) == 8;
}

static void take(int vector)
{
	uint64_t count;
	if (read(events[vector], &count, 8) == 8)
		taken[vector] += count;
}

int main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	int group = open("/dev/vfio/12", O_RDWR);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	kvm = open("/dev/null", O_RDWR);
	for (int i = 0; i < VECTORS; i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	int other = eventfd(0, 0), unmask = eventfd(0, EFD_NONBLOCK), doorbell = eventfd(0, EFD_NONBLOCK);
	route(events[1], 0, 0); /* before SET_IRQS, as QEMU does */
	route(other, 0, 0);	/* of no device of ours */
	set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, VECTORS, events);
	route(events[2], 0, 0);
	srand(seed);
	for (int i = 0; i < 200; i++) {
		signal_vector(0, (unsigned)rand() % 3);
		signal_vector(3, (unsigned)rand() % 2);
		if (rand() % 2)
			take(0);
		take(3);
	}
	route(events[2], KVM_IRQFD_FLAG_DEASSIGN, 0);
	signal_vector(2, 5);
	take(2);
	take(0);
	struct vfio_device_ioeventfd bell = {sizeof bell, VFIO_DEVICE_IOEVENTFD_32, 0x1020, 7, doorbell, 0};
	if (ioctl(device, VFIO_DEVICE_IOEVENTFD, &bell))
		perror("IOEVENTFD");
	struct kvm_ioeventfd written = {.addr = 0xfe001020, .len = 4, .fd = doorbell};
	if (ioctl(kvm, KVM_IOEVENTFD, &written))
		perror("KVM_IOEVENTFD");
	set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, NULL);
	set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 1, &events[1]);
	set_irqs(VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 1, &unmask);
	route(events[0], KVM_IRQFD_FLAG_RESAMPLE, unmask);
	for (int i = 0; i < VECTORS; i++)
		printf("%d %lu %lu\n", i, given[i], taken[i]);
	return 0;
}
