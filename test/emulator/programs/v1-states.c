/* Every change between the ten values of device_state of protocol v1 on one device with NDMA.
 *   v1-states NAME       prints `FROM TO ERRNO STATE` for each */
#include "client.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	static const uint32_t states[] = { 0, 1, 2, 3, 4, 8, 9, 10, 11, 12 };
	struct device d;

	client_start();
	if (argc < 2)
		give_up("v1-states NAME");
	pair_open(&d, argv[1], open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
	for (unsigned i = 0; i < 10; i++)
		for (unsigned j = 0; j < 10; j++) {
			if (i == j)
				continue;
			if (ioctl(d.fd, VFIO_DEVICE_RESET) || v1_set(&d, states[i]) || v1_read(&d, V1_STATE, 4) != states[i])
				give_up("the state cannot be reached");
			int ret = v1_set(&d, states[j]);

			printf("%u %u %s %u\n", states[i], states[j], ret ? strerrorname_np(errno) : "0",
			       (unsigned)v1_read(&d, V1_STATE, 4));
		}
	return client_status();
}
