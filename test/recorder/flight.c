/*
 * Does to a stand-in device what its arguments say, one after the other; counts its reads in what they return:
 * the n-th read is of register n % 64, whose value it wrote before.
 *   reads N   full SECONDS (reads without a pause)   slow SECONDS (one read a ms)
 *   fail (a read at a negative offset: EINVAL)   reset   error (v2 state is ERROR)   error1 (v1 state is ERROR)
 *   mark NAME (makes that file)   wait NAME (for that file)   crash   leave NAME (a child goes on, slowly, until that file is there)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static int device;
static uint32_t count;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void one(void)
{
	uint32_t value = count;
	off_t at = count++ % 64 * 4;
	if (count % 16 == 1 && pwrite(device, &value, 4, at) != 4)
		abort();
	if (pread(device, &value, 4, at) != 4)
		abort();
}

static void v1_error(void)
{
	struct {
		struct vfio_region_info info;
		char rest[128];
	} region = {.info = {.argsz = sizeof region, .index = 9}};
	uint32_t state = VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING;
	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region))
		abort();
	if (pwrite(device, &state, 4, (off_t)region.info.offset) != 4 ||
	    pread(device, &state, 4, (off_t)region.info.offset) != 4)
		abort();
}

static void v2_error(void)
{
	struct {
		struct vfio_device_feature head;
		struct vfio_device_feature_mig_state state;
	} ask = {.head = {.argsz = sizeof ask, .flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE}};
	if (ioctl(device, VFIO_DEVICE_FEATURE, &ask) || ask.state.device_state != VFIO_DEVICE_STATE_ERROR)
		abort();
}

static void leave(const char *name)
{
	if (fork())
		return;
	for (; access(name, F_OK); usleep(1000))
		one();
	_exit(0);
}

int main(int argc, char **argv)
{
	int group = open("/dev/vfio/12", O_RDWR);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	for (int i = 1; i < argc; i++) {
		const char *what = argv[i], *how = i + 1 < argc ? argv[i + 1] : "";
		char byte;
		if (!strcmp(what, "reads"))
			for (long n = atol(argv[++i]); n > 0; n--)
				one();
		else if (!strcmp(what, "full"))
			for (double end = now() + atof(argv[++i]); now() < end;)
				for (int n = 0; n < 1000; n++)
					one();
		else if (!strcmp(what, "slow"))
			for (double end = now() + atof(argv[++i]); now() < end; usleep(1000))
				one();
		else if (!strcmp(what, "fail") && pread(device, &byte, 1, -1) >= 0)
			abort();
		else if (!strcmp(what, "reset"))
			ioctl(device, VFIO_DEVICE_RESET);
		else if (!strcmp(what, "error"))
			v2_error();
		else if (!strcmp(what, "error1"))
			v1_error();
		else if (!strcmp(what, "mark") && ++i)
			close(open(how, O_CREAT | O_WRONLY, 0600));
		else if (!strcmp(what, "wait") && ++i)
			while (access(how, F_OK))
				usleep(1000);
		else if (!strcmp(what, "leave"))
			leave(argv[++i]);
		else if (!strcmp(what, "crash"))
			abort();
	}
	return 0;
}
