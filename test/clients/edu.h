/* QEMU's educational device, 1234:11e8 (QEMU docs/specs/edu.rst). */
#ifndef EDU_H
#define EDU_H
#include "device.h"

enum {
	EDU_ID = 0x00,
	EDU_LIVENESS = 0x04,
	EDU_FACTORIAL = 0x08,
	EDU_STATUS = 0x20,
	EDU_IRQ_STATUS = 0x24,
	EDU_IRQ_RAISE = 0x60,
	EDU_IRQ_ACK = 0x64,
	EDU_DMA_SOURCE = 0x80,
	EDU_DMA_TARGET = 0x88,
	EDU_DMA_COUNT = 0x90,
	EDU_DMA_COMMAND = 0x98,
	EDU_STATUS_IRQ = 0x80, /* raise interrupt 1 when a factorial is done */
	EDU_DMA_START = 1,
	EDU_DMA_FROM_DEVICE = 2,
	EDU_DMA_IRQ = 4,
	EDU_IRQ_FACTORIAL = 1,
	EDU_IRQ_DMA = 0x100,
	EDU_BUFFER = 0x40000,
	EDU_BAR = VFIO_PCI_BAR0_REGION_INDEX,
};

/* A wait is always for an interrupt, never a loop on a status register, so that two runs make the same calls. */
void edu_config_space(struct device *d);
void edu_registers(struct device *d);
void edu_intx(struct device *d);
/* Leaves MSI on and gives its eventfd. */
int edu_msi(struct device *d);
void edu_factorial(struct device *d, int irq);
void edu_dma(struct device *d, int irq);
void edu_mapping_errors(struct device *d);
void edu_reset(struct device *d);
/* All of these, of a device that was opened; closes it. */
void edu_session(struct device *d);
#endif
