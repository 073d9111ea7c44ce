/* The kernel's sample serial port (samples/vfio-mdev/mtty.c) through every migration state.
 *   mtty-migrate group|cdev UUID */
#include "client.h"
#include "device.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define STATE(name) VFIO_DEVICE_STATE_##name
#define MAX_DATA    4096

enum { UART_DATA = 0, UART_IER = 1, UART_FCR = 2, UART_MCR = 4, UART_SCRATCH = 7 };

static const char *const state_names[] = {
	"ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
};

struct feature {
	struct vfio_device_feature head;
	union {
		struct vfio_device_feature_migration migration;
		struct vfio_device_feature_mig_state state;
		struct vfio_device_feature_mig_data_size size;
		struct vfio_device_feature_dma_logging_control logging;
		struct vfio_device_feature_dma_logging_report report;
	};
};

static long feature(struct device *d, struct feature *f, uint32_t flags, size_t size)
{
	f->head.argsz = (uint32_t)(sizeof(f->head) + size);
	f->head.flags = flags;
	return ioctl(d->fd, VFIO_DEVICE_FEATURE, f);
}

static void probe(struct device *d, const char *name, uint32_t flags, int want)
{
	struct feature f = {0};

	expect(name, feature(d, &f, VFIO_DEVICE_FEATURE_PROBE | flags, 0), want);
}

static void expect_state(struct device *d, uint32_t want)
{
	struct feature f = {0};

	if (feature(d, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, sizeof(f.state)))
		give_up("the state cannot be read");
	check("  state", f.state.device_state, want);
}

/* Gives the data descriptor, -1 when there is none. */
static int set_state(struct device *d, uint32_t state, int want, uint32_t then)
{
	struct feature f = {.state = {.device_state = state, .data_fd = -1}};
	char name[64];
	long ret;

	snprintf(name, sizeof(name), "set %s", state < 8 ? state_names[state] : "a state that is none");
	ret = feature(d, &f, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, sizeof(f.state));
	expect(name, ret, want);
	note("  gives a data descriptor", ret == 0 && f.state.data_fd >= 0);
	expect_state(d, then);
	return ret ? -1 : f.state.data_fd;
}

static void precopy_info(int data, int want, uint64_t initial)
{
	struct vfio_precopy_info info = {.argsz = sizeof(info)};

	if (expect("VFIO_MIG_GET_PRECOPY_INFO", ioctl(data, VFIO_MIG_GET_PRECOPY_INFO, &info), want) == 0) {
		check("  initial bytes", info.initial_bytes, initial);
		note("  dirty bytes", info.dirty_bytes);
	}
}

static size_t read_to_end(int data, uint8_t *to, size_t room)
{
	struct pollfd ready = {.fd = data, .events = POLLIN};
	size_t total = 0;
	ssize_t n;

	report("poll the data descriptor", poll(&ready, 1, 0));
	do {
		n = report("read", read(data, to + total, total + 100 < room ? 100 : room - total));
		total += n > 0 ? (size_t)n : 0;
	} while (n > 0 && total < room);
	return total;
}

static uint32_t sum(const uint8_t *data, size_t size)
{
	uint32_t s = 1;

	for (size_t i = 0; i < size; i++)
		s = s * 31 + data[i];
	return s;
}

static void features(struct device *d)
{
	struct feature f = {0};

	probe(d, "probe MIGRATION", VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, 0);
	probe(d, "probe MIG_DEVICE_STATE", VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 0);
	probe(d, "probe MIG_DATA_SIZE", VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, 0);
	probe(d, "probe DMA_LOGGING_START", VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, 0);
	probe(d, "probe LOW_POWER_ENTRY", VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, ENOTTY);
	probe(d, "probe a feature that is none", VFIO_DEVICE_FEATURE_GET | 0xffff, ENOTTY);
	expect("get MIGRATION",
	       feature(d, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, sizeof(f.migration)), 0);
	check("  flags", f.migration.flags, VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY);
	expect("get MIGRATION without room", feature(d, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, 4),
	       EINVAL);
	expect("get and set at once",
	       feature(d, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIGRATION, 8),
	       EINVAL);
	expect("get MIG_DATA_SIZE",
	       feature(d, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, sizeof(f.size)), 0);
	note("  bytes", f.size.stop_copy_length);
}

