/* Makes numbered calls without end and notes in a shared file how far it is, so that after a SIGKILL at any moment it
 * is known which calls there were. Thread k writes 1, 2, 3 … to a register of its own and reads it back; one more
 * thread waits for an interrupt that never comes.   steady NOTES [BDF [CALLS]] NOTES   a file of 64-bit numbers, two a
 * thread: calls begun, calls returned */
#include "client.h"
#include "edu.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 3

struct notes {
	volatile uint64_t begun, returned;
};

struct worker {
	pthread_t thread;
	struct device *device;
	uint32_t reg;
	uint64_t calls;
	struct notes *notes;
};

static void *work(void *argument)
{
	struct worker *w = argument;
	uint64_t bar = w->device->offset[EDU_BAR] + w->reg;

	for (uint32_t i = 1; i <= w->calls; i++) {
		w->notes->begun = i;
		if (i & 1) {
			if (pwrite(w->device->fd, &i, 4, (off_t)bar) != 4)
				give_up("pwrite failed");
		} else {
			uint32_t value = 0;

			if (pread(w->device->fd, &value, 4, (off_t)bar) != 4 || value != i - 1)
				give_up("pread failed");
		}
		w->notes->returned = i;
	}
	return NULL;
}

static void *wait_for_ever(void *argument)
{
	uint64_t count;

	if (read(*(int *)argument, &count, sizeof(count)) < 0)
		give_up("read failed");
	return NULL;
}

int main(int argc, char **argv)
{
	static const uint32_t registers[THREADS] = {EDU_DMA_SOURCE, EDU_DMA_TARGET, EDU_DMA_COUNT};
	struct worker workers[THREADS];
	struct device d;
	pthread_t waiter;
	int fd, irq;

	client_start();
	if (argc < 2)
		give_up("steady NOTES [BDF [CALLS]]");
	fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096))
		give_up("no notes");
	struct notes *notes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (notes == MAP_FAILED)
		give_up("no notes");
	close(fd);
	device_find(&d, argc > 2 ? argv[2] : "0000:00:04.0");
	device_open_group(&d);
	device_describe(&d);
	edu_config_space(&d);
	irq = eventfd(0, 0);
	expect("MSI eventfd", irq_eventfd(&d, VFIO_PCI_MSI_IRQ_INDEX, irq), 0);
	pthread_create(&waiter, NULL, wait_for_ever, &irq);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
			.device = &d,
			.reg = registers[i],
			.notes = &notes[i],
			.calls = argc > 3 ? strtoull(argv[3], NULL, 0) : UINT32_MAX,
		};
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	_exit(client_status()); /* the waiter still waits */
}
