/* A device opened here and used by a program that posix_spawn() started with it, then here again.   spawn [BDF] */
#include "client.h"
#include "edu.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
	struct device d;
	char fd[16], group[16], container[16], program[] = "/proc/self/exe", after[] = "--after";
	char *child[] = {argv[0], after, fd, group, container, NULL};
	int status = -1;
	pid_t pid;

	client_start();
	if (argc > 4 && !strcmp(argv[1], "--after")) {
		memset(&d, 0, sizeof(d));
		d.fd = atoi(argv[2]);
		d.group = atoi(argv[3]);
		d.container = atoi(argv[4]);
		device_describe(&d);
		edu_registers(&d);
		int irq = edu_msi(&d);
		edu_dma(&d, irq);
		expect("MSI off", irq_action(&d, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0), 0);
		close(irq);
		return client_status();
	}
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_group(&d);
	device_describe(&d);
	edu_config_space(&d);
	expect("keep the device", fcntl(d.fd, F_SETFD, 0), 0);
	expect("keep the group", fcntl(d.group, F_SETFD, 0), 0);
	expect("keep the container", fcntl(d.container, F_SETFD, 0), 0);
	snprintf(fd, sizeof(fd), "%d", d.fd);
	snprintf(group, sizeof(group), "%d", d.group);
	snprintf(container, sizeof(container), "%d", d.container);
	fflush(stdout);
	int error = posix_spawn(&pid, program, NULL, NULL, child, environ);
	waitpid(pid, &status, 0);
	expect("posix_spawn", error, 0); /* after what the child prints */
	check("the child's status", (uint64_t)(unsigned)status, 0);
	edu_registers(&d);
	device_close(&d);
	return client_status();
}
