/* A process opens the device and hands it to another over a unix socket (SCM_RIGHTS), which uses it.   passfd [BDF] */
#include "client.h"
#include "edu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

union room {
	char bytes[CMSG_SPACE(3 * sizeof(int))];
	struct cmsghdr align;
};

static void send_fds(int to, struct device *d)
{
	int fds[3] = {d->container, d->group, d->fd};
	union room room = {{0}};
	struct iovec part = {d, sizeof(*d)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = room.bytes,
		.msg_controllen = sizeof(room.bytes),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(head), fds, sizeof(fds));
	if (sendmsg(to, &message, 0) != sizeof(*d))
		give_up("nothing sent");
}

static void receive_fds(int from, struct device *d)
{
	int fds[3];
	union room room;
	struct iovec part = {d, sizeof(*d)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = room.bytes,
		.msg_controllen = sizeof(room.bytes),
	};

	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != sizeof(*d) || !CMSG_FIRSTHDR(&message))
		give_up("nothing received");
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fds));
	d->container = fds[0];
	d->group = fds[1];
	d->fd = fds[2];
}

int main(int argc, char **argv)
{
	struct device d;
	int pair[2], status = -1, irq;
	pid_t child;

	client_start();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		give_up("no sockets");
	child = fork(); /* before anything is open: all the child has comes through the socket */
	if (child == 0) {
		receive_fds(pair[1], &d);
		region_write(&d, EDU_BAR, EDU_LIVENESS, 77, 4);
		check("the received device answers", region_read(&d, EDU_BAR, EDU_LIVENESS, 4), ~77u);
		irq = edu_msi(&d);
		edu_dma(&d, irq); /* maps memory of this process in the received container */
		expect("MSI off", irq_action(&d, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0), 0);
		close(irq);
		expect("close device", close(d.fd), 0);
		expect("close group", close(d.group), 0);
		expect("close container", close(d.container), 0);
		exit(client_status());
	}
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_group(&d);
	device_describe(&d);
	edu_config_space(&d);
	send_fds(pair[0], &d);
	waitpid(child, &status, 0);
	check("the child's status", (uint64_t)(unsigned)status, 0);
	edu_registers(&d);
	device_close(&d);
	return client_status();
}
