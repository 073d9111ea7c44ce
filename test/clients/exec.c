/* A device left open across execve(), as QEMU's cpr-exec leaves it.   exec [BDF] */
#include "client.h"
#include "edu.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct device d;
	int irq;
	char fd[16], group[16], container[16], eventfd_[16];

	client_start();
	if (argc > 5 && !strcmp(argv[1], "--after")) {
		memset(&d, 0, sizeof(d));
		d.fd = atoi(argv[2]);
		d.group = atoi(argv[3]);
		d.container = atoi(argv[4]);
		irq = atoi(argv[5]);
		device_describe(&d);
		edu_registers(&d);
		edu_factorial(&d, irq);
		edu_dma(&d, irq);
		close(irq);
		device_close(&d);
		return client_status();
	}
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_group(&d);
	device_describe(&d);
	edu_config_space(&d);
	irq = edu_msi(&d);
	expect("keep the device", fcntl(d.fd, F_SETFD, 0), 0);
	expect("keep the eventfd", fcntl(irq, F_SETFD, 0), 0);
	snprintf(fd, sizeof(fd), "%d", d.fd);
	snprintf(group, sizeof(group), "%d", d.group);
	snprintf(container, sizeof(container), "%d", d.container);
	snprintf(eventfd_, sizeof(eventfd_), "%d", irq);
	fflush(stdout);
	execl("/proc/self/exe", argv[0], "--after", fd, group, container, eventfd_, (char *)NULL);
	give_up("no exec");
}