static void serial_port(struct device *d)
{
	const char *text = "migrate me";
	int irq = expect_fd("eventfd", eventfd(0, 0), 0);

	region_write(d, VFIO_PCI_CONFIG_REGION_INDEX, PCI_INTERRUPT_LINE, 5, 1);
	note("vendor and device", region_read(d, VFIO_PCI_CONFIG_REGION_INDEX, PCI_VENDOR_ID, 4));
	expect("INTx eventfd", irq_eventfd(d, VFIO_PCI_INTX_IRQ_INDEX, irq), 0);
	region_write(d, VFIO_PCI_BAR0_REGION_INDEX, UART_IER, 0, 1);
	region_write(d, VFIO_PCI_BAR0_REGION_INDEX, UART_FCR, 7, 1); /* empty both queues */
	region_write(d, VFIO_PCI_BAR0_REGION_INDEX, UART_MCR, 0x10, 1);
	region_write(d, VFIO_PCI_BAR0_REGION_INDEX, UART_SCRATCH, 0x5a, 1);
	check("scratch", region_read(d, VFIO_PCI_BAR0_REGION_INDEX, UART_SCRATCH, 1), 0x5a);
	for (const char *c = text; *c; c++)
		region_write(d, VFIO_PCI_BAR0_REGION_INDEX, UART_DATA, (uint8_t)*c, 1);
	expect("INTx trigger by hand", irq_action(d, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 1), 0);
	check("interrupts", irq_wait(irq), 1);
	expect("INTx off", irq_action(d, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0), 0);
	close(irq);
}

static void dirty_tracking(struct device *d)
{
	struct vfio_device_feature_dma_logging_range range = {.iova = 0x100000, .length = 0x40000};
	uint64_t bitmap[1] = {0};
	struct feature f = {.logging = {.page_size = 4096, .num_ranges = 1, .ranges = (uintptr_t)&range}};

	expect("DMA_LOGGING_START",
	       feature(d, &f, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, sizeof(f.logging)), 0);
	memset(&f, 0, sizeof(f));
	f.report.iova = range.iova;
	f.report.length = range.length;
	f.report.page_size = 4096;
	f.report.bitmap = (uintptr_t)bitmap;
	expect("DMA_LOGGING_REPORT",
	       feature(d, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, sizeof(f.report)), 0);
	check("  dirty pages", bitmap[0], 0);
	f.report.page_size = 1000;
	expect("DMA_LOGGING_REPORT of odd pages",
	       feature(d, &f, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, sizeof(f.report)),
	       EINVAL);
	memset(&f, 0, sizeof(f));
	expect("DMA_LOGGING_STOP", feature(d, &f, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, 0),
	       0);
}

/* The source's side: everything that can be read, in DATA. Gives its size. */
static size_t save(struct device *d, uint8_t *saved)
{
	uint8_t byte;
	size_t size, header;
	int data = set_state(d, STATE(PRE_COPY), 0, STATE(PRE_COPY));

	precopy_info(data, 0, 24);
	expect("pread of the data descriptor", pread(data, &byte, 1, 0), ESPIPE);
	expect("write to what is read only", write(data, &byte, 1), EBADF);
	header = read_to_end(data, saved, MAX_DATA);
	precopy_info(data, 0, 0);
	check("goes on in the same descriptor", (uint64_t)set_state(d, STATE(PRE_COPY_P2P), 0, STATE(PRE_COPY_P2P)),
	      (uint64_t)-1);
	precopy_info(data, 0, 0);
	set_state(d, STATE(PRE_COPY), 0, STATE(PRE_COPY));
	check("goes on in the same descriptor", (uint64_t)set_state(d, STATE(STOP_COPY), 0, STATE(STOP_COPY)),
	      (uint64_t)-1);
	precopy_info(data, EINVAL, 0);
	set_state(d, STATE(PRE_COPY), EINVAL, STATE(STOP_COPY));
	set_state(d, STATE(PRE_COPY_P2P), EINVAL, STATE(STOP_COPY));
	size = header + read_to_end(data, saved + header, MAX_DATA - header);
	set_state(d, STATE(STOP), 0, STATE(STOP));
	expect("read after the end", read(data, &byte, 1), ENODEV);
	expect("close data", close(data), 0);
	note("bytes saved", size);
	note("  their sum", sum(saved, size));
	return size;
}

