/* Every entry of the C library that reaches a VFIO file: the variants of open, read, write, dup, close and mmap, the
 * checked ones of _FORTIFY_SOURCE and syscall().   entries [BDF] */
#include "client.h"
#include "edu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void opens(void)
{
	volatile int flags = O_RDWR; /* not a constant: _FORTIFY_SOURCE then calls __open_2 */
	int fd, high;

	fd = expect_fd("open", open("/dev/vfio/vfio", flags), 0);
	check("  API version", (uint64_t)ioctl(fd, VFIO_GET_API_VERSION), 0);
	expect("close", close(fd), 0);
	fd = expect_fd("open64", open64("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), 0);
	expect("close", close(fd), 0);
	fd = expect_fd("openat", openat(AT_FDCWD, "/dev/vfio/vfio", O_RDWR), 0);
	high = expect_fd("dup", dup(fd), 0);
	check("  API version", (uint64_t)ioctl(high, VFIO_GET_API_VERSION), 0);
	expect_fd("dup2", dup2(fd, 200), 0);
	check("  API version", (uint64_t)ioctl(200, VFIO_GET_API_VERSION), 0);
	expect_fd("dup3", dup3(fd, 201, O_CLOEXEC), 0);
	expect_fd("fcntl F_DUPFD", fcntl(fd, F_DUPFD, 300), 0);
	check("  API version", (uint64_t)ioctl(300, VFIO_GET_API_VERSION), 0);
	expect_fd("fcntl F_DUPFD_CLOEXEC", fcntl(fd, F_DUPFD_CLOEXEC, 301), 0);
	expect("close", close(high), 0);
	expect("close_range", close_range(200, 400, 0), 0);
	expect("ioctl on what was closed", ioctl(301, VFIO_GET_API_VERSION), EBADF);
	expect_fd("dup2 of the container over another file", dup2(fd, eventfd(0, 0)), 0);
	close(fd + 1);
	fd = expect_fd("syscall(SYS_dup)", (int)syscall(SYS_dup, fd), 0);
	check("  API version by syscall(SYS_ioctl)", (uint64_t)syscall(SYS_ioctl, fd, VFIO_GET_API_VERSION, 0), 0);
	syscall(SYS_close, fd);
	closefrom(3);
	fd = expect_fd("syscall(SYS_openat)", (int)syscall(SYS_openat, AT_FDCWD, "/dev/vfio/vfio", O_RDWR), 0);
	check("  API version", (uint64_t)ioctl(fd, VFIO_GET_API_VERSION), 0);
	expect("close", close(fd), 0);
}

static void reads(struct device *d)
{
	off_t at = (off_t)d->offset[VFIO_PCI_CONFIG_REGION_INDEX];
	uint16_t vendor = 0, device = 0;
	struct iovec parts[2] = {{&vendor, 2}, {&device, 2}};
	volatile size_t two = 2; /* not a constant: _FORTIFY_SOURCE then calls __pread_chk */
	uint8_t bytes[8];

	check("pread", (uint64_t)pread(d->fd, bytes, two, at), 2);
	check("pread64", (uint64_t)pread64(d->fd, bytes, two, at), 2);
	check("preadv", (uint64_t)preadv(d->fd, parts, 2, at), 4);
	check("  vendor", vendor, 0x1234);
	check("  device", device, 0x11e8);
	vendor = device = 0;
	report("preadv2", preadv2(d->fd, parts, 2, at, 0));
	check("  device", device, 0x11e8);
	check("preadv64", (uint64_t)preadv64(d->fd, parts, 2, at), 4);
	check("syscall(SYS_pread64)", (uint64_t)syscall(SYS_pread64, d->fd, bytes, (size_t)4, at), 4);
	report("lseek", lseek(d->fd, at, SEEK_SET) == at ? 0 : -1);
	report("read", read(d->fd, bytes, two));
	report("readv", readv(d->fd, parts, 2));
}

static void writes(struct device *d)
{
	off_t at = (off_t)(d->offset[EDU_BAR] + EDU_LIVENESS);
	uint32_t value = 0x11111111;
	uint16_t command[2] = {6, 0};
	struct iovec whole[1] = {{&value, 4}};

	check("pwrite", (uint64_t)pwrite(d->fd, &value, 4, at), 4);
	check("  liveness", region_read(d, EDU_BAR, EDU_LIVENESS, 4), ~0x11111111u);
	value = 0x22222222;
	check("pwrite64", (uint64_t)pwrite64(d->fd, &value, 4, at), 4);
	check("  liveness", region_read(d, EDU_BAR, EDU_LIVENESS, 4), ~0x22222222u);
	value = 0x33333333;
	check("pwritev", (uint64_t)pwritev(d->fd, whole, 1, at), 4);
	check("  liveness", region_read(d, EDU_BAR, EDU_LIVENESS, 4), ~0x33333333u);
	value = 0x44444444;
	report("pwritev2", pwritev2(d->fd, whole, 1, at, 0));
	check("  liveness", region_read(d, EDU_BAR, EDU_LIVENESS, 4), ~0x44444444u);
	value = 0x55555555;
	check("syscall(SYS_pwrite64)", (uint64_t)syscall(SYS_pwrite64, d->fd, &value, (size_t)4, at), 4);
	check("  liveness", region_read(d, EDU_BAR, EDU_LIVENESS, 4), ~0x55555555u);
	check("pwrite to the configuration space",
	      (uint64_t)pwrite(d->fd, command, 2, (off_t)d->offset[VFIO_PCI_CONFIG_REGION_INDEX] + 4), 2);
}

static void mappings(struct device *d)
{
	void *bar;

	if (!(d->flags[EDU_BAR] & VFIO_REGION_INFO_FLAG_MMAP)) {
		check("identification", region_read(d, EDU_BAR, EDU_ID, 4), 0x010000ed);
		return;
	}
	bar = mmap64(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, (off_t)d->offset[EDU_BAR]);
	if (bar == MAP_FAILED)
		give_up("the region does not map");
	check("identification", *(volatile uint32_t *)bar, 0x010000ed);
	munmap(bar, 4096);
}

static void interrupts(struct device *d)
{
	int irq = edu_msi(d);
	struct pollfd ready[2] = {{.fd = irq, .events = POLLIN}, {.fd = d->fd, .events = POLLIN}};
	struct timespec soon = {0};
	uint64_t count = 0;

	report("poll without an interrupt", poll(ready, 1, 0));
	report("ppoll without an interrupt", ppoll(ready, 1, &soon, NULL));
	region_write(d, EDU_BAR, EDU_IRQ_RAISE, 1, 4);
	report("poll", poll(ready, 1, 10000));
	check("eventfd_read", (uint64_t)eventfd_read(irq, &count), 0);
	check("  count", count, 1);
	region_write(d, EDU_BAR, EDU_IRQ_ACK, 1, 4);
	close(irq);
}

int main(int argc, char **argv)
{
	struct device d;

	client_start();
	opens();
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_group(&d);
	device_describe(&d);
	edu_config_space(&d);
	reads(&d);
	writes(&d);
	mappings(&d);
	interrupts(&d);
	device_close(&d);
	return client_status();
}
