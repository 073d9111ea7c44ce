/* A parent opens the device, its child uses what it inherits, then both do.   fork [BDF] */
#include "client.h"
#include "edu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned liveness(struct device *d, unsigned rounds, uint32_t reg)
{
	unsigned wrong = 0;

	for (unsigned i = 1; i <= rounds; i++) {
		region_write(d, EDU_BAR, reg, i, 4);
		wrong += (uint32_t)region_read(d, EDU_BAR, reg, 4) != (reg == EDU_LIVENESS ? ~i : i);
	}
	return wrong;
}

static void wait_for(pid_t child)
{
	int status = -1;

	waitpid(child, &status, 0);
	check("the child's status", (uint64_t)(unsigned)status, 0);
}

int main(int argc, char **argv)
{
	struct device d;
	pid_t child;
	int irq;

	client_start();
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_group(&d);
	device_describe(&d);
	edu_config_space(&d);
	irq = edu_msi(&d);

	child = fork();
	if (child == 0) { /* alone */
		edu_registers(&d);
		edu_factorial(&d, irq);
		exit(client_status());
	}
	wait_for(child);
	edu_dma(&d, irq);

	child = fork();
	if (child == 0) { /* beside its parent, on a register of its own; what it inherited goes with it, unclosed */
		unsigned wrong = liveness(&d, 100, EDU_DMA_SOURCE);
		_exit(wrong != 0);
	}
	unsigned wrong = liveness(&d, 100, EDU_LIVENESS);
	wait_for(child);
	check("wrong answers", wrong, 0);

	child = fork();
	if (child == 0) { /* closes its copies; the parent's stay open */
		expect("close device", close(d.fd), 0);
		expect("UNSET_CONTAINER while the parent has the device", ioctl(d.group, VFIO_GROUP_UNSET_CONTAINER),
		       EBUSY);
		expect("close group", close(d.group), 0);
		expect("close container", close(d.container), 0);
		exit(client_status());
	}
	wait_for(child);
	close(irq);
	region_write(&d, EDU_BAR, EDU_LIVENESS, 5, 4);
	check("still open in the parent", region_read(&d, EDU_BAR, EDU_LIVENESS, 4), ~5u);
	return client_status();
}
