/* Threads that use one or two edu devices at once, each with registers of its own, so that what each of them reads
 * does not hang on who is first.   threads [ROUNDS [BDF …]] */
#include "client.h"
#include "edu.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEVICES 2

struct worker {
	pthread_t thread;
	struct device *device;
	uint32_t reg; /* a register that keeps what is written, or 0 for interrupts, or 4 for the inverting one */
	int irq;
	unsigned rounds, wrong;
};

static void *work(void *argument)
{
	struct worker *w = argument;

	for (unsigned i = 0; i < w->rounds; i++) {
		uint32_t value = w->reg * 0x10000u + i + 1, back;

		if (w->reg == EDU_ID) {
			region_write(w->device, EDU_BAR, EDU_IRQ_RAISE, 1, 4);
			w->wrong += irq_wait(w->irq) != 1;
			region_write(w->device, EDU_BAR, EDU_IRQ_ACK, 1, 4);
			continue;
		}
		region_write(w->device, EDU_BAR, w->reg, value, 4);
		back = (uint32_t)region_read(w->device, EDU_BAR, w->reg, 4);
		w->wrong += back != (w->reg == EDU_LIVENESS ? ~value : value);
		w->wrong += region_read(w->device, VFIO_PCI_CONFIG_REGION_INDEX, 0, 4) != 0x11e81234;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const uint32_t registers[] = {EDU_ID, EDU_LIVENESS, EDU_DMA_SOURCE, EDU_DMA_TARGET, EDU_DMA_COUNT};
	enum { EACH = sizeof(registers) / sizeof(registers[0]) };
	struct device d[DEVICES];
	struct worker workers[DEVICES * EACH] = {0};
	unsigned devices = argc > 3 ? 2 : 1, rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 200, wrong = 0;

	client_start();
	for (unsigned i = 0; i < devices; i++) {
		device_find(&d[i], argc > 2 ? argv[2 + i] : "0000:00:04.0");
		device_open_group(&d[i]);
		device_describe(&d[i]);
		edu_config_space(&d[i]);
		int irq = edu_msi(&d[i]);

		for (unsigned k = 0; k < EACH; k++)
			workers[i * EACH + k] =
				(struct worker){.device = &d[i], .reg = registers[k], .irq = irq, .rounds = rounds};
	}
	for (unsigned i = 0; i < devices * EACH; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			give_up("no thread");
	for (unsigned i = 0; i < devices * EACH; i++) {
		pthread_join(workers[i].thread, NULL);
		wrong += workers[i].wrong;
	}
	check("wrong answers", wrong, 0);
	for (unsigned i = 0; i < devices; i++) {
		close(workers[i * EACH].irq);
		device_close(&d[i]);
	}
	return client_status();
}