static void forbidden(struct device *d, uint32_t now)
{
	set_state(d, STATE(ERROR), EINVAL, now);
	set_state(d, 99, EINVAL, now);
}

/* The target's side. */
static void resume(struct device *d, const uint8_t *saved, size_t size)
{
	struct vfio_precopy_info info = {.argsz = sizeof(info)};
	uint8_t byte;
	size_t half = size / 2;
	int data = set_state(d, STATE(RESUMING), 0, STATE(RESUMING));

	expect("read of what is write only", read(data, &byte, 1), EBADF);
	report("VFIO_MIG_GET_PRECOPY_INFO while resuming", ioctl(data, VFIO_MIG_GET_PRECOPY_INFO, &info));
	check("written", (uint64_t)write(data, saved, half), half);
	set_state(d, STATE(STOP), EINVAL, STATE(RESUMING)); /* half a state does not load */
	check("written", (uint64_t)write(data, saved + half, size - half), size - half);
	expect("write past the end", write(data, saved, size), ENOMEM);
	set_state(d, STATE(RUNNING_P2P), 0, STATE(RUNNING_P2P));
	expect("close data", close(data), 0);
	set_state(d, STATE(RUNNING), 0, STATE(RUNNING));
}

static void every_state(struct device *d)
{
	uint8_t saved[MAX_DATA];
	int data;

	set_state(d, STATE(RUNNING), 0, STATE(RUNNING));
	set_state(d, STATE(RUNNING_P2P), 0, STATE(RUNNING_P2P));
	data = set_state(d, STATE(PRE_COPY_P2P), 0, STATE(PRE_COPY_P2P));
	set_state(d, STATE(RUNNING_P2P), 0, STATE(RUNNING_P2P)); /* the migration is called off */
	expect("VFIO_MIG_GET_PRECOPY_INFO of a closed session", ioctl(data, VFIO_MIG_GET_PRECOPY_INFO, saved), EINVAL);
	close(data);
	data = set_state(d, STATE(STOP_COPY), 0, STATE(STOP_COPY));
	note("bytes of a stop-copy alone", read_to_end(data, saved, sizeof(saved)));
	close(data);
	set_state(d, STATE(RUNNING), 0, STATE(RUNNING));
	data = set_state(d, STATE(RESUMING), 0, STATE(RESUMING));
	expect("write of what is no state", write(data, "this is not the state of a serial port", 39), EFAULT);
	expect("VFIO_DEVICE_RESET", ioctl(d->fd, VFIO_DEVICE_RESET), 0);
	expect_state(d, STATE(RUNNING));
	expect("write after the reset", write(data, saved, 1), ENODEV);
	close(data);
}

int main(int argc, char **argv)
{
	uint8_t saved[MAX_DATA];
	struct device d;
	size_t size;

	client_start();
	if (argc < 3)
		give_up("mtty-migrate group|cdev UUID");
	device_open(&d, argv[1], argv[2]);
	device_describe(&d);
	features(&d);
	expect_state(&d, STATE(RUNNING));
	serial_port(&d);
	dirty_tracking(&d);
	size = save(&d, saved);
	forbidden(&d, STATE(STOP));
	set_state(&d, STATE(RUNNING), 0, STATE(RUNNING));
	region_write(&d, VFIO_PCI_BAR0_REGION_INDEX, UART_SCRATCH, 0xa5, 1);
	resume(&d, saved, size);
	check("scratch comes back", region_read(&d, VFIO_PCI_BAR0_REGION_INDEX, UART_SCRATCH, 1), 0x5a);
	check("the first letter comes back", region_read(&d, VFIO_PCI_BAR0_REGION_INDEX, UART_DATA, 1), 'm');
	every_state(&d);
	device_close(&d);
	return client_status();
}
