#include "edu.h"

#include "client.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define IOVA   0x100000ull
#define PAGE   4096u

void edu_config_space(struct device *d)
{
	uint8_t space[256];

	check("vendor", region_read(d, CONFIG, PCI_VENDOR_ID, 2), 0x1234);
	check("device", region_read(d, CONFIG, PCI_DEVICE_ID, 2), 0x11e8);
	note("revision and class", region_read(d, CONFIG, PCI_CLASS_REVISION, 4));
	check("whole configuration space", (uint64_t)pread(d->fd, space, sizeof(space), (off_t)d->offset[CONFIG]), 256);
	region_write(d, CONFIG, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	check("command", region_read(d, CONFIG, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	region_write(d, EDU_BAR, EDU_IRQ_ACK, ~0u, 4); /* what a program before us left; the device has no reset */
	region_write(d, CONFIG, PCI_BASE_ADDRESS_0, ~0u, 4);
	check("size mask of BAR 0", region_read(d, CONFIG, PCI_BASE_ADDRESS_0, 4), 0xfff00000);
	for (uint64_t at = region_read(d, CONFIG, PCI_CAPABILITY_LIST, 1); at; at = region_read(d, CONFIG, at + 1, 1))
		note("capability", region_read(d, CONFIG, at, 1));
}

void edu_registers(struct device *d)
{
	uint32_t id = 0;

	/* where the region may be mapped it is; where it may not, it is read: what a careful driver does */
	if (d->flags[EDU_BAR] & VFIO_REGION_INFO_FLAG_MMAP) {
		void *bar = mmap(NULL, d->size[EDU_BAR], PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
				 (off_t)d->offset[EDU_BAR]);

		if (bar == MAP_FAILED)
			give_up("the region does not map");
		id = *(volatile uint32_t *)bar;
		munmap(bar, d->size[EDU_BAR]);
	} else {
		id = (uint32_t)region_read(d, EDU_BAR, EDU_ID, 4);
	}
	check("identification", id, 0x010000ed);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t value = 0x01020304u * (i + 1);

		region_write(d, EDU_BAR, EDU_LIVENESS, value, 4);
		check("liveness", region_read(d, EDU_BAR, EDU_LIVENESS, 4), ~value);
	}
}

static void edu_interrupt(struct device *d, int irq, uint32_t value)
{
	region_write(d, EDU_BAR, EDU_IRQ_RAISE, value, 4);
	check("interrupts", irq_wait(irq), 1);
	check("interrupt status", region_read(d, EDU_BAR, EDU_IRQ_STATUS, 4), value);
	region_write(d, EDU_BAR, EDU_IRQ_ACK, value, 4);
	check("interrupt status after acknowledge", region_read(d, EDU_BAR, EDU_IRQ_STATUS, 4), 0);
}

void edu_intx(struct device *d)
{
	int irq = expect_fd("eventfd for INTx", eventfd(0, EFD_CLOEXEC), 0);

	expect("VFIO_DEVICE_SET_IRQS INTx eventfd", irq_eventfd(d, VFIO_PCI_INTX_IRQ_INDEX, irq), 0);
	for (uint32_t i = 1; i <= 2; i++) {
		edu_interrupt(d, irq, 0x10 * i);
		expect("VFIO_DEVICE_SET_IRQS INTx unmask",
		       irq_action(d, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 1), 0);
	}
	expect("VFIO_DEVICE_SET_IRQS INTx off", irq_action(d, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0),
	       0);
	close(irq);
}

int edu_msi(struct device *d)
{
	int irq = expect_fd("eventfd for MSI", eventfd(0, EFD_CLOEXEC), 0);

	expect("VFIO_DEVICE_SET_IRQS MSI eventfd", irq_eventfd(d, VFIO_PCI_MSI_IRQ_INDEX, irq), 0);
	expect("VFIO_DEVICE_SET_IRQS MSI trigger by hand",
	       irq_action(d, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 1), 0);
	check("interrupts by hand", irq_wait(irq), 1);
	edu_interrupt(d, irq, 0x1000);
	edu_interrupt(d, irq, 0x2000);
	return irq;
}

void edu_factorial(struct device *d, int irq)
{
	uint32_t product = 1;

	for (uint32_t n = 1; n <= 10; n++) {
		product *= n;
		region_write(d, EDU_BAR, EDU_STATUS, EDU_STATUS_IRQ, 4);
		region_write(d, EDU_BAR, EDU_FACTORIAL, n, 4);
		if (irq_wait(irq) != 1)
			check("factorial's interrupt", 0, 1);
		region_write(d, EDU_BAR, EDU_IRQ_ACK, EDU_IRQ_FACTORIAL, 4);
		check("factorial", region_read(d, EDU_BAR, EDU_FACTORIAL, 4), product);
	}
	region_write(d, EDU_BAR, EDU_STATUS, 0, 4);
}

static void edu_transfer(struct device *d, int irq, uint64_t from, uint64_t to, uint32_t count, uint32_t direction)
{
	region_write(d, EDU_BAR, EDU_DMA_SOURCE, from, 4);
	region_write(d, EDU_BAR, EDU_DMA_TARGET, to, 4);
	region_write(d, EDU_BAR, EDU_DMA_COUNT, count, 4);
	region_write(d, EDU_BAR, EDU_DMA_COMMAND, EDU_DMA_START | EDU_DMA_IRQ | direction, 4);
	check("DMA's interrupts", irq_wait(irq), 1);
	check("interrupt status", region_read(d, EDU_BAR, EDU_IRQ_STATUS, 4), EDU_IRQ_DMA);
	region_write(d, EDU_BAR, EDU_IRQ_ACK, EDU_IRQ_DMA, 4);
	check("DMA command", region_read(d, EDU_BAR, EDU_DMA_COMMAND, 4), EDU_DMA_IRQ | direction);
}

void edu_dma(struct device *d, int irq)
{
	uint8_t *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned wrong = 0;

	if (memory == MAP_FAILED)
		give_up("no memory");
	for (unsigned i = 0; i < PAGE; i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 8));
	expect("map", device_map(d, memory, IOVA, 2 * PAGE), 0);
	expect("map over it", device_map(d, memory, IOVA + PAGE, PAGE), EEXIST);
	edu_transfer(d, irq, IOVA, EDU_BUFFER, 2048, 0);
	edu_transfer(d, irq, EDU_BUFFER, IOVA + PAGE, 2048, EDU_DMA_FROM_DEVICE);
	for (unsigned i = 0; i < PAGE; i++)
		wrong += memory[PAGE + i] != (i < 2048 ? memory[i] : 0);
	check("wrong bytes after DMA there and back", wrong, 0);
	expect("unmap", device_unmap(d, IOVA, 2 * PAGE), 0);
	report("unmap again", device_unmap(d, IOVA, 2 * PAGE));
	munmap(memory, 2 * PAGE);
}

void edu_mapping_errors(struct device *d)
{
	uint8_t *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect("map at an odd address", device_map(d, memory, IOVA + 1, PAGE), EINVAL);
	expect("map nothing", device_map(d, memory, IOVA, 0), EINVAL);
	expect("map where nothing is", device_map(d, (void *)PAGE, IOVA, PAGE), EFAULT);
	munmap(memory, PAGE);
}

void edu_reset(struct device *d)
{
	struct vfio_device_info info = {.argsz = 4};

	report("VFIO_DEVICE_RESET", ioctl(d->fd, VFIO_DEVICE_RESET));
	expect("VFIO_DEVICE_GET_INFO with argsz 4", ioctl(d->fd, VFIO_DEVICE_GET_INFO, &info), EINVAL);
	expect("an unknown request", ioctl(d->fd, _IO(VFIO_TYPE, VFIO_BASE + 99), &info), ENOTTY);
}

void edu_session(struct device *d)
{
	int irq;

	device_describe(d);
	edu_config_space(d);
	edu_registers(d);
	edu_intx(d);
	irq = edu_msi(d);
	edu_factorial(d, irq);
	edu_dma(d, irq);
	edu_mapping_errors(d);
	expect("VFIO_DEVICE_SET_IRQS MSI off", irq_action(d, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0),
	       0);
	close(irq);
	edu_reset(d);
	device_close(d);
}
