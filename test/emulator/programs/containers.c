/* The policy of two containers, one with peer mappings and one without, and what a group and a container allow.
 *   containers A B [C]      A, B: devices of groups of their own; C: a second device of B's group */
#include "client.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define IOVA 0x100000
#define PEER_IOVA 0x800000
#define SIZE (64u << 10)

static uint8_t *window_of(struct device *d)
{
	uint8_t *w = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, (off_t)d->offset[MEMORY_BAR]);

	if (w == MAP_FAILED)
		give_up("the device's memory does not map");
	return w;
}

static void reach(const char *name, struct device *from, struct device *to, uint8_t *memory)
{
	region_write(to, MEMORY_BAR, 0, 0, 4);
	memset(memory, 0x33, 64);
	dma_in(from, IOVA, 64);
	dma_out(from, PEER_IOVA, 64);
	printf("%s: %s\n", name, region_read(to, MEMORY_BAR, 0, 4) == 0x33333333 ? "arrives" : "does not arrive");
}

int main(int argc, char **argv)
{
	struct device a, b;
	int one, two;
	uint8_t *memory;

	client_start();
	if (argc < 3)
		give_up("containers A B [C]");
	one = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	two = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	pair_open(&a, argv[1], one);
	pair_open(&b, argv[2], two);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		give_up("no memory");
	expect("first container: map memory", device_map(&a, memory, IOVA, SIZE), 0);
	report("second container: map the same memory, counted again", device_map(&b, memory, IOVA, SIZE));
	expect("first container: map B's memory", device_map(&a, window_of(&b), PEER_IOVA, MEMORY_SIZE), 0);
	reach("A writes to B", &a, &b, memory);
	reach("B writes to A, whose memory its container lacks", &b, &a, memory);
	expect("move B: leave a container in use", ioctl(b.group, VFIO_GROUP_UNSET_CONTAINER), EBUSY);
	expect("move B: join a second container", ioctl(b.group, VFIO_GROUP_SET_CONTAINER, &one), EINVAL);
	if (argc > 3) {
		int other = ioctl(b.group, VFIO_GROUP_GET_DEVICE_FD, argv[3]);

		expect_fd("C, of B's group, opens in B's container alone", other, 0);
		close(b.fd);
		expect("move the group: still in use by C", ioctl(b.group, VFIO_GROUP_UNSET_CONTAINER), EBUSY);
		close(other);
	} else
		close(b.fd);
	expect("move the group: after the last device is closed", ioctl(b.group, VFIO_GROUP_UNSET_CONTAINER), 0);
	expect("move the group: into the first container", ioctl(b.group, VFIO_GROUP_SET_CONTAINER, &one), 0);
	return client_status();
}
