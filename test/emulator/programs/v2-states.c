/* Every pair of migration states of protocol v2 on one device: what SET answers and which state it leaves.
 *   v2-states NAME       prints `FROM TO ERRNO ECHO FD STATE` for each; FROM is left out when the device lacks it */
#include "client.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static struct device d;
static uint8_t image[1 << 20];
static size_t image_size;

struct flags {
	struct vfio_device_feature head;
	struct vfio_device_feature_migration migration;
};
struct set {
	struct vfio_device_feature head;
	struct vfio_device_feature_mig_state mig;
};

static void say_flags(void)
{
	struct flags f = { .head = { sizeof(f), VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION } };

	expect("MIGRATION", ioctl(d.fd, VFIO_DEVICE_FEATURE, &f), 0);
	note("flags", f.migration.flags);
}

static int set(uint32_t state, struct set *f)
{
	*f = (struct set){ .head = { sizeof(*f), VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE },
			   .mig = { state, 77 } };
	return ioctl(d.fd, VFIO_DEVICE_FEATURE, f);
}

static uint32_t now(void)
{
	struct set f = { .head = { sizeof(f), VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE } };

	return ioctl(d.fd, VFIO_DEVICE_FEATURE, &f) ? 99 : f.mig.device_state;
}

/* From RUNNING, which a reset leads to, into the state; -1 when the device has no such state, else the stream or 0. */
static int bring(uint32_t state)
{
	struct set f;

	if (ioctl(d.fd, VFIO_DEVICE_RESET) || now() != VFIO_DEVICE_STATE_RUNNING)
		give_up("a reset does not lead to RUNNING");
	if (set(state, &f))
		return -1;
	if (state == VFIO_DEVICE_STATE_RESUMING && write(f.mig.data_fd, image, image_size) != (ssize_t)image_size)
		give_up("the image cannot be written");
	return f.mig.data_fd > 0 ? f.mig.data_fd : 0;
}

static void save(void)
{
	int stream = bring(VFIO_DEVICE_STATE_STOP_COPY);
	ssize_t n;

	while ((n = read(stream, image + image_size, sizeof(image) - image_size)) > 0)
		image_size += (size_t)n;
	close(stream);
}

int main(int argc, char **argv)
{
	client_start();
	if (argc < 2)
		give_up("v2-states NAME");
	pair_open(&d, argv[1], open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
	say_flags();
	save();
	for (uint32_t from = 1; from < 8; from++)
		for (uint32_t to = 0; to < 8; to++) {
			int stream = bring(from);
			struct set f;

			if (stream < 0)
				continue;
			int ret = set(to, &f);

			printf("%u %u %s %u %d %u\n", from, to, ret ? strerrorname_np(errno) : "0", f.mig.device_state,
			       f.mig.data_fd < 0 ? -1 : 1, now());
			if (f.mig.data_fd >= 0)
				close(f.mig.data_fd);
			if (stream > 0)
				close(stream);
		}
	return client_status();
}
